//! The KL penalty: its estimate, its weight, its place.

use serde::{Deserialize, Serialize};

use crate::{NonNegative, Positive};

/// How the weight of the KL penalty changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlControl {
    /// The same weight throughout; 0 switches the penalty off.
    Fixed(NonNegative),
    /// Ziegler et al. 2019, arXiv:1909.08593, section 2.2.
    Adaptive(AdaptiveKl),
}

impl Default for KlControl {
    fn default() -> Self {
        Self::Fixed(NonNegative::of(0.05))
    }
}

/// `beta <- beta * (1 + clip(KL / target - 1, -0.2, 0.2) * episodes / horizon)` after each rollout.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveKl {
    /// The first weight. Ziegler et al.: 0.2 in their code.
    #[serde(default = "initial")]
    pub initial: Positive,
    /// The KL to hold, nats per completion. Ziegler et al.: 6.
    #[serde(default = "target")]
    pub target: Positive,
    /// Episodes in which an error of 100 % would change the weight by 100 %. Ziegler et al.: 10000.
    #[serde(default = "horizon")]
    pub horizon: Positive,
}

fn initial() -> Positive {
    Positive::of(0.2)
}
fn target() -> Positive {
    Positive::of(6.0)
}
fn horizon() -> Positive {
    Positive::of(10_000.0)
}

/// An estimate of KL(policy, reference) from one sampled token, with `l = log policy - log reference`
/// (Schulman 2020, "Approximating KL divergence").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlEstimator {
    /// `l`: unbiased, may be negative.
    #[default]
    K1,
    /// `|l|`.
    Abs,
    /// `l^2 / 2`: biased, small variance.
    K2,
    /// `exp(-l) - 1 + l`: unbiased, never negative.
    K3,
    /// The sum over the whole vocabulary at each token.
    Exact,
}

/// A KL term in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KlLoss {
    /// Its weight.
    pub coefficient: NonNegative,
    /// Its value. Shao et al. 2024, arXiv:2402.03300, eq. 4: `k3`.
    #[serde(default = "k3")]
    pub estimator: KlEstimator,
    /// Its gradient.
    #[serde(default)]
    pub gradient: KlGradient,
}

fn k3() -> KlEstimator {
    KlEstimator::K3
}

/// Which gradient a KL term in the loss has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlGradient {
    /// That of the estimate itself (biased for `k1` and `k3`: their expectation has another gradient).
    #[default]
    Own,
    /// That of `k2`, whose expectation is the gradient of the KL on policy; the value stays the estimate's.
    StraightThrough,
}
