//! Division of scores by a standard deviation.

use preflab_config::RewardScale;
use serde::{Deserialize, Serialize};

/// Number, mean and sum of squared deviations of all scores so far (Chan et al. 1979, the parallel update).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleState {
    count: f64,
    mean: f64,
    squares: f64,
}

/// The standard deviation that scores are divided by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunningScale {
    scale: RewardScale,
    state: ScaleState,
}

impl RunningScale {
    /// Before the first rollout.
    pub fn new(scale: RewardScale) -> Self {
        Self {
            scale,
            state: ScaleState::default(),
        }
    }

    /// Takes in the scores of one rollout; `first` keeps those of the first rollout only.
    ///
    /// Running: Engstrom et al. 2020, [arXiv:2005.12729](https://arxiv.org/abs/2005.12729), section 3; trlx
    /// `scale_reward`.
    pub fn update(&mut self, scores: &[f64]) {
        match self.scale {
            RewardScale::Off => {}
            RewardScale::First if self.state.count > 0.0 => {}
            RewardScale::First | RewardScale::Running => {
                if scores.is_empty() {
                    return;
                }
                let n = scores.len() as f64;
                let mean = scores.iter().sum::<f64>() / n;
                let squares: f64 = scores.iter().map(|s| (s - mean) * (s - mean)).sum();
                let ScaleState {
                    count,
                    mean: old,
                    squares: before,
                } = self.state;
                let total = count + n;
                let delta = mean - old;
                self.state = ScaleState {
                    count: total,
                    mean: old + delta * n / total,
                    squares: before + squares + delta * delta * count * n / total,
                };
            }
        }
    }

    /// What was taken in so far.
    pub fn state(&self) -> ScaleState {
        self.state
    }

    /// Goes on from what was taken in earlier.
    pub fn set_state(&mut self, state: ScaleState) {
        self.state = state;
    }

    /// What scores are divided by: the unbiased standard deviation of what was taken in; 1 where it is off, or 0.
    pub fn divisor(&self) -> f64 {
        let deviation = (self.state.squares / (self.state.count - 1.0).max(1.0)).sqrt();
        if deviation > 0.0 { deviation } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::{Moments, Variance};

    const SCORES: [f64; 6] = [1.0, -2.0, 0.5, 8.0, 3.0, 3.5];

    #[test]
    fn a_running_scale_is_the_deviation_of_everything_so_far() {
        let mut scale = RunningScale::new(RewardScale::Running);
        scale.update(&SCORES[..2]);
        scale.update(&SCORES[2..]);
        let all = Moments::of(SCORES.into_iter(), Variance::Unbiased);
        assert!((scale.divisor() - all.deviation()).abs() < 1e-14);
    }

    #[test]
    fn the_first_rollout_can_fix_the_scale() {
        let mut scale = RunningScale::new(RewardScale::First);
        scale.update(&SCORES[..3]);
        let first = scale.divisor();
        scale.update(&SCORES[3..]);
        assert_eq!(scale.divisor(), first);
        let mut off = RunningScale::new(RewardScale::Off);
        off.update(&SCORES);
        assert_eq!(off.divisor(), 1.0);
    }
}
