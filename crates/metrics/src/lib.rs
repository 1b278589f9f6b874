//! The catalogue of every logged quantity, and the sinks they go to.
//!
//! A trainer logs to a [`Sink`] and names what it logs by [`Metric`], never by a string: the tag, the unit, the better direction and the
//! definition come from one table, `catalogue.rs`. [`RunLog`] writes a directory that TensorBoard reads while it grows, and the same scalars as JSON
//! lines, which [`read_scalars`] reads back; [`Memory`] keeps everything for tests; [`Discard`] drops it.
//!
//! # Example
//! ```
//! use preflab_metrics::{Metric, RunLog, Sink, read_scalars};
//! let directory = tempfile::tempdir()?;
//! let mut log = RunLog::create(directory.path())?;
//! for step in 0..3 {
//!     log.scalar(step, Metric::ObjectiveKl, 0.5 * step as f64)?;
//! }
//! log.flush()?;
//! let curves = read_scalars(&directory.path().join("scalars.jsonl"))?;
//! assert_eq!(curves.series(Metric::ObjectiveKl), [(0, 0.0), (1, 0.5), (2, 1.0)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Conventions
//! - `step` counts optimiser updates (PPO: rollouts) that are finished: step 0 is the start, before the first update.
//! - A value may be NaN or infinite; both files keep it. JSON has no such numbers, so there it is the string `"NaN"`, `"Infinity"` or `"-Infinity"`.
//! - [`Metric::reproducible`] tells which values a second run of the same cell repeats bit by bit: all but wall-clock readings.
//!
//! # Adding a metric
//! One row in `catalogue.rs`, then `UPDATE=1 cargo test -p preflab-metrics` to rewrite `docs/metrics.md`.

mod catalogue;
mod event_file;
mod hparams;
mod layout;
mod markdown;
mod memory;
mod run_log;
mod scalar_lines;
mod sink;
mod summaries;
mod table;

pub use catalogue::{Better, Image, Metric, Section, Text};
pub use event_file::{EventFileError, read_events};
pub use hparams::Setting;
pub use markdown::markdown_table;
pub use memory::Memory;
pub use run_log::{RunLog, SCALARS_FILE};
pub use scalar_lines::{Curves, read_scalars};
pub use sink::{Discard, Sink, SinkError};
