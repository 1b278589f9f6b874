//! Data sets: files of rows, read one row at a time.
//!
//! | format | recognised by |
//! | --- | --- |
//! | JSON lines | `.jsonl`, `.ndjson`, or a first character that is not `[` |
//! | JSON array | a first character `[` |
//! | CSV with a header | `.csv` |
//! | Parquet | `.parquet` |
//!
//! All but Parquet may be gzip-compressed (`.gz` at the end of the name, or gzip's first bytes).
//!
//! The columns are TRL's: see [`PairRecord`], [`KtoRecord`], [`SupervisedRecord`], [`ScoredRecord`], [`PromptRecord`].
//! A text is a string or a list of messages with `role` and `content`.

mod any;
mod columns;
mod json_array;
mod kinds;
mod parquet;
mod rows;
mod selection;

pub use any::{AnyRecord, RowKind};
pub use columns::{Columns, Record, RecordProblem};
pub use kinds::{KtoRecord, PairRecord, PromptRecord, ScoredRecord, SupervisedRecord};
pub use rows::{Records, Row};
pub use selection::Selection;
