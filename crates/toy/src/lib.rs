//! The toy model of arXiv:2406.07327, section 3.2: all arms, scenarios and seeds as one batched tensor program.
//!
//! Four prompts, ten responses, a three-layer perceptron from the one-hot prompt to a categorical policy, fitted to hand-set
//! probabilities and then trained on preference pairs by every objective of the DPO family, by supervised fine-tuning,
//! and through a reward model. A run takes milliseconds, so that every statement is made over many seeds.
//!
//! # Example
//! ```
//! use preflab_config::{Count, ToySettings};
//! let settings = ToySettings {
//!     seeds: Count::of(2),
//!     epochs: Count::of(3),
//!     ..ToySettings::default()
//! };
//! let outcome = preflab_toy::simulate(&settings, &|_, _| {})?;
//! let dpo = outcome.arm("dpo").unwrap();
//! assert_eq!(outcome.cell(dpo, 0).len(), 2);
//! # Ok::<(), preflab_toy::ToyError>(())
//! ```
//!
//! # Conventions
//! Natural logs, nats. Prompts and responses are numbered from 0 in code and from 1 in what people read. Everything is a
//! function of the settings alone, whatever the number of threads.

mod batches;
mod claims;
mod constructions;
mod detection;
mod error;
pub mod figures;
mod fit;
mod network;
mod observation;
mod outcome;
mod overrides;
mod page;
mod policy_gradient;
mod preference;
mod program;
mod reward;
mod rows;
mod run;
mod simulate;
mod streams;
mod sweep;
mod tables;
#[cfg(test)]
mod tests;
mod world;

pub use claims::{Check, check_claims};
pub use constructions::{Construction, constructions};
pub use detection::{CellDetection, PropertyRate, Rate, detect_run, detections};
pub use error::ToyError;
pub use observation::{Observation, Policy};
pub use outcome::{Outcome, Run};
pub use overrides::with_overrides;
pub use preflab_report::claims::Verdict;
pub use reward::{RewardLook, RewardRun};
pub use run::{ClaimVerdict, Extras, Observer, ToyReport, run};
pub use simulate::{check, simulate};
pub use sweep::{LEARNING_RATES, MapCell, Swept, sweep};
pub use world::{Group, PROMPTS, RESPONSES, group, start};
