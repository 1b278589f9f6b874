//! Direct Preference Optimization.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use preflab_data::Pair;

use crate::inputs::margin;

/// `−log σ(β h)` with `h = r_w − r_l`.
///
/// Rafailov et al. 2023, [arXiv:2305.18290](https://arxiv.org/abs/2305.18290), eq. 7; with scores of another divergence,
/// f-DPO.
///
/// - `scores`: log-ratios `log π − log π_ref` summed over completion tokens (or their f-divergence scores), `[b]` each,
///   nats.
/// - `beta`: strength of the pull towards `π_ref`, 1/nats.
///
/// Returns `[b]`, above 0; exactly `ln 2` where the policy equals the reference. Assumes pairs labelled by a
/// Bradley-Terry judge, from whatever policy.
///
/// With one beta on both sides the gradient with respect to the two likelihoods has the ratio `−π(y_l) / π(y_w)`
/// ([arXiv:2406.07327](https://arxiv.org/abs/2406.07327), corollary 1).
pub fn dpo(scores: &Pair<Tensor<1>>, beta: f64) -> Tensor<1> {
    -log_sigmoid(margin(scores) * beta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn dpo_is_ln_2_when_the_policy_is_the_reference() {
        let loss = dpo(&pair(&[0.0], &[0.0]), 0.3);
        assert_eq!(values(&loss), [std::f64::consts::LN_2]);
    }

    #[test]
    fn its_gradient_there_is_half_of_beta_on_each_side() {
        let at = pair(&[0.0], &[0.0]);
        let slopes = slopes(&dpo(&at, 0.3), &at);
        assert_close(&slopes.chosen, &[-0.15]);
        assert_close(&slopes.rejected, &[0.15]);
    }

    #[test]
    fn a_huge_margin_is_finite_and_asymptotically_right() {
        let at = pair(&[1e4, -1e4], &[-1e4, 1e4]);
        let loss = dpo(&at, 0.5);
        assert_close(&values(&loss), &[0.0, 1e4]);
        assert_close(&slopes(&loss, &at).chosen, &[0.0, -0.5]);
    }

    /// Lemma 1 of arXiv:2406.07327 in the likelihoods themselves, with `q = π_ref`:
    /// `∂l/∂π_w = −β (q_w π_l)^β / (π_w ((π_w q_l)^β + (q_w π_l)^β))`, and corollary 1 for `∂l/∂π_l`.
    #[test]
    fn the_gradient_is_the_one_of_lemma_1_and_its_ratio_that_of_corollary_1() {
        let (beta, w, l, q_w, q_l) = (0.4f64, 0.3f64, 0.02f64, 0.12f64, 0.1f64);
        let at = pair(&[(w / q_w).ln()], &[(l / q_l).ln()]);
        let slopes = slopes(&dpo(&at, beta), &at);
        let (chosen, rejected) = (slopes.chosen[0] / w, slopes.rejected[0] / l);
        let up = (w * q_l).powf(beta);
        let down = (q_w * l).powf(beta);
        assert_close(&[chosen], &[-beta * down / (w * (up + down))]);
        assert_close(&[rejected], &[beta * down / (l * (up + down))]);
        assert_close(&[chosen / rejected], &[-l / w]);
    }

    /// Corollary 2: as `π_l → 0` the chosen gradient vanishes like `π_l^β` and the rejected one grows like `π_l^(β−1)`.
    #[test]
    fn as_the_rejected_likelihood_vanishes_its_gradient_grows_and_the_chosen_one_dies() {
        let beta = 0.1;
        let at_likelihood = |l: f64| {
            let at = pair(&[0.0], &[(l / 0.1).ln()]);
            let slopes = slopes(&dpo(&at, beta), &at);
            (slopes.chosen[0].abs(), slopes.rejected[0] / l)
        };
        let (mut chosen, mut rejected) = at_likelihood(1e-2);
        for exponent in [-8, -32, -100] {
            let (c, r) = at_likelihood(10f64.powi(exponent));
            assert!(c < chosen && r > rejected, "{exponent}");
            (chosen, rejected) = (c, r);
        }
        let (c, r) = at_likelihood(1e-101);
        // the rates themselves, one decade further
        assert!((chosen / c - 10f64.powf(beta)).abs() < 1e-6);
        assert!((r / rejected - 10f64.powf(1.0 - beta)).abs() < 1e-6);
    }
}
