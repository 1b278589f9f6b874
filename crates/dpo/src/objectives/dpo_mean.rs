//! DPO on log-ratios divided by length.

use burn::tensor::Tensor;
use preflab_data::Pair;

use super::link::logistic;
use crate::inputs::margin;

/// `−log σ(β (r_w / |y_w| − r_l / |y_l|))`, with label smoothing.
///
/// TRL's `sigmoid_norm` and oat's `LR_DPO`; the length-normalised DPO of Lambert et al. 2024 (Tülu 3),
/// [arXiv:2411.15124](https://arxiv.org/abs/2411.15124), eq. 6.
///
/// - `mean_scores`: log-ratios (or f-divergence scores of the *summed* log-ratios, TRL's order) divided by the number of
///   completion tokens, `[b]` each, nats per token.
/// - `beta`: tokens/nats. A beta of DPO's size makes margins smaller by the factor of the length; Tülu 3 uses 5.
/// - `label_smoothing`: assumed share of flipped labels.
///
/// Returns `[b]`, above 0; `ln 2` where the policy equals the reference.
pub fn dpo_mean(mean_scores: &Pair<Tensor<1>>, beta: f64, label_smoothing: f64) -> Tensor<1> {
    logistic(margin(mean_scores) * beta, label_smoothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes};

    #[test]
    fn its_gradient_at_the_reference_is_half_of_beta_less_twice_the_smoothing() {
        let at = pair(&[0.0], &[0.0]);
        let slopes = slopes(&dpo_mean(&at, 5.0, 0.1), &at);
        assert_close(&slopes.chosen, &[-2.5 * 0.8]);
        assert_close(&slopes.rejected, &[2.5 * 0.8]);
    }
}
