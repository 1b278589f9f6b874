//! Choices that several objectives share, or that one of them offers.

use serde::{Deserialize, Serialize};

use crate::{Finite, FlipProbability};

/// The f-divergence that regularises the policy: the implicit reward is `f'(π/π_ref)`, up to a constant.
///
/// Wang et al. 2023, arXiv:2309.16240, table 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divergence {
    /// `KL(π ‖ π_ref)`: the log-ratio `r` itself.
    #[default]
    ReverseKl,
    /// `KL(π_ref ‖ π)`: `−exp(−r)`.
    ForwardKl,
    /// Jensen-Shannon: `log σ(r)`.
    JensenShannon,
    /// The alpha divergence: `exp((α − 1) r) / (α − 1)`; `r` at `α = 1`. The value is `α`.
    Alpha(Finite),
}

/// What is made of a margin `m` that is wanted above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// `−(1 − ε) log σ(m) − ε log σ(−m)`.
    Logistic {
        /// Assumed share `ε` of flipped labels.
        label_smoothing: FlipProbability,
    },
    /// `max(0, 1 − m)`.
    Hinge,
}

impl Default for Link {
    fn default() -> Self {
        Self::Logistic {
            label_smoothing: FlipProbability::of(0.0),
        }
    }
}

/// How log-probabilities of a completion's tokens become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenAggregation {
    /// Their sum.
    Sum,
    /// Their sum divided by the number of tokens (by 1 where there are none).
    Mean,
}

/// How the chosen completion's log-likelihood enters supervised fine-tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SftAggregation {
    /// Summed over its tokens.
    Sum,
    /// Divided by its own length.
    Mean,
    /// Divided by the mean length of the update's chosen completions, so that every token of the update weighs the same;
    /// TRL's `sft`.
    BatchMean,
}

/// What ODPO's offset makes of the gap between the judge's scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OffsetScale {
    /// `log(s_w − s_l)`; a gap below 1e-6 counts as 1e-6.
    Log,
    /// `s_w − s_l`.
    Linear,
}

/// Where BCO's reward shift comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardShift {
    /// 0: TRL's `bco_pair`.
    Zero,
    /// The mean of all rewards `β r` seen so far in training, the present update's among them.
    RunningMean,
}

/// What stands for the divergence of the policy from the reference in KTO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlBaseline {
    /// The mean log-ratio of unrelated completions, at least 0, without gradient: the paper, TRL, HALOs.
    Unrelated,
    /// The mean log-ratio of the other side of the pairs, at least 0, with gradient: OpenRLHF's vanilla KTO.
    OtherSide,
    /// 0: TRL's `apo_zero_unpaired`.
    Zero,
}

/// How WPO weighs a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WpoAlignment {
    /// `exp(mean_t (log π(y_t) − log Σ_v π(v)²))`: near 1 for a completion as likely as the policy's own samples.
    Sampled,
    /// `exp(mean_t log π(y_t))`.
    None,
}
