//! DPO-Positive (Smaug).

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use preflab_data::Pair;

use super::link::logistic;
use super::r_dpo::length_term;
use crate::inputs::margin;

/// `−log σ(β (h − λ max(0, −r_w)) + α (|y_w| − |y_l|))`: a chosen completion that has become less likely than under the
/// reference costs margin.
///
/// Pal et al. 2024, [arXiv:2402.13228](https://arxiv.org/abs/2402.13228), eq. 3, with `α = 0` and no label smoothing. Both
/// are here because oat combines them.
///
/// - `log_ratios`: `log π − log π_ref`, summed over completion tokens (or averaged), `[b]` each, nats.
/// - `lengths`: completion tokens, `[b]` each.
/// - `beta`: 1/nats; it multiplies the penalty too. `lambda`: weight of the penalty.
/// - `length_weight`: `α`, 1/tokens, outside beta. `label_smoothing`: assumed share of flipped labels.
///
/// Returns `[b]`, above 0; `ln 2` where the policy equals the reference and lengths are equal.
pub fn dpop(
    log_ratios: &Pair<Tensor<1>>,
    lengths: &Pair<Tensor<1>>,
    beta: f64,
    lambda: f64,
    length_weight: f64,
    label_smoothing: f64,
) -> Tensor<1> {
    let penalty = relu(-log_ratios.chosen.clone()) * lambda;
    let logit = (margin(log_ratios) - penalty) * beta + length_term(lengths, length_weight);
    logistic(logit, label_smoothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objectives::dpo::dpo;
    use crate::testing::{assert_close, pair, slopes, values};

    fn plain(log_ratios: &Pair<Tensor<1>>, beta: f64, lambda: f64) -> Tensor<1> {
        let n = log_ratios.chosen.dims()[0];
        let lengths = pair(&vec![3.0; n], &vec![3.0; n]);
        dpop(log_ratios, &lengths, beta, lambda, 0.0, 0.0)
    }

    #[test]
    fn a_chosen_completion_that_gained_pays_nothing() {
        let at = pair(&[0.5], &[-1.0]);
        assert_eq!(values(&plain(&at, 0.3, 50.0)), values(&dpo(&at, 0.3)));
    }

    /// `∂l/∂log π_w = −β (1 + λ) σ(−m)` once the chosen completion has lost probability.
    #[test]
    fn one_that_lost_is_pulled_back_with_one_plus_lambda() {
        let at = pair(&[-0.5], &[-1.0]);
        let loss = plain(&at, 0.3, 5.0);
        let m: f64 = 0.3 * (0.5 - 2.5);
        let wrong = 1.0 / (1.0 + m.exp());
        assert_close(&values(&loss), &[(-m).exp().ln_1p()]);
        let slopes = slopes(&loss, &at);
        assert_close(&slopes.chosen, &[-0.3 * 6.0 * wrong]);
        assert_close(&slopes.rejected, &[0.3 * wrong]);
    }
}
