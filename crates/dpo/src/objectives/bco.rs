//! Binary Classifier Optimization.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use preflab_data::Pair;
use serde::{Deserialize, Serialize};

/// `−log σ(β r − δ)` of chosen and `−log σ(δ − β r)` of rejected completions, `[b]` each: a classifier whose logit is the
/// implicit reward. The two sides need not belong to one prompt, nor be equally many.
///
/// Jung et al. 2024, [arXiv:2404.04656](https://arxiv.org/abs/2404.04656), eq. 8.
///
/// - `scores`: log-ratios summed over completion tokens (or their f-divergence scores), nats.
/// - `shift`: `δ`, `[1]`, in units of the reward; a constant.
/// - `beta`: 1/nats.
pub fn bco_examples(scores: &Pair<Tensor<1>>, shift: Tensor<1>, beta: f64) -> Pair<Tensor<1>> {
    let logits = scores.clone().map(|score| score * beta - shift.clone());
    Pair {
        chosen: -log_sigmoid(logits.chosen),
        rejected: -log_sigmoid(-logits.rejected),
    }
}

/// `−log σ(β r_w − δ) − log σ(δ − β r_l)`: [`bco_examples`] of both sides of a pair.
///
/// With `δ = 0` this is TRL's `bco_pair`. TRL's BCO trainer averages over examples, which is half of this.
///
/// Returns `[b]`, above 0; `2 ln 2` where the policy equals the reference and `δ = 0`.
pub fn bco(scores: &Pair<Tensor<1>>, shift: Tensor<1>, beta: f64) -> Tensor<1> {
    let examples = bco_examples(scores, shift, beta);
    examples.chosen + examples.rejected
}

/// The mean of all rewards seen so far: BCO's `δ`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningMean {
    /// The mean, in units of the reward.
    pub mean: f64,
    /// Rewards seen.
    pub count: u64,
}

impl RunningMean {
    /// Takes the rewards of one update in.
    pub fn update(&mut self, rewards: &[f64]) {
        if rewards.is_empty() {
            return;
        }
        let new = rewards.iter().sum::<f64>() / rewards.len() as f64;
        self.count += rewards.len() as u64;
        self.mean += (new - self.mean) * rewards.len() as f64 / self.count as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, leaf, pair, slopes, values};

    #[test]
    fn without_a_shift_each_side_is_its_own_logistic_loss() {
        let at = pair(&[0.0, 2.0], &[0.0, 1.0]);
        let loss = bco(&at, leaf(&[0.0]), 0.5);
        let expected = (-1.0f64).exp().ln_1p() + 0.5f64.exp().ln_1p();
        assert_close(&values(&loss), &[2.0 * std::f64::consts::LN_2, expected]);
        assert_close(&slopes(&loss, &at).chosen[..1], &[-0.25]);
    }

    #[test]
    fn the_shift_moves_the_boundary_between_the_sides() {
        let examples = bco_examples(&pair(&[3.0], &[3.0]), leaf(&[1.5]), 0.5);
        assert_close(&values(&examples.chosen), &[std::f64::consts::LN_2]);
        assert_close(&values(&examples.rejected), &[std::f64::consts::LN_2]);
    }

    #[test]
    fn the_running_mean_is_the_mean_of_everything() {
        let mut running = RunningMean::default();
        running.update(&[1.0, 2.0, 3.0]);
        running.update(&[]);
        running.update(&[10.0]);
        assert_eq!((running.mean, running.count), (4.0, 4));
    }
}
