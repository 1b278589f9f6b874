//! A reward for each token: the KL penalty, and the score where the completion ends.

use preflab_config::ScorePosition;

use crate::rows::Rows;

/// `r_t = -beta KL_t`, plus the score at the last token.
///
/// Ziegler et al. 2019, [arXiv:1909.08593](https://arxiv.org/abs/1909.08593), section 2.2; Ouyang et al. 2022,
/// [arXiv:2203.02155](https://arxiv.org/abs/2203.02155), eq. 2.
///
/// - `kl`: the penalty at each token, nats; one row for each completion.
/// - `beta`: its weight.
/// - `scores`: one for each completion.
/// - `position`: on the last token, or one step later ([`ScorePosition::AfterLastToken`], TRL): a completion shorter than
///   `room` tokens then has one reward more than tokens.
///
/// An empty completion gets its score only where there is a step after the last token.
pub fn token_rewards(
    kl: &[Vec<f64>],
    beta: f64,
    scores: &[f64],
    position: ScorePosition,
    room: usize,
) -> Rows {
    assert_eq!(kl.len(), scores.len(), "one score for each completion");
    let row = |(kl, &score): (&Vec<f64>, &f64)| {
        let mut rewards: Vec<f64> = kl.iter().map(|kl| -beta * kl).collect();
        match position {
            ScorePosition::AfterLastToken if rewards.len() < room => rewards.push(score),
            ScorePosition::LastToken | ScorePosition::AfterLastToken => {
                if let Some(last) = rewards.last_mut() {
                    *last += score;
                }
            }
        }
        rewards
    };
    kl.iter().zip(scores).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_on_the_true_last_token() {
        let kl = vec![vec![1.0, 2.0], vec![4.0]];
        let rewards = token_rewards(&kl, 0.5, &[10.0, 20.0], ScorePosition::LastToken, 8);
        assert_eq!(rewards, [vec![-0.5, 9.0], vec![18.0]]);
    }

    #[test]
    fn trl_puts_it_one_step_later_where_there_is_room() {
        let kl = vec![vec![1.0, 2.0], vec![4.0]];
        let rewards = token_rewards(&kl, 0.5, &[10.0, 20.0], ScorePosition::AfterLastToken, 2);
        assert_eq!(rewards, [vec![-0.5, 9.0], vec![-2.0, 20.0]]);
    }
}
