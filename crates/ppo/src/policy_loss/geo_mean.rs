//! The geometric mean of clipped token ratios.

use burn::tensor::Tensor;
use preflab_config::RatioBounds;

use super::{PolicyBatch, larger};

/// Geometric-Mean Policy Optimization: `-Â exp(mean_t min(l_t sign(A_t), clip(l_t, -low, high) sign(A_t)) sign(A_t))`, `[b]`.
///
/// `l` is the log ratio of a token, `Â` the mean advantage of a row. Zhao et al. 2025,
/// [arXiv:2507.20673](https://arxiv.org/abs/2507.20673), its bounds are on the log ratio. One loss for each
/// completion, 0 for an empty one.
pub fn geo_mean(batch: &PolicyBatch, bounds: RatioBounds) -> Tensor<1> {
    let [b, _] = batch.mask.dims();
    let sign = batch.advantages.clone().sign();
    let log_ratio = batch.log_ratio();
    let clamped = log_ratio
        .clone()
        .clamp(-bounds.low.get(), bounds.high.get());
    // min(a, b) = -max(-a, -b), with the gradient to the unclipped one where both are equal.
    let smaller = -larger(-(sign.clone() * log_ratio), -(sign.clone() * clamped));
    let ratio = batch.row_mean(sign * smaller).exp();
    let advantage = batch.row_mean(batch.advantages.clone());
    -(advantage * ratio).reshape([b])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy_loss::tests::{batch, numbers};
    use preflab_config::NonNegative;

    #[test]
    fn within_the_bounds_it_is_the_geometric_mean_ratio_times_the_advantage() {
        let bounds = RatioBounds {
            low: NonNegative::of(0.4),
            high: NonNegative::of(0.4),
        };
        let (batch, _) = batch(&[-1.0, -2.0], &[-1.2, -2.1], &[2.0, 2.0]);
        let losses = geo_mean(&batch, bounds).inner().reshape([1, 1]);
        assert!((numbers(losses)[0] + 2.0 * 0.15f64.exp()).abs() < 1e-14);
    }
}
