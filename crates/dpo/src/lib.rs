//! The DPO family: one file per objective, one trainer, gradient decomposition, 3D diagnostics.
//!
//! Objectives are pure functions of log-probabilities and know of no model, optimiser or device. A function takes what its
//! paper's equation takes and returns one loss per pair.
//!
//! # Shapes
//! `b` pairs, `c` completion tokens, `v` vocabulary.
//!
//! # Conventions
//! Natural logs, nats. Log-probabilities are sums over completion tokens (end-of-sequence token included) unless a name
//! says `mean`. Masks are 1 on what counts. Gradients flow through the policy's log-probabilities alone.
//!
//! # Adding an objective
//! One variant in `preflab_config::Objective`, one file in `objectives/`; the compiler names the places that must know it.

mod batch;
pub mod dynamics;
mod inputs;
mod measured;
pub mod objectives;
pub mod parity;
mod reference;
mod run;
mod stable;
mod statistics;
#[cfg(test)]
mod testing;
mod trainer;
mod unpaired;

pub use batch::{ScoredPairs, ScoredRows, TakenPairs};
pub use inputs::{Context, Inputs, Logps, TokenTerms, margin};
pub use measured::{LogitSums, Measured};
pub use objectives::{Needs, implicit_rewards, preference_loss};
pub use preflab_stats::detector;
pub use reference::{
    ReferenceError, ReferenceLogps, check_against, reference_logps, score_rows,
    unrelated_completion,
};
pub use run::{AccuracyPairs, Answers, Monitoring};
pub use statistics::TokenStatistics;
pub use trainer::DpoTrainer;
pub use unpaired::{
    ExampleLogps, JudgedExamples, Unpaired, UnpairedError, UnpairedMeasured, UnpairedTrainer,
    example_logps,
};
