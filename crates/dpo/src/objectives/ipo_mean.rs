//! Identity Preference Optimization on log-ratios divided by length.

use burn::tensor::Tensor;
use preflab_data::Pair;

use super::ipo::ipo;

/// `(r_w / |y_w| − r_l / |y_l| − 1 / (2 η))²`.
///
/// Azar et al. 2023, [arXiv:2310.12036](https://arxiv.org/abs/2310.12036), eq. 17, on means over tokens: the form that
/// TRL's `ipo`, oat and HALOs compute, and that TRL's authors were told the paper's results come from. The printed form
/// is [`ipo`].
///
/// - `mean_scores`: log-ratios (or f-divergence scores of the summed log-ratios) divided by the number of completion
///   tokens, `[b]` each, nats per token.
/// - `eta`: regularisation, tokens/nats; TRL's `beta`, HALOs' `tau`.
///
/// Returns `[b]`, at least 0; `1 / (4 η²)` where the policy equals the reference. HALOs divides by the number of tokens
/// whose log-ratio is not 0, which is 0/0 at step 0; this divides by the length.
pub fn ipo_mean(mean_scores: &Pair<Tensor<1>>, eta: f64) -> Tensor<1> {
    ipo(mean_scores, eta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, values};

    #[test]
    fn it_aims_at_a_margin_per_token() {
        assert_close(
            &values(&ipo_mean(&pair(&[0.4, 0.0], &[-0.6, 0.0]), 0.5)),
            &[0.0, 1.0],
        );
    }
}
