//! SFT-DPO: DPO with the chosen completion's log-likelihood.

use burn::tensor::Tensor;
use preflab_data::Pair;

use super::dpo::dpo;

/// `−log σ(β h) − γ log π(y_w)`.
///
/// Yan et al. 2025, [arXiv:2406.07327](https://arxiv.org/abs/2406.07327), eq. 6. The sign printed there is a slip: `γ`
/// rewards the chosen likelihood, as the text around it says. TRL's `["sigmoid", "sft"]` and RPO
/// ([arXiv:2404.19733](https://arxiv.org/abs/2404.19733)) divide the second term by the length: that is a `sum` of `dpo`
/// and `sft` here.
///
/// - `log_ratios`: `log π − log π_ref` summed over completion tokens, `[b]` each, nats.
/// - `chosen`: `log π(y_w)`, summed over completion tokens, `[b]`, nats.
/// - `beta`: 1/nats. `gamma`: weight of the likelihood, 1/nats.
///
/// Returns `[b]`, above 0.
pub fn sft_dpo(
    log_ratios: &Pair<Tensor<1>>,
    chosen: Tensor<1>,
    beta: f64,
    gamma: f64,
) -> Tensor<1> {
    dpo(log_ratios, beta) - chosen * gamma
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn gamma_rewards_the_chosen_likelihood() {
        let at = pair(&[-2.0], &[-3.0]);
        // a reference of -2 and -3: log-ratios 0
        let ratios = at.clone().zip(pair(&[-2.0], &[-3.0])).map(|(a, b)| a - b);
        let loss = sft_dpo(&ratios, at.chosen.clone(), 0.1, 0.25);
        assert_close(&values(&loss), &[std::f64::consts::LN_2 + 0.5]);
        let slopes = slopes(&loss, &at);
        assert_close(&slopes.chosen, &[-0.05 - 0.25]);
        assert_close(&slopes.rejected, &[0.05]);
    }
}
