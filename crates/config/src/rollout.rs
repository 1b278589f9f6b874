//! What happens to a rollout before the policy learns from it.

use serde::{Deserialize, Serialize};

use crate::{Count, NonNegative, Positive};

/// What happens to the score of a completion before it becomes a reward, in this order: penalties, scale, clip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewardShaping {
    /// Subtracted from the score of a completion that did not end by itself (TRL's `missing_eos_penalty`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_eos: Option<MissingEos>,
    /// Penalty on length. Default: none.
    pub length: LengthPenalty,
    /// Division by a running standard deviation. Default: off.
    pub scale: RewardScale,
    /// Scores are clipped to `[-clip, clip]`. Absent: no clipping. OpenRLHF: 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<Positive>,
}

/// What a completion without an end-of-sequence token gets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingEos {
    /// Its score less this (TRL).
    Subtract(NonNegative),
    /// This, negated, in place of its score (N+: 1).
    Replace(NonNegative),
}

/// A penalty on the length of a completion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LengthPenalty {
    /// None.
    #[default]
    None,
    /// `per_token * max(0, length - tokens)` is subtracted (soft overlong punishment; Yu et al. 2025, DAPO,
    /// arXiv:2503.14476, eq. 13, has it linear in a window).
    Over(OverLength),
    /// This much is subtracted for every token (Singhal et al. 2023, arXiv:2310.03716).
    PerToken(NonNegative),
}

/// Where a length penalty sets in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverLength {
    /// Free tokens.
    pub tokens: Count,
    /// Penalty of each token beyond.
    pub per_token: NonNegative,
}

/// Division of scores by a standard deviation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardScale {
    /// None.
    #[default]
    Off,
    /// Divided by the standard deviation of all scores so far (Engstrom et al. 2020, arXiv:2005.12729, detail 2; trlx
    /// `scale_reward = "running"`).
    Running,
    /// Divided by the standard deviation of the first rollout's scores (trlx `scale_reward = "ref"`).
    First,
}

/// Where in a completion its score is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScorePosition {
    /// On the true last token (OpenRLHF, verl).
    #[default]
    LastToken,
    /// One step after it, where the longest completion allowed leaves room, so that the value of the finished completion is
    /// trained too (TRL and summarize_from_feedback, which find the step by looking for padding).
    AfterLastToken,
}

/// Weighting of tokens whose log-prob the sampler and the training pass disagree on, by `rho = policy / sampler`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutCorrection {
    /// None: both run on the same blocks here, and their mismatch is logged.
    #[default]
    Off,
    /// `clip(rho, low, high)` (truncated importance sampling; Yao et al. 2025).
    Truncated(WeightBounds),
    /// `rho` within the bounds, else 0 (IcePop, Ling team 2025).
    Masked(WeightBounds),
    /// `rho` where the completion's geometric-mean `rho` is within the bounds, else 0.
    SequenceMasked(WeightBounds),
}

/// Bounds of an importance weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightBounds {
    /// The smallest.
    pub low: NonNegative,
    /// The largest.
    pub high: NonNegative,
}

impl WeightBounds {
    /// Whether `weight` is within, ends included.
    pub fn holds(self, weight: f64) -> bool {
        (self.low.get()..=self.high.get()).contains(&weight)
    }
}

/// Scaling a set of numbers to unit variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whitening {
    /// Left as they are.
    Off,
    /// Unit variance; the mean stays.
    KeepMean,
    /// Unit variance and zero mean.
    Centre,
}
