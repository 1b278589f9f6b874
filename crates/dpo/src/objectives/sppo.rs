//! Self-Play Preference Optimization with hard probabilities.

use burn::tensor::Tensor;
use preflab_data::Pair;

/// `(r_w − 1 / (2 β))² + (r_l + 1 / (2 β))²`: each side's log-ratio regressed on its preference probability (1 and 0)
/// minus one half.
///
/// Wu et al. 2024, [arXiv:2405.00675](https://arxiv.org/abs/2405.00675), eq. 4.7 with `P = 1` for the winner; TRL's
/// `sppo_hard`.
///
/// - `scores`: log-ratios summed over completion tokens (or their f-divergence scores), `[b]` each, nats.
/// - `beta`: 1/nats, the reciprocal of the paper's `η`.
///
/// Returns `[b]`, nats², at least 0; `1 / (2 β²)` where the policy equals the reference.
pub fn sppo(scores: &Pair<Tensor<1>>, beta: f64) -> Tensor<1> {
    let target = 0.5 / beta;
    (scores.chosen.clone() - target).square() + (scores.rejected.clone() + target).square()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn each_side_has_its_own_target() {
        let at = pair(&[0.0, 5.0], &[0.0, -5.0]);
        let loss = sppo(&at, 0.1);
        assert_close(&values(&loss), &[50.0, 0.0]);
        let slopes = slopes(&loss, &at);
        assert_close(&slopes.chosen, &[-10.0, 0.0]);
        assert_close(&slopes.rejected, &[10.0, 0.0]);
    }
}
