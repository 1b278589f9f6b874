//! Kahneman-Tversky Optimization.

use burn::tensor::Tensor;
use preflab_data::Pair;

use crate::stable::probability;

/// `max(0, mean(r))`, `[1]`: the divergence of the policy from the reference, estimated from log-ratios of completions
/// that have nothing to do with the examples.
///
/// - `log_ratios`: `log π − log π_ref` summed over completion tokens, `[n]`, nats.
pub fn kl_estimate(log_ratios: Tensor<1>) -> Tensor<1> {
    log_ratios.mean().clamp_min(0.0)
}

/// `1 − σ(β (r − z))` of desirable and `1 − σ(β (z − r))` of undesirable completions, `[b]` each. The two sides need not
/// belong to one prompt, nor be equally many.
///
/// Ethayarajh et al. 2024, [arXiv:2402.01306](https://arxiv.org/abs/2402.01306), eq. 7, without the weights.
///
/// - `log_ratios`: `log π − log π_ref` summed over completion tokens, nats.
/// - `kl`: the baseline `z` of each side, `[1]`, nats: [`kl_estimate`] of unrelated completions, the same on both sides.
/// - `beta`: 1/nats.
///
/// Each is in `(0, 1)`; one half where `r = z`.
pub fn kto_examples(
    log_ratios: &Pair<Tensor<1>>,
    kl: Pair<Tensor<1>>,
    beta: f64,
) -> Pair<Tensor<1>> {
    let gains = log_ratios
        .clone()
        .zip(kl)
        .map(|(ratio, kl)| (ratio - kl) * beta);
    Pair {
        chosen: probability(-gains.chosen),
        rejected: probability(gains.rejected),
    }
}

/// `½ w_D (1 − σ(β (r_w − z))) + ½ w_U (1 − σ(β (z − r_l)))`: the mean of [`kto_examples`] over both sides of a pair.
///
/// - `weights`: `w_D` of chosen and `w_U` of rejected completions.
///
/// Returns `[b]`, in `(0, (w_D + w_U) / 2)`.
///
/// TRL and HALOs estimate `z` from unrelated completions and stop its gradient (HALOs divides by the number of non-zero
/// log-ratios); OpenRLHF's vanilla form takes the other side's log-ratios of the batch and lets the gradient through; TRL's
/// `apo_zero_unpaired` has `z = 0`.
pub fn kto(
    log_ratios: &Pair<Tensor<1>>,
    kl: Pair<Tensor<1>>,
    beta: f64,
    weights: Pair<f64>,
) -> Tensor<1> {
    let examples = kto_examples(log_ratios, kl, beta);
    examples.chosen * (0.5 * weights.chosen) + examples.rejected * (0.5 * weights.rejected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, leaf, pair, slopes, values};

    #[test]
    fn a_side_at_the_baseline_costs_half_of_its_weight() {
        let at = pair(&[2.0], &[2.0]);
        let kl = Pair {
            chosen: leaf(&[2.0]),
            rejected: leaf(&[2.0]),
        };
        let weights = Pair {
            chosen: 1.5,
            rejected: 0.75,
        };
        let loss = kto(&at, kl, 0.1, weights);
        assert_close(&values(&loss), &[0.25 * 1.5 + 0.25 * 0.75]);
        let slopes = slopes(&loss, &at);
        assert_close(&slopes.chosen, &[-0.5 * 1.5 * 0.1 * 0.25]);
        assert_close(&slopes.rejected, &[0.5 * 0.75 * 0.1 * 0.25]);
    }

    #[test]
    fn the_baseline_is_never_below_zero() {
        assert_eq!(values(&kl_estimate(leaf(&[-3.0, 1.0]))), [0.0]);
        assert_eq!(values(&kl_estimate(leaf(&[3.0, 1.0]))), [2.0]);
    }
}
