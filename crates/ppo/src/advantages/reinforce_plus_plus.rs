//! Returns normalised over the whole batch.

use preflab_config::{GroupAdvantage, Whitening};

use super::{group_advantages, on_every_token};
use crate::rows::Rows;
use crate::whitening::whiten;

/// `G_t = r_t + gamma G_{t+1}`, `G = 0` past the end.
pub fn discounted_returns(rewards: &[f64], gamma: f64) -> Vec<f64> {
    let mut returns = vec![0.0; rewards.len()];
    let mut next = 0.0;
    for t in (0..rewards.len()).rev() {
        next = rewards[t] + gamma * next;
        returns[t] = next;
    }
    returns
}

/// Discounted returns of every completion, whitened over all tokens of the batch.
///
/// Hu 2025, REINFORCE++, [arXiv:2501.03262](https://arxiv.org/abs/2501.03262).
pub fn reinforce_plus_plus(rewards: &[Vec<f64>], gamma: f64) -> Rows {
    let returns: Rows = rewards
        .iter()
        .map(|rewards| discounted_returns(rewards, gamma))
        .collect();
    whiten(&returns, Whitening::Centre)
}

/// Scores less their group's mean, on every token, whitened over all tokens of the batch.
///
/// Hu 2025, REINFORCE++-baseline, [arXiv:2501.03262](https://arxiv.org/abs/2501.03262). A completion alone in its group
/// keeps its score before the whitening.
pub fn reinforce_plus_plus_baseline(scores: &[f64], lengths: &[usize], groups: &[usize]) -> Rows {
    let centred = group_advantages(scores, groups, GroupAdvantage::Centred);
    whiten(&on_every_token(&centred, lengths), Whitening::Centre)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::{Moments, Variance};

    #[test]
    fn returns_are_discounted() {
        assert_eq!(discounted_returns(&[1.0, 2.0, 4.0], 0.5), [3.0, 4.0, 4.0]);
    }

    #[test]
    fn the_batch_is_normalised_by_token() {
        let rows = reinforce_plus_plus_baseline(&[1.0, 2.0], &[3, 1], &[0, 0]);
        let moments = Moments::of_rows(&rows, Variance::Unbiased);
        assert!(moments.mean.abs() < 1e-15 && (moments.variance - 1.0).abs() < 1e-6);
        assert_eq!(rows[0].len(), 3);
    }
}
