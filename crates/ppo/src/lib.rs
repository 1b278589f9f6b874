//! PPO and critic-free policy gradients with KL-penalised rollouts.
//!
//! Pure functions first (advantages, surrogates, KL estimators, shaping), then the parts of a trainer that call them
//! ([`PolicyLearner`], [`Critic`]), and one trainer for PPO, RLOO and GRPO ([`PolicyGradient`], described by a [`Recipe`]).
//!
//! # Example
//! ```
//! use preflab_config::{ScorePosition, Whitening};
//! use preflab_ppo::{gae_rows, token_rewards, whiten};
//!
//! // Two completions: a KL at each token, a score for each completion, a value before each token.
//! let kl = vec![vec![0.1, -0.05, 0.2], vec![0.3]];
//! let rewards = token_rewards(&kl, 0.05, &[1.0, -0.5], ScorePosition::LastToken, 8);
//! let values = vec![vec![0.2, 0.3, 0.6], vec![0.1]];
//! let (advantages, returns) = gae_rows(&rewards, &values, 1.0, 0.95);
//! let advantages = whiten(&advantages, Whitening::Centre);
//! assert!(advantages[0].iter().all(|a| *a > advantages[1][0]));
//! assert!((returns[1][0] - (-0.5 - 0.05 * 0.3)).abs() < 1e-12);
//! ```
//!
//! # Shapes
//! `b` completions, `t` or `c` tokens of a completion, `n` tokens of all completions together, `v` vocabulary. On the host a
//! quantity of tokens is [`Rows`]: one list for each completion, without padding.
//!
//! # Conventions
//! Natural logs, nats. Masks are 1 on what counts. Losses are one number for each token, unreduced; [`aggregate`] divides by
//! totals of the whole update, so that how it is cut into micro-batches changes nothing. All surrogates assume tokens
//! sampled from the old policy; nothing here can check that. Advantages, returns and old log-probs carry no gradient.
//!
//! # Adding a surrogate
//! One variant of [`PolicyLoss`](preflab_config::PolicyLoss), one file in `policy_loss/`; the compiler names the rest.
//!
//! # Papers
//! | function | paper |
//! | --- | --- |
//! | [`gae`] | Schulman et al. 2015, [arXiv:1506.02438](https://arxiv.org/abs/1506.02438), eq. 16 |
//! | [`clipped_surrogate`] | Schulman et al. 2017, [arXiv:1707.06347](https://arxiv.org/abs/1707.06347), eq. 7 |
//! | [`dual_clip`] | Ye et al. 2019, [arXiv:1912.09729](https://arxiv.org/abs/1912.09729), eq. 5 |
//! | [`gspo`], [`gspo_token`] | Zheng et al. 2025, [arXiv:2507.18071](https://arxiv.org/abs/2507.18071) |
//! | [`cispo`] | Chen et al. 2025, [arXiv:2506.13585](https://arxiv.org/abs/2506.13585) |
//! | [`sapo`] | Gao et al. 2025, [arXiv:2511.20347](https://arxiv.org/abs/2511.20347) |
//! | [`geo_mean`] | Zhao et al. 2025, [arXiv:2507.20673](https://arxiv.org/abs/2507.20673) |
//! | [`dro`] | Richemond et al. 2024, [arXiv:2405.19107](https://arxiv.org/abs/2405.19107) |
//! | [`rloo_advantages`] | Ahmadian et al. 2024, [arXiv:2402.14740](https://arxiv.org/abs/2402.14740) |
//! | [`group_advantages`] | Shao et al. 2024, [arXiv:2402.03300](https://arxiv.org/abs/2402.03300) |
//! | [`reinforce_plus_plus()`] | Hu 2025, [arXiv:2501.03262](https://arxiv.org/abs/2501.03262) |
//! | [`remax_advantages`] | Li et al. 2023, [arXiv:2310.10505](https://arxiv.org/abs/2310.10505) |
//! | [`opo_advantages`] | Hao et al. 2025, [arXiv:2505.23585](https://arxiv.org/abs/2505.23585) |
//! | [`pass_at_k_advantages`] | Tang et al. 2025, [arXiv:2503.19595](https://arxiv.org/abs/2503.19595) |
//! | [`kl_terms`], [`SampledKl`] | Schulman 2020, "Approximating KL divergence" |
//! | [`KlController`] | Ziegler et al. 2019, [arXiv:1909.08593](https://arxiv.org/abs/1909.08593), section 2.2 |
//! | [`best_of_n_kl`] | Stiennon et al. 2020, [arXiv:2009.01325](https://arxiv.org/abs/2009.01325), appendix G.3 |
//! | [`kept_samples`] | Touvron et al. 2023, [arXiv:2307.09288](https://arxiv.org/abs/2307.09288); Dong et al. 2023, [arXiv:2304.06767](https://arxiv.org/abs/2304.06767) |
#![warn(missing_docs)]

mod adam;
mod advantages;
mod aggregation;
mod allowance;
mod best_of_n;
mod critic;
mod entropy;
mod experience;
mod explained_variance;
mod gae;
mod improve;
mod kl;
mod kl_control;
mod moments;
pub mod parity;
mod policy_learner;
mod policy_loss;
mod recipe;
mod record;
mod reference_average;
mod rejection_sampling;
mod rollout;
mod rollout_correction;
mod rows;
mod scorer;
mod shaping;
mod statistics;
mod trainer;
mod value_loss;
mod whitening;

pub use adam::{Adam, EpsilonPlacement};
pub use advantages::*;
pub use aggregation::{Totals, aggregate};
pub use best_of_n::{best, best_of_n_kl, expected_best};
pub use critic::{Critic, ValueMeasured};
pub use entropy::entropy;
pub use experience::{Experience, ValueTargets};
pub use explained_variance::explained_variance;
pub use gae::{Gae, gae, gae_rows};
pub use kl::{KlBounds, SampledKl, exact_kl, kl_terms};
pub use kl_control::KlController;
pub use moments::{Moments, Variance, kept};
pub use policy_learner::{PolicyLearner, PolicyMeasured, PolicyObjective};
pub use policy_loss::*;
pub use recipe::{Credit, CriticSettings, Recipe};
pub use reference_average::averaged;
pub use rejection_sampling::kept_samples;
pub use rollout::{Mismatch, Rollout};
pub use rollout_correction::rollout_weights;
pub use rows::{Rows, from_tensor, map_rows, mean, mean_sum, to_tensor, zip_rows};
pub use scorer::{Scored, Scorer};
pub use shaping::*;
pub use statistics::{ImprovementStatistics, PolicyStatistics, ValueStatistics};
pub use trainer::PolicyGradient;
pub use value_loss::{value_is_clipped, value_loss};
pub use whitening::{Centre, whiten, whitened};
