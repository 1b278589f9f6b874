//! Odds Ratio Preference Optimization.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use preflab_data::Pair;

use crate::inputs::margin;
use crate::stable::log_one_minus_exp;

/// `log(p̄ / (1 − p̄))` with `log p̄ = log π(y) / |y|`, `[b]`.
fn log_odds(mean: Tensor<1>) -> Tensor<1> {
    mean.clone() - log_one_minus_exp(mean)
}

/// `log odds(y_w) − log odds(y_l)`, `[b]`; see [`orpo`].
pub fn log_odds_margin(means: &Pair<Tensor<1>>) -> Tensor<1> {
    margin(&means.clone().map(log_odds))
}

/// `−w log p̄(y_w) − λ log σ(log odds(y_w) − log odds(y_l))`, with `p̄` the geometric mean of token probabilities.
///
/// Hong et al. 2024, [arXiv:2403.07691](https://arxiv.org/abs/2403.07691), eqs. 6 and 7; TRL's ORPO trainer, whose
/// likelihood term averages over the tokens of the batch and includes the prompt.
///
/// - `means`: log-probabilities divided by the number of completion tokens, `[b]` each, nats per token; below 0.
/// - `lambda`: weight of the odds ratio, TRL's `beta`. `nll_weight`: `w`, 1 in the paper.
///
/// Returns `[b]`, above 0. A completion of probability 1 counts as one of probability `1 − 1e-6` per token.
pub fn orpo(means: &Pair<Tensor<1>>, lambda: f64, nll_weight: f64) -> Tensor<1> {
    -log_sigmoid(log_odds_margin(means)) * lambda - means.chosen.clone() * nll_weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn equal_odds_leave_ln_2_and_the_likelihood() {
        let at = pair(&[-0.7], &[-0.7]);
        let loss = orpo(&at, 0.1, 1.0);
        assert_close(&values(&loss), &[0.7 + 0.1 * std::f64::consts::LN_2]);
        // d log odds / d log p = 1 / (1 - p)
        let slope = 0.05 / (1.0 - (-0.7f64).exp());
        let slopes = slopes(&loss, &at);
        assert_close(&slopes.chosen, &[-1.0 - slope]);
        assert_close(&slopes.rejected, &[slope]);
    }

    #[test]
    fn certain_and_empty_completions_stay_finite() {
        let at = pair(&[0.0, -1e4], &[-1e4, 0.0]);
        let loss = orpo(&at, 0.1, 0.0);
        let slopes = slopes(&loss, &at);
        let all = [values(&loss), slopes.chosen, slopes.rejected].concat();
        assert!(all.iter().all(|x| x.is_finite()), "{all:?}");
    }
}
