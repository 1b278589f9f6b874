//! Scores relative to the mean of the others in the group.

use super::by_group;

/// Leave-one-out advantages: `s_i` less the mean of the other scores of its group.
///
/// `A_i = s_i - sum over j != i of s_j / (k - 1) = (s_i - mean) k / (k - 1)`; Kool et al. 2019, "Buy 4 REINFORCE samples";
/// Ahmadian et al. 2024, [arXiv:2402.14740](https://arxiv.org/abs/2402.14740), section 3.2.
///
/// Its baseline does not depend on the completion itself, so the gradient stays unbiased. A completion alone in its group
/// keeps its score (as verl's `rloo`; its `rloo_vectorized` gives 0).
pub fn rloo_advantages(scores: &[f64], groups: &[usize]) -> Vec<f64> {
    by_group(scores, groups, |group, _| {
        let (sum, others) = (group.iter().sum::<f64>(), group.len() - 1);
        if others == 0 {
            return group.to_vec();
        }
        group
            .iter()
            .map(|score| score - (sum - score) / others as f64)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_the_mean_of_the_others() {
        assert_eq!(
            rloo_advantages(&[1.0, 2.0, 6.0, 5.0], &[0, 0, 0, 1]),
            [-3.0, -1.5, 4.5, 5.0]
        );
    }
}
