//! The losses of single completions.

use burn::tensor::Tensor;
use preflab_config::{Bco, KlBaseline, Kto, Objective, RewardShift};
use preflab_data::Pair;

use crate::objectives::bco::bco_examples;
use crate::objectives::divergence::score;
use crate::objectives::kto::kto_examples;

/// An objective that judges a completion by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Unpaired {
    /// Ethayarajh et al. 2024, arXiv:2402.01306, eq. 7; with baseline 0 the `apo_zero_unpaired` of TRL.
    Kto(Kto),
    /// Jung et al. 2024, arXiv:2404.04656, eq. 8.
    Bco(Bco),
}

/// An objective that cannot judge a completion by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnpairedError {
    /// It reads both completions of a pair.
    #[error("the objective compares the two completions of a pair")]
    Pairs,
    /// KTO whose baseline is the other side's.
    #[error("the baseline `other-side` reads the other completion of a pair")]
    OtherSide,
}

/// What a loss reads besides log-ratios.
#[derive(Debug, Clone, Copy)]
pub(super) struct Baselines {
    /// KTO's `z`, nats.
    pub kl: f64,
    /// BCO's `delta`, in units of the reward.
    pub shift: f64,
}

impl Unpaired {
    /// The objective, if it can judge a completion by itself.
    ///
    /// # Errors
    /// If it reads pairs.
    pub fn of(objective: &Objective) -> Result<Self, UnpairedError> {
        match objective {
            Objective::Kto(kto) if kto.baseline == KlBaseline::OtherSide => {
                Err(UnpairedError::OtherSide)
            }
            Objective::Kto(kto) => Ok(Self::Kto(kto.clone())),
            Objective::Bco(bco) => Ok(Self::Bco(bco.clone())),
            _ => Err(UnpairedError::Pairs),
        }
    }

    /// Whether it reads the log-ratios of unrelated completions.
    pub fn reads_unrelated(&self) -> bool {
        match self {
            Self::Kto(kto) => kto.baseline == KlBaseline::Unrelated,
            Self::Bco(_) => false,
        }
    }

    /// Whether it reads the running mean of rewards.
    pub(super) fn reads_shift(&self) -> bool {
        match self {
            Self::Kto(_) => false,
            Self::Bco(bco) => bco.shift == RewardShift::RunningMean,
        }
    }

    /// Strength of the pull towards the reference, 1/nats.
    pub(super) fn beta(&self) -> f64 {
        match self {
            Self::Kto(kto) => kto.beta.get(),
            Self::Bco(bco) => bco.beta.get(),
        }
    }

    /// The reward that BCO takes into its running mean, from a log-ratio, nats.
    pub(super) fn shifted_reward(&self, log_ratios: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Kto(kto) => log_ratios * kto.beta.get(),
            Self::Bco(bco) => score(log_ratios, bco.divergence) * bco.beta.get(),
        }
    }

    /// Loss of each completion, `[m]`.
    ///
    /// - `log_ratios`: `log pi - log pi_ref` summed over completion tokens, `[m]`, nats.
    /// - `wanted`: 1 for wanted completions, 0 for others, `[m]`.
    pub(super) fn losses(
        &self,
        log_ratios: Tensor<1>,
        wanted: &Tensor<1>,
        baselines: Baselines,
    ) -> Tensor<1> {
        let constant = |value: f64| wanted.zeros_like().slice([0..1]) + value;
        let both = |values: Tensor<1>| Pair {
            chosen: values.clone(),
            rejected: values,
        };
        // Each completion is judged from either side, and counts from its own.
        let (sides, weights) = match self {
            Self::Kto(kto) => (
                kto_examples(
                    &both(log_ratios),
                    both(constant(baselines.kl)),
                    kto.beta.get(),
                ),
                Pair {
                    chosen: kto.desirable_weight.get(),
                    rejected: kto.undesirable_weight.get(),
                },
            ),
            Self::Bco(bco) => (
                bco_examples(
                    &both(score(log_ratios, bco.divergence)),
                    constant(baselines.shift),
                    bco.beta.get(),
                ),
                Pair {
                    chosen: 1.0,
                    rejected: 1.0,
                },
            ),
        };
        let unwanted = wanted.ones_like() - wanted.clone();
        sides.chosen * (wanted.clone() * weights.chosen)
            + sides.rejected * (unwanted * weights.rejected)
    }
}
