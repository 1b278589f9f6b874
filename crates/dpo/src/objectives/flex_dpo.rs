//! Flex-DPO: one beta for each side of the pair.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use preflab_data::Pair;

/// `−log σ(β⁺ r_w − β⁻ r_l)`.
///
/// Yan et al. 2025, [arXiv:2406.07327](https://arxiv.org/abs/2406.07327), appendix B.2.1. A smaller `β⁻` slows the fall of
/// the rejected completion's likelihood; `β⁺ = β⁻` is DPO.
///
/// - `log_ratios`: `log π − log π_ref` summed over completion tokens, `[b]` each, nats.
/// - `beta_chosen`, `beta_rejected`: `β⁺` and `β⁻`, 1/nats.
///
/// Returns `[b]`, above 0; `ln 2` where the policy equals the reference. The gradients with respect to the two likelihoods
/// have the ratio `−(β⁺ / β⁻) π(y_l) / π(y_w)`.
pub fn flex_dpo(log_ratios: &Pair<Tensor<1>>, beta_chosen: f64, beta_rejected: f64) -> Tensor<1> {
    let chosen = log_ratios.chosen.clone() * beta_chosen;
    let rejected = log_ratios.rejected.clone() * beta_rejected;
    -log_sigmoid(chosen - rejected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objectives::dpo::dpo;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn equal_betas_are_dpo() {
        let at = pair(&[0.7, -3.0], &[-0.2, 1.5]);
        assert_eq!(values(&flex_dpo(&at, 0.1, 0.1)), values(&dpo(&at, 0.1)));
    }

    #[test]
    fn each_side_has_the_gradient_of_its_own_beta() {
        let at = pair(&[0.0], &[0.0]);
        let slopes = slopes(&flex_dpo(&at, 0.1, 0.04), &at);
        assert_close(&slopes.chosen, &[-0.05]);
        assert_close(&slopes.rejected, &[0.02]);
    }

    /// `∂l/∂π_w = −β⁺ σ(−m) / π_w`, `∂l/∂π_l = β⁻ σ(−m) / π_l` with `m = β⁺ r_w − β⁻ r_l`.
    #[test]
    fn the_gradient_in_the_likelihoods_is_the_closed_form() {
        let (plus, minus, w, l, q_w, q_l) = (0.3f64, 0.05f64, 0.2f64, 1e-3f64, 0.1f64, 0.1f64);
        let at = pair(&[(w / q_w).ln()], &[(l / q_l).ln()]);
        let slopes = slopes(&flex_dpo(&at, plus, minus), &at);
        let m = plus * (w / q_w).ln() - minus * (l / q_l).ln();
        let wrong = 1.0 / (1.0 + m.exp());
        assert_close(&[slopes.chosen[0] / w], &[-plus * wrong / w]);
        assert_close(&[slopes.rejected[0] / l], &[minus * wrong / l]);
    }
}
