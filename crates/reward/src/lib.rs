//! Reward models: Bradley-Terry losses, trainer and evaluation.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use preflab_config::RewardObjective;
//! use preflab_data::Pair;
//! use preflab_reward::losses::pair_losses;
//!
//! let device = Device::flex();
//! let scores = Pair { chosen: Tensor::<1>::from_floats([1.0, 0.0], &device), rejected: Tensor::from_floats([1.0, -2.0], &device) };
//! let losses = pair_losses(&RewardObjective::default(), &scores, None);
//! let losses: Vec<f32> = losses.into_data().iter::<f32>().collect();
//! assert!((losses[0] - 2f32.ln()).abs() < 1e-6 && losses[1] < losses[0]);
//! ```
//!
//! # Shapes
//! `b` pairs, `k` completions of one prompt.
//!
//! # Conventions
//! Losses are one number for each pair, unreduced. Scores are at the true last token of a completion. A pair counts as
//! right where the chosen score is *strictly* above the rejected one.
//!
//! # Adding a loss
//! One variant of [`RewardObjective`](preflab_config::RewardObjective), one file in `losses/`; the compiler names the rest.
#![warn(missing_docs)]

mod evaluation;
pub mod losses;
mod normalisation;
pub mod parity;
mod scores;
mod trainer;

pub use evaluation::{Bucket, Evaluation};
pub use normalisation::Normalisation;
pub use scores::scores;
pub use trainer::{Judged, JudgedRows, RewardRun, RewardTrainer, RewardUpdate, evaluate};
