//! Noise Contrastive Alignment on pairs.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use preflab_data::Pair;

/// `−log σ(β r_w) − ½ log σ(−β r_w) − ½ log σ(−β r_l)`: each side's reward against noise, so that the chosen likelihood
/// has an optimum of its own and is not driven by the margin alone.
///
/// Chen et al. 2024, [arXiv:2402.05369](https://arxiv.org/abs/2402.05369), the pairwise case; TRL's `nca_pair`.
///
/// - `scores`: log-ratios summed over completion tokens (or their f-divergence scores), `[b]` each, nats.
/// - `beta`: 1/nats.
///
/// Returns `[b]`, above 0; `2 ln 2` where the policy equals the reference.
pub fn nca(scores: &Pair<Tensor<1>>, beta: f64) -> Tensor<1> {
    let rewards = scores.clone().map(|score| score * beta);
    let noise = log_sigmoid(-rewards.chosen.clone()) + log_sigmoid(-rewards.rejected);
    -log_sigmoid(rewards.chosen) - noise * 0.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn the_chosen_side_has_an_optimum_of_its_own() {
        let at = pair(&[0.0, 2.0 * 2f64.ln()], &[0.0, 0.0]);
        let loss = nca(&at, 0.5);
        assert_close(&values(&loss)[..1], &[2.0 * std::f64::consts::LN_2]);
        let slopes = slopes(&loss, &at);
        // σ(-r) = σ(r)/2 at β r = ln 2
        assert_close(&slopes.chosen, &[-0.125, 0.0]);
        assert_close(&slopes.rejected, &[0.125, 0.125]);
    }
}
