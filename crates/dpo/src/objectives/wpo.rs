//! Weighted Preference Optimization: pairs that the policy itself would produce weigh more.

use burn::tensor::Tensor;
use preflab_config::WpoAlignment;

use crate::inputs::{Inputs, Logps, per_token};

/// `exp(mean_t a_t)` without gradient, `[b]`, with `a_t = log π(y_t) − log Σ_v π(v)²` (sampled alignment) or
/// `a_t = log π(y_t)`.
///
/// Zhou et al. 2024, [arXiv:2406.11827](https://arxiv.org/abs/2406.11827), eq. 2 and section 3.2.
///
/// # Panics
/// With sampled alignment, if the collision probabilities are not known.
pub fn completion_weight(policy: &Logps, alignment: WpoAlignment) -> Tensor<1> {
    let total = match alignment {
        WpoAlignment::None => policy.sum.clone().detach(),
        WpoAlignment::Sampled => {
            let terms = policy.terms();
            let collision = terms.log_collision.clone();
            let collision =
                collision.expect("WPO's sampled alignment reads collision probabilities");
            let aligned = terms.logps.clone().detach() - collision.detach();
            aligned.sum_dim(1).squeeze_dim(1)
        }
    };
    per_token(total, policy.lengths.clone()).exp()
}

/// `w(y_w) w(y_l)`, `[b]`, without gradient: what the loss of a pair is multiplied with. TRL's `use_weighting`.
pub fn pair_weight(inputs: &Inputs, alignment: WpoAlignment) -> Tensor<1> {
    let weights = inputs
        .policy
        .as_ref()
        .map(|side| completion_weight(side, alignment));
    weights.chosen * weights.rejected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, leaf, values};

    #[test]
    fn a_uniform_policy_gives_every_completion_weight_one() {
        // over 4 tokens: log π = -ln 4, Σ π² = 1/4
        let uniform = -(4f64.ln());
        let mut side = Logps::from_tokens(
            leaf(&[uniform, uniform, 0.0]).unsqueeze_dim(0),
            leaf(&[2.0]),
        );
        assert_close(
            &values(&completion_weight(&side, WpoAlignment::None)),
            &[0.25],
        );
        let terms = side.tokens.as_mut().unwrap();
        terms.log_collision = Some(terms.logps.clone());
        assert_close(
            &values(&completion_weight(&side, WpoAlignment::Sampled)),
            &[1.0],
        );
    }
}
