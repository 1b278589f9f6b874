//! Training, sampling and scoring on one's own model and data.
//!
//! ```text
//! a file, options, --set -> TrainRequest -> train() -> a model directory that transformers loads
//!                                           model directory + prompts -> answers
//!                                           model directory + rows    -> scores
//! ```
//! The trainers are those of the experiments; here is what a single run needs around them: rows of any layout turned into
//! token ids, with a count of what is left out ([`data`]); a directory that belongs to one run; checkpoints that training goes
//! on from, bit for bit on the CPU; an early stop; a model card.
#![warn(missing_docs)]

mod card;
mod checkpoints;
pub mod data;
mod error;
mod generate;
mod looks;
mod memory;
mod observer;
mod reference;
mod reward_model;
mod rows;
mod run_directory;
mod saved;
mod score;
mod settings;
mod start;
mod threads;
mod train;

pub use error::FinetuneError;
pub use generate::{Answer, GenerateJob, Prompts, generate, sampling};
pub use observer::Observer;
pub use score::{PairSummary, Score, ScoreSummary, ScoredRow, score};
pub use settings::{METHODS, TrainRequest, document};
pub use threads::on_threads;
pub use train::{Best, Finished, Summary, TrainJob, train};
