//! Contrastive Preference Optimization.

use burn::tensor::Tensor;
use preflab_config::Link;
use preflab_data::Pair;

use super::link::linked;
use crate::inputs::margin;

/// `−log σ(β (log π(y_w) − log π(y_l))) − w log π(y_w) / |y_w|`: DPO with a uniform reference, plus behaviour cloning.
///
/// Xu et al. 2024, [arXiv:2401.08417](https://arxiv.org/abs/2401.08417), eq. 3; TRL's CPO trainer, whose likelihood term
/// averages over the tokens of the batch.
///
/// - `logps`: log-probabilities summed over completion tokens, `[b]` each, nats.
/// - `mean_chosen`: `log π(y_w) / |y_w|`, `[b]`, nats per token.
/// - `beta`: 1/nats. `nll_weight`: `w`, TRL's `cpo_alpha`. `link`: logistic with label smoothing, or the hinge.
///
/// Returns `[b]`, at least 0.
pub fn cpo(
    logps: &Pair<Tensor<1>>,
    mean_chosen: Tensor<1>,
    beta: f64,
    nll_weight: f64,
    link: Link,
) -> Tensor<1> {
    linked(margin(logps) * beta, link) - mean_chosen * nll_weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stable::divided;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn the_reference_is_uniform_and_the_chosen_completion_is_cloned() {
        let at = pair(&[-6.0], &[-6.0]);
        let mean = divided(at.chosen.clone(), 3.0);
        let loss = cpo(&at, mean, 0.1, 0.5, Link::default());
        assert_close(&values(&loss), &[std::f64::consts::LN_2 + 1.0]);
        let slopes = slopes(&loss, &at);
        assert_close(&slopes.chosen, &[-0.05 - 0.5 / 3.0]);
        assert_close(&slopes.rejected, &[0.05]);
    }
}
