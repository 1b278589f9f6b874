//! Penalties, scale and clip of the scores of a rollout, in this order.

use preflab_config::RewardShaping;

use super::{RunningScale, ScaleState, length_penalty, missing_eos};

/// Shapes the scores of one rollout after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreShaper {
    settings: RewardShaping,
    scale: RunningScale,
}

/// The scores of a rollout as they enter the reward, and what was done to them.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapedScores {
    /// One for each completion.
    pub scores: Vec<f64>,
    /// Mean length penalty.
    pub length_penalty: f64,
    /// What they were divided by.
    pub divisor: f64,
    /// Share that reached the bound.
    pub clipped: f64,
}

impl ShapedScores {
    /// Mean score; 0 of none.
    pub fn mean(&self) -> f64 {
        self.scores.iter().sum::<f64>() / self.scores.len().max(1) as f64
    }
}

impl ScoreShaper {
    /// Before the first rollout.
    pub fn new(settings: RewardShaping) -> Self {
        Self {
            settings,
            scale: RunningScale::new(settings.scale),
        }
    }

    /// The scale of the scores so far.
    pub fn scale_state(&self) -> ScaleState {
        self.scale.state()
    }

    /// Goes on from a scale that was reached earlier.
    pub fn set_scale_state(&mut self, state: ScaleState) {
        self.scale.set_state(state);
    }

    /// The scores of the completions of one rollout, each of `lengths` tokens and finished or not.
    ///
    /// # Panics
    /// If there is not one length and one end for each score.
    pub fn shape(&mut self, scores: &[f64], lengths: &[usize], finished: &[bool]) -> ShapedScores {
        assert!(
            scores.len() == lengths.len() && scores.len() == finished.len(),
            "one of each for each score"
        );
        let RewardShaping {
            missing_eos: missing,
            length,
            scale: _,
            clip,
        } = self.settings;
        let penalties: Vec<f64> = lengths
            .iter()
            .map(|&tokens| length_penalty(tokens, length))
            .collect();
        let charged: Vec<f64> = (scores.iter().zip(finished).zip(&penalties))
            .map(|((&score, &finished), penalty)| missing_eos(score, finished, missing) - penalty)
            .collect();
        self.scale.update(&charged);
        let divisor = self.scale.divisor();
        let bound = clip.map_or(f64::INFINITY, |clip| clip.get());
        let scaled: Vec<f64> = charged.iter().map(|score| score / divisor).collect();
        let count = scores.len().max(1) as f64;
        ShapedScores {
            length_penalty: penalties.iter().sum::<f64>() / count,
            clipped: scaled.iter().filter(|score| score.abs() >= bound).count() as f64 / count,
            scores: scaled
                .into_iter()
                .map(|score| score.clamp(-bound, bound))
                .collect(),
            divisor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use preflab_config::{LengthPenalty, MissingEos, NonNegative, Positive, RewardScale};

    #[test]
    fn nothing_happens_by_default() {
        let mut shaper = ScoreShaper::new(RewardShaping::default());
        let shaped = shaper.shape(&[3.0, -20.0], &[1, 9], &[true, false]);
        assert_eq!(shaped.scores, [3.0, -20.0]);
        assert_eq!(
            (shaped.clipped, shaped.divisor, shaped.length_penalty),
            (0.0, 1.0, 0.0)
        );
    }

    #[test]
    fn penalties_come_first_then_scale_then_clip() {
        let settings = RewardShaping {
            missing_eos: Some(MissingEos::Subtract(NonNegative::of(1.0))),
            length: LengthPenalty::PerToken(NonNegative::of(0.5)),
            scale: RewardScale::Running,
            clip: Some(Positive::of(0.8)),
        };
        let shaped = ScoreShaper::new(settings).shape(&[4.0, 5.0], &[2, 4], &[true, false]);
        // 4 - 1 = 3 and 5 - 1 - 2 = 2; their deviation is sqrt(1/2).
        assert!((shaped.divisor - 0.5f64.sqrt()).abs() < 1e-15);
        assert_eq!(shaped.scores, [0.8, 0.8]);
        assert_eq!((shaped.clipped, shaped.length_penalty), (1.0, 1.5));
    }
}
