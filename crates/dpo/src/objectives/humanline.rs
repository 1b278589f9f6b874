//! Humanline: log-ratios clamped token by token.

use preflab_data::Pair;

use crate::inputs::{Inputs, Logps};

/// `Σ_t clamp(log π(y_t) − log π_ref(y_t), low, high)` in the policy's place, 0 in the reference's.
///
/// Liu et al. 2025, [arXiv:2509.24207](https://arxiv.org/abs/2509.24207), section 4; HALOs' `humanline`. Tokens at a limit
/// carry no gradient.
///
/// - `inputs`: with log-probabilities token by token.
/// - `low`, `high`: nats.
///
/// Returns inputs on which every objective of log-ratios is its clamped self. Objectives of log-probabilities alone
/// see the clamped log-ratio in their place.
///
/// # Panics
/// If only sums are known.
pub fn clamped(inputs: &Inputs, low: f64, high: f64) -> Inputs {
    let clamped = |(policy, reference): (&Logps, &Logps)| {
        let ratios = policy.terms().logps.clone() - reference.terms().logps.clone();
        Logps::from_tokens(ratios.clamp(low, high), policy.lengths.clone())
    };
    let policy: Pair<Logps> = inputs
        .policy
        .as_ref()
        .zip(inputs.reference.as_ref())
        .map(clamped);
    Inputs {
        reference: policy.as_ref().map(Logps::zeroed),
        policy,
        context: inputs.context.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, leaf, values};

    #[test]
    fn a_token_beyond_the_limit_counts_as_the_limit() {
        let tokens =
            |values: &[f64]| Logps::from_tokens(leaf(values).unsqueeze_dim(0), leaf(&[3.0]));
        let sides = |values: &[f64]| Pair {
            chosen: tokens(values),
            rejected: tokens(&[0.0; 3]),
        };
        let inputs = Inputs::new(sides(&[-0.1, -3.0, -0.2]), sides(&[-0.3, -1.0, -9.0]));
        let clamped = clamped(&inputs, -1.0, 1.5);
        assert_close(&values(&clamped.log_ratios().chosen), &[0.2 - 1.0 + 1.5]);
        assert_close(&values(&clamped.log_ratios().rejected), &[0.0]);
    }
}
