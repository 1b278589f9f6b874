//! PPO's clipped surrogate.

use burn::tensor::Tensor;
use preflab_config::RatioClip;

use super::{PolicyBatch, larger};

/// The clipped surrogate: `-min(r A, clip(r, 1 - low, 1 + high) A)`, `[b, t]`.
///
/// `r = policy / old policy`. Schulman et al. 2017, [arXiv:1707.06347](https://arxiv.org/abs/1707.06347), eq. 7; bounds of
/// unequal width: Yu et al. 2025, DAPO, [arXiv:2503.14476](https://arxiv.org/abs/2503.14476), eq. 10.
///
/// With a dual clip, where `A < 0` the loss is at most `-dual A`, so that a large ratio with a negative advantage cannot
/// dominate: Ye et al. 2019, [arXiv:1912.09729](https://arxiv.org/abs/1912.09729), eq. 5 (verl has it on by default, at 3).
pub fn clipped_surrogate(batch: &PolicyBatch, clip: RatioClip) -> Tensor<2> {
    let ratio = batch.ratio();
    let gain = -batch.advantages.clone();
    let clamped = ratio
        .clone()
        .clamp(1.0 - clip.low.get(), 1.0 + clip.high.get());
    let losses = larger(gain.clone() * ratio, gain.clone() * clamped);
    match clip.dual {
        None => losses,
        Some(dual) => dual_clip(losses, batch.advantages.clone(), dual.get()),
    }
}

/// The smaller of a loss and `-dual A` where `A < 0`, the loss itself elsewhere, `[b, t]`.
///
/// Ye et al. 2019, [arXiv:1912.09729](https://arxiv.org/abs/1912.09729), eq. 5.
pub fn dual_clip(losses: Tensor<2>, advantages: Tensor<2>, dual: f64) -> Tensor<2> {
    let negative = advantages.clone().lower_elem(0.0);
    let bound = advantages * -dual;
    let held = negative.bool_and(losses.clone().greater(bound.clone()));
    losses.mask_where(held, bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy_loss::tests::{batch, numbers};
    use preflab_config::{NonNegative, Positive};

    const CLIP: fn(Option<f64>) -> RatioClip = |dual| RatioClip {
        low: NonNegative::of(0.2),
        high: NonNegative::of(0.3),
        dual: dual.map(Positive::of),
    };

    #[test]
    fn at_ratio_1_the_loss_is_the_advantage_and_its_gradient_too() {
        let (batch, leaf) = batch(&[-1.0, -2.0], &[-1.0, -2.0], &[0.5, -3.0]);
        let losses = clipped_surrogate(&batch, CLIP(None));
        assert_eq!(numbers(losses.clone().inner()), [-0.5, 3.0]);
        let gradients = losses.sum().backward();
        assert_eq!(numbers(leaf.grad(&gradients).unwrap()), [-0.5, 3.0]);
    }

    #[test]
    fn beyond_the_bound_there_is_no_gradient_in_the_direction_that_helps() {
        // Ratio e: too large for A > 0 (clipped, no gradient), not clipped for A < 0.
        let (batch, leaf) = batch(&[0.0, 0.0], &[-1.0, -1.0], &[1.0, -1.0]);
        let losses = clipped_surrogate(&batch, CLIP(None));
        let e = 1f64.exp();
        let values = numbers(losses.clone().inner());
        assert!((values[0] + 1.3).abs() < 1e-15 && (values[1] - e).abs() < 1e-15);
        let gradient = numbers(leaf.grad(&losses.sum().backward()).unwrap());
        assert!(gradient[0] == 0.0 && (gradient[1] - e).abs() < 1e-15);
    }

    #[test]
    fn the_dual_clip_holds_a_large_ratio_with_a_negative_advantage() {
        let (batch, leaf) = batch(&[2.0, 2.0], &[0.0, 0.0], &[-1.0, 1.0]);
        let losses = clipped_surrogate(&batch, CLIP(Some(3.0)));
        assert_eq!(numbers(losses.clone().inner()), [3.0, -1.3]);
        assert_eq!(
            numbers(leaf.grad(&losses.sum().backward()).unwrap()),
            [0.0, 0.0]
        );
    }

    #[test]
    fn a_broken_token_stays_finite() {
        let (batch, leaf) = batch(&[2e4, -2e4], &[0.0, 0.0], &[-1.0, 1.0]);
        let losses = clipped_surrogate(&batch, CLIP(None));
        assert!(
            numbers(losses.clone().inner())
                .iter()
                .all(|x| x.is_finite())
        );
        assert_eq!(
            numbers(leaf.grad(&losses.sum().backward()).unwrap()),
            [0.0, 0.0]
        );
    }
}
