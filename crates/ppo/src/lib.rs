//! PPO and critic-free policy gradients with KL-penalised rollouts.

mod adam;
mod advantages;
mod aggregation;
mod best_of_n;
mod entropy;
mod explained_variance;
mod gae;
mod kl;
mod kl_control;
mod moments;
pub mod parity;
mod policy_loss;
mod rejection_sampling;
mod rollout_correction;
mod rows;
mod shaping;
mod value_loss;
mod whitening;

pub use adam::{Adam, EpsilonPlacement};
pub use advantages::*;
pub use aggregation::{Totals, aggregate};
pub use best_of_n::{best, best_of_n_kl, expected_best};
pub use entropy::entropy;
pub use explained_variance::explained_variance;
pub use gae::{Gae, gae, gae_rows};
pub use kl::{KlBounds, SampledKl, exact_kl, kl_terms};
pub use kl_control::KlController;
pub use moments::{Moments, Variance, kept};
pub use policy_loss::*;
pub use rejection_sampling::kept_samples;
pub use rollout_correction::rollout_weights;
pub use rows::{Rows, from_tensor, map_rows, mean, mean_sum, to_tensor, zip_rows};
pub use shaping::*;
pub use value_loss::{value_is_clipped, value_loss};
pub use whitening::{Centre, whiten, whitened};
