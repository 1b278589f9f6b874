//! AlphaPO: SimPO with a shaped reward.

use burn::tensor::Tensor;
use preflab_config::Link;
use preflab_data::Pair;

use super::link::linked;
use crate::inputs::margin;
use crate::stable::{capped_exp, divided};

/// `(1 − exp(−α m)) / α`, the shaped reward of a mean log-probability `m`; `m` itself at `α = 0`.
///
/// - `mean`: `log π(y) / |y|`, `[b]`, nats per token.
///
/// Returns `[b]`. The exponent is capped so that the reward stays finite.
pub fn shaped(mean: Tensor<1>, alpha: f64) -> Tensor<1> {
    if alpha == 0.0 {
        return mean;
    }
    divided(-capped_exp(mean * -alpha) + 1.0, alpha)
}

/// `−log σ(β (ρ_w − ρ_l) − γ)` with `ρ` the [`shaped`] mean log-probability.
///
/// Gupta et al. 2025, [arXiv:2501.03884](https://arxiv.org/abs/2501.03884), eq. 5; TRL's CPO trainer with `alphapo`.
///
/// - `means`: log-probabilities divided by the number of completion tokens, `[b]` each, nats per token.
/// - `beta`, `gamma`, `link`: as in [`simpo`](super::simpo::simpo). `alpha`: shape; 0 is SimPO.
///
/// Returns `[b]`, at least 0.
pub fn alphapo(
    means: &Pair<Tensor<1>>,
    beta: f64,
    gamma: f64,
    alpha: f64,
    link: Link,
) -> Tensor<1> {
    let rewards = means.clone().map(|mean| shaped(mean, alpha));
    linked(margin(&rewards) * beta - gamma, link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objectives::simpo::simpo;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn alpha_zero_is_simpo() {
        let at = pair(&[-0.5, -2.0], &[-1.0, -0.1]);
        assert_eq!(
            values(&alphapo(&at, 2.0, 0.3, 0.0, Link::default())),
            values(&simpo(&at, 2.0, 0.3, Link::default()))
        );
    }

    #[test]
    fn the_gradient_carries_the_likelihood_to_the_power_of_minus_alpha() {
        let at = pair(&[-0.5], &[-0.5]);
        let slopes = slopes(&alphapo(&at, 2.0, 0.0, 0.25, Link::default()), &at);
        assert_close(&slopes.chosen, &[-(0.5f64 * 0.25).exp()]);
    }
}
