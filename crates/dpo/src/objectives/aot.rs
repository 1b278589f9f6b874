//! Alignment via Optimal Transport on paired data.

use burn::tensor::Tensor;
use preflab_data::Pair;

use super::link::logistic;
use crate::inputs::margin;

/// `−log σ(β (q_i(log π_w − log π_l) − q_i(log π_ref,w − log π_ref,l)))`, where `q_i` is the `i`-th smallest of the batch:
/// the policy's margins are to dominate the reference's in distribution.
///
/// Melnyk et al. 2024, [arXiv:2406.05882](https://arxiv.org/abs/2406.05882), section 3; TRL's `aot`.
///
/// - `policy`, `reference`: log-probabilities summed over completion tokens, `[b]` each, nats.
/// - `beta`: 1/nats. `label_smoothing`: assumed share of flipped labels.
///
/// Returns `[b]`, above 0, in order of rank and not of pairs: the batch is one sample of a distribution, so the loss of a
/// micro-batch is not the loss of its part of the batch.
pub fn aot(
    policy: &Pair<Tensor<1>>,
    reference: &Pair<Tensor<1>>,
    beta: f64,
    label_smoothing: f64,
) -> Tensor<1> {
    let difference = sorted(margin(policy)) - sorted(margin(reference));
    logistic(difference * beta, label_smoothing)
}

/// In ascending order; gradients go to where each value came from.
pub(super) fn sorted(values: Tensor<1>) -> Tensor<1> {
    let order = values.clone().detach().argsort(0);
    values.select(0, order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn ranks_are_compared_not_pairs() {
        let policy = pair(&[5.0, 1.0], &[0.0, 0.0]);
        let reference = pair(&[0.5, 4.0], &[0.0, 0.0]);
        let loss = aot(&policy, &reference, 1.0, 0.0);
        let at = |margin: f64| (-margin).exp().ln_1p();
        assert_close(&values(&loss), &[at(0.5), at(1.0)]);
        let wrong = |margin: f64| 1.0 / (1.0 + margin.exp());
        assert_close(&slopes(&loss, &policy).chosen, &[-wrong(1.0), -wrong(0.5)]);
    }
}
