//! The scale of a finished reward model.

use preflab_config::ScoreNormalisation;
use preflab_stats::{mean, sd};
use serde::{Deserialize, Serialize};

/// `gain * score + bias`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Factor.
    pub gain: f64,
    /// Summand.
    pub bias: f64,
}

impl Default for Normalisation {
    fn default() -> Self {
        Self {
            gain: 1.0,
            bias: 0.0,
        }
    }
}

impl Normalisation {
    /// What brings the raw `scores` of reference completions to mean 0 and, if asked for, variance 1 (unbiased).
    ///
    /// Standardise: `gain = 1 / std`, `bias = -gain * mean`; Ziegler et al. 2019,
    /// [arXiv:1909.08593](https://arxiv.org/abs/1909.08593), section 2.1 (there on samples of the start). Centre:
    /// `bias = -mean`; Stiennon et al. 2020, [arXiv:2009.01325](https://arxiv.org/abs/2009.01325), section 3.4. Without
    /// scores, or without spread where it is divided by, nothing is done.
    pub fn of(scores: &[f64], normalisation: ScoreNormalisation) -> Self {
        if scores.is_empty() {
            return Self::default();
        }
        match normalisation {
            ScoreNormalisation::Off => Self::default(),
            ScoreNormalisation::Centre => Self {
                gain: 1.0,
                bias: -mean(scores),
            },
            ScoreNormalisation::Standardise => {
                let deviation = sd(scores);
                let gain = if deviation > 0.0 {
                    1.0 / deviation
                } else {
                    1.0
                };
                Self {
                    gain,
                    bias: -gain * mean(scores),
                }
            }
        }
    }

    /// A raw score on the new scale.
    pub fn apply(&self, score: f64) -> f64 {
        self.gain * score + self.bias
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_end_up_where_they_should() {
        let scores = [1.0, 4.0, 2.5, -3.0];
        let after = |normalisation| {
            let scale = Normalisation::of(&scores, normalisation);
            scores.map(|score| scale.apply(score))
        };
        assert!(mean(&after(ScoreNormalisation::Centre)).abs() < 1e-15);
        let standardised = after(ScoreNormalisation::Standardise);
        assert!(mean(&standardised).abs() < 1e-15 && (sd(&standardised) - 1.0).abs() < 1e-14);
        assert_eq!(after(ScoreNormalisation::Off), scores);
    }

    #[test]
    fn equal_scores_are_not_divided_by_zero() {
        assert_eq!(
            Normalisation::of(&[2.0, 2.0], ScoreNormalisation::Standardise).apply(2.0),
            0.0
        );
        assert_eq!(
            Normalisation::of(&[], ScoreNormalisation::Centre),
            Normalisation::default()
        );
    }
}
