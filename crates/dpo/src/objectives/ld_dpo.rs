//! Length-Desensitised DPO: tokens beyond the shorter completion's length weigh less.

use burn::tensor::Tensor;
use preflab_data::Pair;

use crate::inputs::{Inputs, Logps, TokenTerms};

/// `Σ_{t ≤ l} log π(y_t) + α Σ_{t > l} log π(y_t)` with `l = min(|y_w|, |y_l|)`, under policy and reference.
///
/// Liu et al. 2024, [arXiv:2409.06411](https://arxiv.org/abs/2409.06411), eq. 9; TRL's `ld_alpha`.
///
/// - `inputs`: with log-probabilities token by token.
/// - `alpha`: weight of the excess, in `[0, 1]`; 1 changes nothing.
///
/// Returns the inputs with weighted log-probabilities. Lengths are unchanged, so that means still divide by the number of
/// tokens.
///
/// # Panics
/// If only sums are known.
pub fn length_desensitised(inputs: &Inputs, alpha: f64) -> Inputs {
    let lengths = inputs.lengths();
    let shared = lengths.chosen.min_pair(lengths.rejected);
    let weighted = |sides: &Pair<Logps>| {
        sides
            .as_ref()
            .map(|side| with_weights(side, excess_weights(side, shared.clone(), alpha)))
    };
    Inputs {
        policy: weighted(&inputs.policy),
        reference: weighted(&inputs.reference),
        context: inputs.context.clone(),
    }
}

/// 1 in the columns before `shared`, `alpha` after, `[b, c]`.
fn excess_weights(side: &Logps, shared: Tensor<1>, alpha: f64) -> Tensor<2> {
    let [rows, columns] = side.terms().logps.dims();
    let beyond = side
        .columns()
        .expand([rows, columns])
        .greater_equal(shared.unsqueeze_dim::<2>(1).expand([rows, columns]));
    side.terms().logps.ones_like().mask_fill(beyond, alpha)
}

fn with_weights(side: &Logps, weights: Tensor<2>) -> Logps {
    let logps = side.terms().logps.clone() * weights;
    Logps {
        sum: logps.clone().sum_dim(1).squeeze_dim(1),
        lengths: side.lengths.clone(),
        tokens: Some(TokenTerms {
            logps,
            log_collision: side.terms().log_collision.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, leaf, values};

    fn side(values: &[f64], length: f64) -> Logps {
        Logps::from_tokens(leaf(values).unsqueeze_dim(0), leaf(&[length]))
    }

    #[test]
    fn only_the_longer_completion_changes_and_only_beyond_the_shorter_length() {
        let policy = Pair {
            chosen: side(&[-1.0, -2.0, -4.0], 3.0),
            rejected: side(&[-5.0, 0.0, 0.0], 1.0),
        };
        let reference = policy.clone();
        let inputs = length_desensitised(&Inputs::new(policy, reference), 0.5);
        assert_close(&values(&inputs.policy.chosen.sum), &[-4.0]);
        assert_close(&values(&inputs.policy.rejected.sum), &[-5.0]);
        assert_close(&values(&inputs.reference.chosen.sum), &[-4.0]);
        assert_close(&values(&inputs.policy.chosen.lengths), &[3.0]);
    }
}
