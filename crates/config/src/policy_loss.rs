//! Surrogate objectives of the policy.

use serde::{Deserialize, Serialize};

use crate::{Count, NonNegative, Positive};

/// A surrogate objective for the policy. `r` is the ratio of new to old probability, `A` the advantage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyLoss {
    /// `-min(r A, clip(r, 1 - low, 1 + high) A)`; Schulman et al. 2017, arXiv:1707.06347, eq. 7.
    Clipped(RatioClip),
    /// The same with the geometric-mean ratio of the sequence; Zheng et al. 2025, GSPO, arXiv:2507.18071, eq. 5.
    Gspo(RatioBounds),
    /// GSPO-token: the same value, each token's gradient weighted by its own advantage; eqs. 13 and 14 there.
    GspoToken(RatioBounds),
    /// `-log(pi) A`, the plain policy gradient; Williams 1992; Chu et al. 2025, GPG, arXiv:2504.02546.
    Reinforce,
    /// Clipped weight without gradient on `-log(pi) A`; Chen et al. 2025, CISPO, arXiv:2506.13585.
    Cispo(RatioBounds),
    /// Soft gate in place of the clip; Gao et al. 2025, SAPO, arXiv:2511.20347.
    Sapo(Sapo),
    /// Geometric mean of the clipped token ratios; Zhao et al. 2025, GMPO, arXiv:2507.20673.
    GeoMean(RatioBounds),
    /// `-log(pi) A + beta/2 (log r)^2`; Richemond et al. 2024, DRO, arXiv:2405.19107.
    Dro(Positive),
}

impl Default for PolicyLoss {
    fn default() -> Self {
        Self::Clipped(RatioClip::default())
    }
}

/// Where the ratio is clipped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RatioClip {
    /// Below 1 by this. Schulman et al.: 0.2.
    pub low: NonNegative,
    /// Above 1 by this. Schulman et al.: 0.2; DAPO (arXiv:2503.14476, eq. 10): 0.28.
    pub high: NonNegative,
    /// Dual clip (Ye et al. 2019, arXiv:1912.09729, eq. 5): where `A < 0` the loss is at most `-dual A`. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dual: Option<Positive>,
}

impl Default for RatioClip {
    fn default() -> Self {
        Self {
            low: NonNegative::of(0.2),
            high: NonNegative::of(0.2),
            dual: None,
        }
    }
}

/// Where a ratio is clipped, without the dual bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatioBounds {
    /// Below 1 by this.
    pub low: NonNegative,
    /// Above 1 by this.
    pub high: NonNegative,
}

/// Temperatures of SAPO's gates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sapo {
    /// Where the advantage is above 0. Paper: 1.
    pub positive: Positive,
    /// Where it is not. Paper: 1.05.
    pub negative: Positive,
}

impl Default for Sapo {
    fn default() -> Self {
        Self {
            positive: Positive::of(1.0),
            negative: Positive::of(1.05),
        }
    }
}

/// How the losses of the tokens of several completions become one number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Sum over all tokens by their number (N+; DAPO, arXiv:2503.14476, eq. 12).
    #[default]
    TokenMean,
    /// Sum over all tokens.
    TokenSum,
    /// Mean over completions of the sum over tokens (the policy gradient of the sequence).
    SequenceMeanTokenSum,
    /// Mean over completions of the mean over tokens (GRPO, arXiv:2402.03300, eq. 3).
    SequenceMeanTokenMean,
    /// As `sequence-mean-token-sum`, divided by a constant length (Liu et al. 2025, Dr. GRPO, arXiv:2503.20783).
    SequenceMeanTokenSumNorm(Count),
}
