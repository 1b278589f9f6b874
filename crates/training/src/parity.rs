//! Comparison with golden figures: reading them, measuring relative errors, and one table row for each objective.
//!
//! Golden figures are numbers that reference implementations gave for stated inputs, one JSON file per reference family.
//! Every case of a file is run; a section, kind or key that is not known is an error, never skipped.

mod arguments;
mod node;
pub mod sft;
mod table;
mod weights;

pub use preflab_transformer::parity::{golden_device, golden_dtype, golden_tolerance};

pub use arguments::TrainingArguments;
pub use node::{GoldenFile, Node, ParityError, golden_directory};
pub use table::{Comparison, Parity, ParityRow, Subject, relative_error, worst_relative_error};
pub use weights::{Weights, compare_weights, weights_digest};
