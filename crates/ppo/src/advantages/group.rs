//! Scores relative to the mean of the prompt's group.

use preflab_config::GroupAdvantage;

use super::by_group;
use crate::moments::{Moments, Variance};

/// Group-relative advantages, one for each completion.
///
/// Standardised: `(s - mean) / (std + 1e-6)`, `std` unbiased; Shao et al. 2024, GRPO,
/// [arXiv:2402.03300](https://arxiv.org/abs/2402.03300), section 4.1.2. Centred: `s - mean`; Liu et al. 2025, Dr. GRPO,
/// [arXiv:2503.20783](https://arxiv.org/abs/2503.20783).
///
/// A completion alone in its group keeps its score (standardised: over `1 + 1e-6`), as in verl.
pub fn group_advantages(scores: &[f64], groups: &[usize], advantage: GroupAdvantage) -> Vec<f64> {
    by_group(scores, groups, |group, _| {
        let moments = if group.len() == 1 {
            Moments {
                count: 1,
                mean: 0.0,
                variance: 1.0,
            }
        } else {
            Moments::of(group.iter().copied(), Variance::Unbiased)
        };
        let scale = match advantage {
            GroupAdvantage::Standardised => 1.0 / (moments.deviation() + 1e-6),
            GroupAdvantage::Centred => 1.0,
        };
        group
            .iter()
            .map(|score| (score - moments.mean) * scale)
            .collect()
    })
}

/// Group-centred advantages scaled by (completions / completions with a score other than 0).
///
/// Chu et al. 2025, GPG, [arXiv:2504.02546](https://arxiv.org/abs/2504.02546): the scale makes up for completions whose
/// score, and so gradient, is 0. A completion alone in its group keeps its score.
pub fn gpg_advantages(scores: &[f64], groups: &[usize]) -> Vec<f64> {
    let counting = scores.iter().filter(|&&score| score != 0.0).count().max(1);
    let scale = scores.len() as f64 / counting as f64;
    let centred = group_advantages(scores, groups, GroupAdvantage::Centred);
    centred
        .into_iter()
        .map(|advantage| advantage * scale)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_compared_with_itself_alone() {
        let scores = [1.0, 10.0, 3.0, 14.0];
        let centred = group_advantages(&scores, &[7, 2, 7, 2], GroupAdvantage::Centred);
        assert_eq!(centred, [-1.0, -2.0, 1.0, 2.0]);
        let standardised = group_advantages(&scores, &[7, 2, 7, 2], GroupAdvantage::Standardised);
        for (ours, sign) in standardised.iter().zip([-1.0, -1.0, 1.0, 1.0]) {
            assert!((ours - sign * 0.5f64.sqrt()).abs() < 1e-6);
        }
    }

    #[test]
    fn gpg_makes_up_for_zero_scores() {
        assert_eq!(
            gpg_advantages(&[0.0, 1.0, 0.0, 0.0], &[0, 0, 1, 1]),
            [-2.0, 2.0, 0.0, 0.0]
        );
    }
}
