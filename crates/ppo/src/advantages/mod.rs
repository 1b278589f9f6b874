//! Advantages without a value model: each completion against others of the same prompt, or of the batch.
//!
//! `scores` holds one number for each completion, `groups` the prompt it belongs to. A completion that is alone in its
//! group has nothing to be compared with; each function says what it returns then.

mod group;
mod opo;
mod pass_at_k;
mod reinforce_plus_plus;
mod remax;
mod rloo;

pub use group::{gpg_advantages, group_advantages};
pub use opo::opo_advantages;
pub use pass_at_k::pass_at_k_advantages;
pub use reinforce_plus_plus::{
    discounted_returns, reinforce_plus_plus, reinforce_plus_plus_baseline,
};
pub use remax::remax_advantages;
pub use rloo::rloo_advantages;

use crate::rows::Rows;

/// The members of each group, groups in the order of their first member.
pub(crate) fn members(groups: &[usize]) -> Vec<Vec<usize>> {
    let mut found: Vec<(usize, Vec<usize>)> = Vec::new();
    for (row, &group) in groups.iter().enumerate() {
        match found.iter_mut().find(|(known, _)| *known == group) {
            Some((_, rows)) => rows.push(row),
            None => found.push((group, vec![row])),
        }
    }
    found.into_iter().map(|(_, rows)| rows).collect()
}

/// `f(scores of a group)` gives the advantages of the group, in the same order.
fn by_group(
    scores: &[f64],
    groups: &[usize],
    f: impl Fn(&[f64], &[usize]) -> Vec<f64>,
) -> Vec<f64> {
    assert_eq!(scores.len(), groups.len(), "one group for each score");
    let mut advantages = vec![0.0; scores.len()];
    for rows in members(groups) {
        let of_group: Vec<f64> = rows.iter().map(|&row| scores[row]).collect();
        for (&row, advantage) in rows.iter().zip(f(&of_group, &rows)) {
            advantages[row] = advantage;
        }
    }
    advantages
}

/// Every token of a completion gets the completion's advantage.
pub fn on_every_token(advantages: &[f64], lengths: &[usize]) -> Rows {
    assert_eq!(
        advantages.len(),
        lengths.len(),
        "one length for each advantage"
    );
    advantages
        .iter()
        .zip(lengths)
        .map(|(&advantage, &length)| vec![advantage; length])
        .collect()
}
