//! Identity Preference Optimization on summed log-ratios.

use burn::tensor::Tensor;
use preflab_data::Pair;

use crate::inputs::margin;

/// `(h − 1 / (2 η))²` with `h = r_w − r_l`.
///
/// Azar et al. 2023, [arXiv:2310.12036](https://arxiv.org/abs/2310.12036), eq. 17 (its `τ`);
/// [arXiv:2406.07327](https://arxiv.org/abs/2406.07327), eq. 7. This is the printed form, on sums over tokens, as the
/// original DPO code and OpenRLHF compute it; the form divided by length is [`ipo_mean`](super::ipo_mean::ipo_mean).
///
/// - `scores`: log-ratios summed over completion tokens (or their f-divergence scores), `[b]` each, nats.
/// - `eta`: regularisation, 1/nats.
///
/// Returns `[b]`, nats², at least 0; `1 / (4 η²)` where the policy equals the reference.
pub fn ipo(scores: &Pair<Tensor<1>>, eta: f64) -> Tensor<1> {
    (margin(scores) - 1.0 / (2.0 * eta)).square()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn it_is_a_parabola_around_half_the_reciprocal_of_eta() {
        let at = pair(&[0.0, 3.0, 5.0], &[0.0, -2.0, 1.0]);
        let loss = ipo(&at, 0.1);
        assert_close(&values(&loss), &[25.0, 0.0, 1.0]);
        let slopes = slopes(&loss, &at);
        assert_close(&slopes.chosen, &[-10.0, 0.0, -2.0]);
        assert_close(&slopes.rejected, &[10.0, 0.0, 2.0]);
    }

    /// arXiv:2406.07327: `∂l/∂π_w = 2 (h − 1/(2η)) / π_w`, `∂l/∂π_l = −2 (h − 1/(2η)) / π_l`: corollary 1's ratio again.
    #[test]
    fn its_gradients_in_the_likelihoods_keep_the_ratio_of_corollary_1() {
        let (eta, w, l, q) = (0.1f64, 0.3f64, 0.05f64, 0.12f64);
        let at = pair(&[(w / q).ln()], &[(l / q).ln()]);
        let slopes = slopes(&ipo(&at, eta), &at);
        let h = (w / l).ln();
        assert_close(&[slopes.chosen[0] / w], &[2.0 * (h - 5.0) / w]);
        assert_close(
            &[(slopes.chosen[0] / w) / (slopes.rejected[0] / l)],
            &[-l / w],
        );
    }
}
