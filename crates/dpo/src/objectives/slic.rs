//! Sequence Likelihood Calibration, without a reference.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use preflab_data::Pair;

use crate::inputs::margin;

/// `max(0, δ − log π(y_w) + log π(y_l)) − η log π(y_w)`.
///
/// Zhao et al. 2023, [arXiv:2305.10425](https://arxiv.org/abs/2305.10425), eq. 1 with the chosen completion as the
/// regularisation target; [arXiv:2406.07327](https://arxiv.org/abs/2406.07327), eq. 10. The reference-anchored form that
/// TRL and oat call SLiC is [`hinge`](super::hinge::hinge).
///
/// - `logps`: `log π(y|x)` summed over completion tokens, `[b]` each, nats.
/// - `delta`: margin, nats. `eta`: weight of the likelihood term.
///
/// Returns `[b]`, at least 0. HALOs names `delta` beta and averages the likelihood term over columns, padding included.
pub fn slic(logps: &Pair<Tensor<1>>, delta: f64, eta: f64) -> Tensor<1> {
    relu(-margin(logps) + delta) - logps.chosen.clone() * eta
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn inside_the_margin_both_sides_move_and_outside_only_the_likelihood_term() {
        let at = pair(&[-10.0, -10.0], &[-12.0, -20.0]);
        let loss = slic(&at, 5.0, 0.1);
        assert_close(&values(&loss), &[3.0 + 1.0, 1.0]);
        let slopes = slopes(&loss, &at);
        assert_close(&slopes.chosen, &[-1.1, -0.1]);
        assert_close(&slopes.rejected, &[1.0, 0.0]);
    }

    /// arXiv:2406.07327: inside the margin `∂l/∂π_w = −(1 + η) / π_w` and `∂l/∂π_l = 1 / π_l`.
    #[test]
    fn its_gradient_in_the_likelihoods_is_the_closed_form() {
        let (w, l) = (0.2f64, 0.05f64);
        let at = pair(&[w.ln()], &[l.ln()]);
        let slopes = slopes(&slic(&at, 5.0, 0.1), &at);
        assert_close(&[slopes.chosen[0] / w], &[-1.1 / w]);
        assert_close(&[slopes.rejected[0] / l], &[1.0 / l]);
    }
}
