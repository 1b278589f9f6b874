//! Returns relative to the greedy completion.

use super::discounted_returns;

/// Undiscounted return from each token on, less the score of the greedy completion of the same prompt.
///
/// Li et al. 2023, ReMax, [arXiv:2310.10505](https://arxiv.org/abs/2310.10505), algorithm 2.
pub fn remax_advantages(rewards: &[f64], baseline: f64) -> Vec<f64> {
    discounted_returns(rewards, 1.0)
        .into_iter()
        .map(|g| g - baseline)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greedy_score_is_subtracted_everywhere() {
        assert_eq!(remax_advantages(&[0.0, 1.0], 0.25), [0.75, 0.75]);
    }
}
