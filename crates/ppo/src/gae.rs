//! Generalized advantage estimation.

use crate::rows::Rows;

/// Advantages and returns of one completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Gae {
    /// `A_t`, one for each token.
    pub advantages: Vec<f64>,
    /// `R_t = A_t + V_t`, what the value is trained towards.
    pub returns: Vec<f64>,
}

/// Generalized Advantage Estimation over one finished completion.
///
/// `delta_t = r_t + gamma V_{t+1} - V_t`, `A_t = delta_t + gamma lambda A_{t+1}`, with `V = A = 0` past the end.
///
/// Schulman et al. 2015, [arXiv:1506.02438](https://arxiv.org/abs/1506.02438), eq. 16.
///
/// - `rewards`: one for each token.
/// - `values`: of the state before each token.
///
/// Advantages are not whitened. `lambda` 1 gives the discounted return less the value, 0 the one-step error.
///
/// # Panics
/// If there is not one value for each reward.
pub fn gae(rewards: &[f64], values: &[f64], gamma: f64, lambda: f64) -> Gae {
    assert_eq!(rewards.len(), values.len(), "one value for each reward");
    let mut advantages = vec![0.0; rewards.len()];
    let (mut next_value, mut next_advantage) = (0.0, 0.0);
    for t in (0..rewards.len()).rev() {
        let delta = rewards[t] + gamma * next_value - values[t];
        next_advantage = delta + gamma * lambda * next_advantage;
        next_value = values[t];
        advantages[t] = next_advantage;
    }
    let returns = advantages.iter().zip(values).map(|(a, v)| a + v).collect();
    Gae {
        advantages,
        returns,
    }
}

/// [`gae`] of every completion of a rollout: advantages and returns.
///
/// # Panics
/// If the shapes differ.
pub fn gae_rows(
    rewards: &[Vec<f64>],
    values: &[Vec<f64>],
    gamma: f64,
    lambda: f64,
) -> (Rows, Rows) {
    assert_eq!(rewards.len(), values.len(), "as many rows");
    let each = rewards
        .iter()
        .zip(values)
        .map(|(r, v)| gae(r, v, gamma, lambda));
    each.map(
        |Gae {
             advantages,
             returns,
         }| (advantages, returns),
    )
    .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REWARDS: [f64; 5] = [0.1, -0.3, 0.0, 0.7, 2.0];
    const VALUES: [f64; 5] = [0.5, 0.2, -0.4, 1.0, 0.3];

    /// The other route: `A_t = sum over k of (gamma lambda)^k delta_{t+k}` (eq. 11 of the paper, finite).
    fn by_sum(rewards: &[f64], values: &[f64], gamma: f64, lambda: f64) -> Vec<f64> {
        let value = |t: usize| values.get(t).copied().unwrap_or(0.0);
        let delta = |t: usize| rewards[t] + gamma * value(t + 1) - value(t);
        let terms = |t: usize| {
            (t..rewards.len()).map(move |s| (gamma * lambda).powi((s - t) as i32) * delta(s))
        };
        (0..rewards.len()).map(|t| terms(t).sum()).collect()
    }

    #[test]
    fn the_recursion_equals_the_explicit_sum() {
        for (gamma, lambda) in [(1.0, 0.95), (0.97, 0.9), (0.5, 0.0), (0.9, 1.0)] {
            let recursion = gae(&REWARDS, &VALUES, gamma, lambda).advantages;
            for (a, b) in recursion
                .iter()
                .zip(by_sum(&REWARDS, &VALUES, gamma, lambda))
            {
                assert!((a - b).abs() < 1e-14, "{a} {b}");
            }
        }
    }

    #[test]
    fn lambda_1_is_the_discounted_return_less_the_value() {
        let Gae { returns, .. } = gae(&REWARDS, &VALUES, 0.9, 1.0);
        let discounted: f64 = REWARDS
            .iter()
            .enumerate()
            .map(|(t, r)| 0.9f64.powi(t as i32) * r)
            .sum();
        assert!((returns[0] - discounted).abs() < 1e-14);
    }

    #[test]
    fn lambda_0_is_the_one_step_error() {
        let Gae { advantages, .. } = gae(&REWARDS, &VALUES, 0.9, 0.0);
        assert!((advantages[1] - (-0.3 + 0.9 * -0.4 - 0.2)).abs() < 1e-14);
        assert!((advantages[4] - (2.0 - 0.3)).abs() < 1e-14);
    }

    #[test]
    fn an_empty_completion_has_no_advantages() {
        assert!(gae(&[], &[], 1.0, 1.0).advantages.is_empty());
    }
}
