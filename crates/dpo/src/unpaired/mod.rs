//! KTO and BCO on completions that are wanted or unwanted, each by itself: no pairs are formed.

mod loss;
mod measured;
mod reference;
mod run;
mod trainer;

use preflab_data::TokenExample;

pub use loss::{Unpaired, UnpairedError};
pub use measured::UnpairedMeasured;
pub use reference::{ExampleLogps, example_logps};
pub use trainer::UnpairedTrainer;

/// Completions, each with a label, and with what the reference says of them.
#[derive(Debug, Clone, Copy)]
pub struct JudgedExamples<'e> {
    /// Prompts with one completion each.
    pub examples: &'e [TokenExample],
    /// Whether the completion is wanted.
    pub wanted: &'e [bool],
    /// Log-probabilities under the reference, one an example.
    pub reference: &'e [ExampleLogps],
}
