//! Tokenizers, chat templates, preference and prompt data sets, checks, batches of token ids.
//!
//! Text becomes token ids here and nowhere else. A completion that is trained on carries its end-of-sequence token; a
//! prompt never does. Pairs are [`Pair`]`{ chosen, rejected }` throughout the suite.
//!
//! # Example
//! ```
//! use preflab_data::{Tokenizer, Units};
//! let tokenizer = Tokenizer::train(["abba", "cab"], &Units::Characters { min_count: 1 }).unwrap();
//! let ids = tokenizer.encode("back").unwrap();
//! assert_eq!(ids.len(), 4);
//! assert_eq!(tokenizer.decode(&tokenizer.encode("cab").unwrap()).unwrap(), "cab");
//! ```
#![warn(missing_docs)]

mod boundary;
mod chat_template;
pub mod check;
mod error;
mod example;
mod files;
mod json_lines;
mod message;
mod pair;
mod preprocess;
mod records;
mod row_file;
mod tokenizer;
pub mod transcript;
mod truncation;

pub use boundary::{Cut, Start};
pub use chat_template::{ChatTemplate, FUEL};
pub use error::DataError;
pub use example::{TokenExample, TokenPair};
pub use files::open_text;
pub use json_lines::{JsonLines, MAX_LINE_BYTES};
pub use message::{Message, Text};
pub use pair::Pair;
pub use preprocess::Preprocessor;
pub use records::{
    AnyRecord, Columns, KtoRecord, PairRecord, PromptRecord, Record, RecordProblem, Records, Row,
    RowKind, ScoredRecord, Selection, SupervisedRecord,
};
pub use row_file::{RowFile, RowWriter, Rows, Words};
pub use tokenizer::{Special, Tokenizer, Units};
pub use truncation::Truncation;
