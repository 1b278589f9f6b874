//! Scores relative to the length-weighted mean of the group.

use super::by_group;

/// `s_i - sum_j l_j s_j / sum_j l_j` over the group, `l` the number of tokens.
///
/// Hao et al. 2025, OPO, [arXiv:2505.23585](https://arxiv.org/abs/2505.23585): the baseline of least variance if the
/// gradient's norm grows with the length. A completion alone in its group keeps its score.
pub fn opo_advantages(scores: &[f64], lengths: &[usize], groups: &[usize]) -> Vec<f64> {
    assert_eq!(scores.len(), lengths.len(), "one length for each score");
    by_group(scores, groups, |group, rows| {
        if group.len() == 1 {
            return group.to_vec();
        }
        let tokens: f64 = rows.iter().map(|&row| lengths[row] as f64).sum();
        let weighted: f64 = rows
            .iter()
            .zip(group)
            .map(|(&row, score)| lengths[row] as f64 * score)
            .sum();
        group
            .iter()
            .map(|score| score - weighted / tokens)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_completion_weighs_more_in_the_baseline() {
        assert_eq!(
            opo_advantages(&[0.0, 4.0, 9.0], &[3, 1, 5], &[0, 0, 1]),
            [-1.0, 3.0, 9.0]
        );
    }
}
