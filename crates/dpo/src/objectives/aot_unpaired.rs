//! Alignment via Optimal Transport on unpaired data.

use burn::tensor::Tensor;
use preflab_data::Pair;

use super::aot::sorted;
use super::link::logistic;

/// `−log σ(β (q_i(r_w) − q_i(r_l)))`, where `q_i` is the `i`-th smallest of the batch: rewards of chosen completions are to
/// dominate those of rejected ones in distribution.
///
/// Melnyk et al. 2024, [arXiv:2406.05882](https://arxiv.org/abs/2406.05882), section 3; TRL 1.9's `aot_unpaired`, which 0.24
/// called `aot_pair`.
///
/// - `log_ratios`: `log π − log π_ref` summed over completion tokens, `[b]` each, nats.
/// - `beta`: 1/nats. `label_smoothing`: assumed share of flipped labels.
///
/// Returns `[b]`, above 0, in order of rank; see [`aot`](super::aot::aot).
pub fn aot_unpaired(log_ratios: &Pair<Tensor<1>>, beta: f64, label_smoothing: f64) -> Tensor<1> {
    let sorted = log_ratios.clone().map(sorted);
    logistic((sorted.chosen - sorted.rejected) * beta, label_smoothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn the_order_of_either_side_does_not_matter() {
        let at = pair(&[5.0, 1.0], &[0.5, 4.0]);
        let loss = aot_unpaired(&at, 1.0, 0.0);
        let loss_value = |margin: f64| (-margin).exp().ln_1p();
        assert_close(&values(&loss), &[loss_value(0.5), loss_value(1.0)]);
        let wrong = |margin: f64| 1.0 / (1.0 + margin.exp());
        assert_close(&slopes(&loss, &at).rejected, &[wrong(0.5), wrong(1.0)]);
    }
}
