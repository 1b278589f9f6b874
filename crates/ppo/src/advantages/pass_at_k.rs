//! Only the best of a group learns.

use preflab_config::GroupAdvantage;

use super::by_group;
use crate::moments::{Moments, Variance};

/// The best completion of each group gets its lead over the second best, all others 0.
///
/// Tang et al. 2025, [arXiv:2503.19595](https://arxiv.org/abs/2503.19595): the gradient of the expected best of `k`.
/// Standardised: divided by the group's standard deviation (unbiased) plus 1e-6. Of equal best ones the first counts.
///
/// # Panics
/// If a group has a single member.
pub fn pass_at_k_advantages(
    scores: &[f64],
    groups: &[usize],
    advantage: GroupAdvantage,
) -> Vec<f64> {
    by_group(scores, groups, |group, _| {
        assert!(group.len() > 1, "at least two completions in a group");
        let best = (0..group.len())
            .rev()
            .max_by(|&a, &b| group[a].total_cmp(&group[b]))
            .unwrap_or(0);
        let second = (0..group.len())
            .filter(|&i| i != best)
            .map(|i| group[i])
            .fold(f64::NEG_INFINITY, f64::max);
        let scale = match advantage {
            GroupAdvantage::Standardised => {
                1.0 / (Moments::of(group.iter().copied(), Variance::Unbiased).deviation() + 1e-6)
            }
            GroupAdvantage::Centred => 1.0,
        };
        let mut advantages = vec![0.0; group.len()];
        advantages[best] = (group[best] - second) * scale;
        advantages
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_gets_its_lead_over_the_second() {
        let centred = pass_at_k_advantages(&[1.0, 5.0, 3.0], &[0, 0, 0], GroupAdvantage::Centred);
        assert_eq!(centred, [0.0, 2.0, 0.0]);
        let tie = pass_at_k_advantages(&[2.0, 2.0], &[0, 0], GroupAdvantage::Standardised);
        assert_eq!(tie, [0.0, 0.0]);
    }
}
