//! Efficient Exact Optimization on pairs.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use preflab_data::Pair;

use crate::inputs::margin;
use crate::stable::probability;

/// `KL([σ(β h), σ(−β h)] ‖ [1 − ε, ε])`: the reverse KL between the policy's preference over the pair and the label's.
///
/// Ji et al. 2024, [arXiv:2402.00856](https://arxiv.org/abs/2402.00856), eq. 16; TRL's `exo_pair`, which forms `log ε` in
/// f32.
///
/// - `scores`: log-ratios summed over completion tokens (or their f-divergence scores), `[b]` each, nats.
/// - `beta`: 1/nats. `label_smoothing`: `ε`, above 0 and below one half.
///
/// Returns `[b]`, at least 0; 0 at `β h = log((1 − ε) / ε)`.
pub fn exo(scores: &Pair<Tensor<1>>, beta: f64, label_smoothing: f64) -> Tensor<1> {
    let logit = margin(scores) * beta;
    let side = |logit: Tensor<1>, target: f64| {
        probability(logit.clone()) * (log_sigmoid(logit) - target.ln())
    };
    side(logit.clone(), 1.0 - label_smoothing) + side(-logit, label_smoothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn it_is_zero_where_policy_and_label_agree() {
        let at = pair(&[(0.9f64 / 0.1).ln()], &[0.0]);
        let loss = exo(&at, 1.0, 0.1);
        assert_close(&values(&loss), &[0.0]);
        assert_close(&slopes(&loss, &at).chosen, &[0.0]);
    }

    /// `dl/dm = σ(m) σ(−m) (m − log((1 − ε) / ε))`.
    #[test]
    fn its_gradient_is_the_closed_form_even_far_out() {
        let at = pair(&[0.0, -30.0, -1e4, 1e4], &[0.0, 0.0, 0.0, 0.0]);
        let slopes = slopes(&exo(&at, 1.0, 1e-3), &at);
        let form = |m: f64| {
            let p = 1.0 / (1.0 + (-m).exp());
            p / (1.0 + m.exp()) * (m - (0.999f64 / 0.001).ln())
        };
        assert_close(&slopes.chosen, &[form(0.0), form(-30.0), 0.0, 0.0]);
    }
}
