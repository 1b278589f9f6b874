//! Anchored Preference Optimization, zero.

use burn::tensor::Tensor;
use preflab_data::Pair;

use crate::stable::probability;

/// `(1 − σ(β r_w)) + σ(β r_l)`: chosen up, rejected down, each against the reference. For pairs whose chosen completion is
/// better than what the policy would say.
///
/// D'Oosterlinck et al. 2024, [arXiv:2408.06266](https://arxiv.org/abs/2408.06266), eq. 7; TRL's `apo_zero`.
///
/// - `log_ratios`: `log π − log π_ref` summed over completion tokens, `[b]` each, nats.
/// - `beta`: 1/nats.
///
/// Returns `[b]`, in `(0, 2)`; 1 where the policy equals the reference.
pub fn apo_zero(log_ratios: &Pair<Tensor<1>>, beta: f64) -> Tensor<1> {
    probability(log_ratios.chosen.clone() * -beta) + probability(log_ratios.rejected.clone() * beta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn the_sides_do_not_look_at_each_other() {
        let at = pair(&[0.0, 4.0], &[0.0, 4.0]);
        let loss = apo_zero(&at, 0.5);
        assert_close(&values(&loss), &[1.0, 1.0]);
        let slopes = slopes(&loss, &at);
        let steepness = 0.5 / ((1.0 + 2f64.exp()) * (1.0 + (-2f64).exp()));
        assert_close(&slopes.chosen, &[-0.125, -steepness]);
        assert_close(&slopes.rejected, &[0.125, steepness]);
    }
}
