//! Clipping by the ratio of the whole completion.

use burn::tensor::Tensor;
use preflab_config::RatioBounds;

use super::{PolicyBatch, larger};

/// Log of the largest sequence ratio, as in verl.
const MAX_LOG_SEQUENCE_RATIO: f64 = 10.0;

/// Group Sequence Policy Optimization: `-min(s A, clip(s, 1 - low, 1 + high) A)`, `[b, t]`.
///
/// `s = (policy(y) / old policy(y))^(1/|y|)`, the geometric mean of the token ratios, the same for every token of a row.
/// Zheng et al. 2025, [arXiv:2507.18071](https://arxiv.org/abs/2507.18071), eqs. 5 and 7. OpenRLHF's form.
///
/// Means as meant only under `sequence-mean-token-mean`, with the same advantage on every token of a row.
pub fn gspo(batch: &PolicyBatch, bounds: RatioBounds) -> Tensor<2> {
    let shape = batch.mask.dims();
    let mean = batch
        .row_mean(batch.log_ratio())
        .clamp_max(MAX_LOG_SEQUENCE_RATIO);
    clipped(mean.exp().expand(shape), batch, bounds)
}

/// GSPO-token: the value of [`gspo`], while each token's gradient is weighted by its own advantage.
///
/// `s_t = stop(s) * policy_t / stop(policy_t)`; Zheng et al. 2025, [arXiv:2507.18071](https://arxiv.org/abs/2507.18071),
/// eqs. 13 and 14. verl's form. Equal to [`gspo`] where the advantage is the same on every token of a row.
pub fn gspo_token(batch: &PolicyBatch, bounds: RatioBounds) -> Tensor<2> {
    let shape = batch.mask.dims();
    let mean = batch.row_mean(batch.log_ratio()).detach().expand(shape);
    let log_ratio = batch.logps.clone() - batch.logps.clone().detach() + mean;
    clipped(
        log_ratio.clamp_max(MAX_LOG_SEQUENCE_RATIO).exp(),
        batch,
        bounds,
    )
}

fn clipped(ratio: Tensor<2>, batch: &PolicyBatch, bounds: RatioBounds) -> Tensor<2> {
    let gain = -batch.advantages.clone();
    let clamped = ratio
        .clone()
        .clamp(1.0 - bounds.low.get(), 1.0 + bounds.high.get());
    larger(gain.clone() * ratio, gain * clamped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy_loss::tests::{batch, numbers};
    use preflab_config::NonNegative;

    #[test]
    fn both_forms_agree_where_a_row_has_one_advantage() {
        let bounds = RatioBounds {
            low: NonNegative::of(0.2),
            high: NonNegative::of(0.2),
        };
        let (batch, leaf) = batch(&[-1.0, -2.0, -0.5], &[-1.1, -1.9, -0.6], &[0.7, 0.7, 0.7]);
        let of = |losses: Tensor<2>| {
            let value = numbers(losses.clone().inner()).iter().sum::<f64>();
            (value, numbers(leaf.grad(&losses.sum().backward()).unwrap()))
        };
        let (sequence, token) = (of(gspo(&batch, bounds)), of(gspo_token(&batch, bounds)));
        let ratio = (0.1f64 / 3.0).exp();
        assert!((sequence.0 + 3.0 * 0.7 * ratio).abs() < 1e-14);
        assert!((sequence.0 - token.0).abs() < 1e-14);
        for (a, b) in sequence.1.iter().zip(&token.1) {
            assert!((a - b).abs() < 1e-14 && (a + 0.7 * ratio).abs() < 1e-14);
        }
    }
}
