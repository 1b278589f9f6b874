//! DPO with a length penalty.

use burn::tensor::Tensor;
use preflab_data::Pair;

use super::link::logistic;
use crate::inputs::margin;

/// `α (|y_w| − |y_l|)`, `[b]`: what a length difference adds to the logit.
pub fn length_term(lengths: &Pair<Tensor<1>>, alpha: f64) -> Tensor<1> {
    margin(lengths) * alpha
}

/// `−log σ(β h + α (|y_w| − |y_l|))`: a longer chosen completion is already explained by its length, so it is learnt from
/// less.
///
/// Park et al. 2024, [arXiv:2403.19159](https://arxiv.org/abs/2403.19159), eq. 9; oat's `len_reg_alpha`.
///
/// - `log_ratios`: `log π − log π_ref`, summed over completion tokens (or averaged), `[b]` each, nats.
/// - `lengths`: completion tokens, `[b]` each.
/// - `beta`: 1/nats. `alpha`: 1/tokens, outside beta. `label_smoothing`: assumed share of flipped labels.
///
/// Returns `[b]`, above 0; `ln 2` where the policy equals the reference and lengths are equal.
pub fn r_dpo(
    log_ratios: &Pair<Tensor<1>>,
    lengths: &Pair<Tensor<1>>,
    beta: f64,
    alpha: f64,
    label_smoothing: f64,
) -> Tensor<1> {
    let logit = margin(log_ratios) * beta + length_term(lengths, alpha);
    logistic(logit, label_smoothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn a_longer_chosen_completion_counts_as_margin() {
        let at = pair(&[1.0], &[0.0]);
        let lengths = pair(&[30.0], &[10.0]);
        let loss = r_dpo(&at, &lengths, 0.1, 0.02, 0.0);
        assert_close(&values(&loss), &[(-0.5f64).exp().ln_1p()]);
        let wrong = 1.0 / (1.0 + 0.5f64.exp());
        assert_close(&slopes(&loss, &at).rejected, &[0.1 * wrong]);
    }
}
