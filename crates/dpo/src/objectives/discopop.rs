//! DiscoPOP: the discovered log-ratio modulated loss.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use preflab_data::Pair;

use crate::inputs::margin;
use crate::stable::{capped_exp, divided, probability};

/// `−log σ(m) σ(−m/τ) + exp(−m) σ(m/τ)` with `m = β h`: logistic where the margin is wrong, exponential where it is right.
///
/// Lu et al. 2024, [arXiv:2406.08414](https://arxiv.org/abs/2406.08414), eq. 5; TRL's `discopop`.
///
/// - `scores`: log-ratios summed over completion tokens (or their f-divergence scores), `[b]` each, nats.
/// - `beta`: 1/nats. `tau`: temperature of the blend.
///
/// Returns `[b]`, above 0; `(1 + ln 2) / 2` where the policy equals the reference. Not convex. The second term is formed as
/// `exp(−m + log σ(m/τ))`, because `exp(−m)` alone overflows where its weight is 0.
pub fn discopop(scores: &Pair<Tensor<1>>, beta: f64, tau: f64) -> Tensor<1> {
    let logit = margin(scores) * beta;
    let sharp = divided(logit.clone(), tau);
    let logistic = -log_sigmoid(logit.clone()) * probability(-sharp.clone());
    let exponential = capped_exp(log_sigmoid(sharp) - logit);
    logistic + exponential
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn at_the_reference_both_terms_weigh_one_half() {
        let at = pair(&[0.0], &[0.0]);
        let loss = discopop(&at, 0.05, 0.05);
        assert_close(&values(&loss), &[0.5 + 0.5 * std::f64::consts::LN_2]);
        // d/dm: -1/4 - 1/2 from the terms, (1 - ln 2) / (4 τ) from the weights
        let slope = -0.75 + (1.0 - std::f64::consts::LN_2) / 0.2;
        assert_close(&slopes(&loss, &at).chosen, &[0.05 * slope]);
    }

    #[test]
    fn a_wrong_margin_does_not_overflow() {
        let at = pair(&[-1e4, 1e4], &[1e4, -1e4]);
        let loss = discopop(&at, 0.5, 0.05);
        assert_close(&values(&loss), &[1e4, 0.0]);
        assert_close(&slopes(&loss, &at).chosen, &[-0.5, 0.0]);
    }
}
