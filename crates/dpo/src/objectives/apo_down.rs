//! Anchored Preference Optimization, down.

use burn::tensor::Tensor;
use preflab_data::Pair;

use crate::inputs::margin;
use crate::stable::probability;

/// `σ(β r_w) + (1 − σ(β h))`: both sides down, the rejected one more. For pairs whose chosen completion is worse than what
/// the policy would say.
///
/// D'Oosterlinck et al. 2024, [arXiv:2408.06266](https://arxiv.org/abs/2408.06266), eq. 8; TRL's `apo_down`.
///
/// - `log_ratios`: `log π − log π_ref` summed over completion tokens, `[b]` each, nats.
/// - `scores`: the same, or their f-divergence scores, which the margin is made of (as in TRL, the first term always takes
///   the log-ratio).
/// - `beta`: 1/nats.
///
/// Returns `[b]`, in `(0, 2)`; 1 where the policy equals the reference.
pub fn apo_down(log_ratios: &Pair<Tensor<1>>, scores: &Pair<Tensor<1>>, beta: f64) -> Tensor<1> {
    probability(log_ratios.chosen.clone() * beta) + probability(margin(scores) * -beta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn at_the_reference_the_chosen_side_stands_still_and_the_rejected_one_falls() {
        let at = pair(&[0.0], &[0.0]);
        let loss = apo_down(&at, &at, 0.4);
        assert_close(&values(&loss), &[1.0]);
        let slopes = slopes(&loss, &at);
        assert_close(&slopes.chosen, &[0.0]);
        assert_close(&slopes.rejected, &[0.1]);
    }
}
