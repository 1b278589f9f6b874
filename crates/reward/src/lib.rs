//! Reward models: Bradley-Terry losses, trainer and evaluation.
//!
//! # Shapes
//! `b` pairs, `k` ranked completions.
//!
//! # Conventions
//! A score belongs to a prompt with a completion and is read at the completion's last token. Losses are one number a pair,
//! without reduction.

mod evaluation;
mod losses;
mod trainer;

pub use evaluation::{Evaluation, MarginBucket, evaluate};
pub use losses::{bradley_terry, centring, log_exp, plackett_luce};
pub use trainer::{Judged, Normalisation, RewardTrainer, RewardUpdate, scores};
