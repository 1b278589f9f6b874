//! Robust DPO: unbiased under a known share of flipped labels.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use preflab_data::Pair;

use crate::inputs::margin;
use crate::stable::divided;

/// `(−(1 − ε) log σ(β h) + ε log σ(−β h)) / (1 − 2 ε)`.
///
/// Chowdhury et al. 2024, [arXiv:2403.00409](https://arxiv.org/abs/2403.00409), eq. 11; TRL's `robust`.
///
/// - `scores`: log-ratios summed over completion tokens (or their f-divergence scores), `[b]` each, nats.
/// - `beta`: 1/nats. `label_smoothing`: `ε`, the share of flipped labels, below one half.
///
/// Returns `[b]`, which may be below 0; `ln 2` where the policy equals the reference. Its mean over labels flipped with
/// probability `ε` is the DPO loss on clean labels.
pub fn robust(scores: &Pair<Tensor<1>>, beta: f64, label_smoothing: f64) -> Tensor<1> {
    let logit = margin(scores) * beta;
    let right = -log_sigmoid(logit.clone());
    let flipped = -log_sigmoid(-logit);
    let difference = right * (1.0 - label_smoothing) - flipped * label_smoothing;
    divided(difference, 1.0 - 2.0 * label_smoothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objectives::dpo::dpo;
    use crate::testing::{assert_close, pair, values};

    #[test]
    fn its_mean_over_flipped_labels_is_dpo_on_clean_ones() {
        let at = pair(&[1.3], &[-0.4]);
        let clean = values(&robust(&at, 0.5, 0.2))[0];
        let flipped = values(&robust(&at.clone().swapped(), 0.5, 0.2))[0];
        assert_close(&[0.8 * clean + 0.2 * flipped], &values(&dpo(&at, 0.5)));
    }
}
