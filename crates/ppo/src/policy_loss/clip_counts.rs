//! How many tokens a surrogate clips.

use preflab_config::PolicyLoss;

use super::MAX_LOG_RATIO;

/// Numbers of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClipCounts {
    /// Whose clipped term is the larger loss.
    pub clipped: f64,
    /// Of these, at the lower bound.
    pub low: f64,
    /// Of these, at the upper bound.
    pub high: f64,
    /// Held by the dual clip.
    pub dual: f64,
}

impl ClipCounts {
    fn at(&mut self, side: Option<Side>) {
        match side {
            None => {}
            Some(Side::Low) => self.low += 1.0,
            Some(Side::High) => self.high += 1.0,
        }
        self.clipped = self.low + self.high;
    }
}

enum Side {
    Low,
    High,
}

/// Where `-min(r A, clip(r) A)` takes the clipped term: below the bounds with `A < 0`, above them with `A > 0`.
fn side(ratio: f64, advantage: f64, low: f64, high: f64) -> Option<Side> {
    if ratio < 1.0 - low && advantage < 0.0 {
        Some(Side::Low)
    } else if ratio > 1.0 + high && advantage > 0.0 {
        Some(Side::High)
    } else {
        None
    }
}

/// The clipped tokens of one completion.
///
/// - `logps`, `old_logps`, `advantages`: one number for each token.
///
/// The definition is lm-human-preference-details': where the clipped term is the larger loss. CISPO clips whatever the
/// sign of the advantage; the geometric mean clips the log ratio, by verl's count where the advantage is not 0.
pub fn clip_counts(
    loss: PolicyLoss,
    logps: &[f64],
    old_logps: &[f64],
    advantages: &[f64],
) -> ClipCounts {
    let log_ratios = logps.iter().zip(old_logps).map(|(new, old)| new - old);
    let ratio = |log_ratio: f64| log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp();
    let mut counts = ClipCounts::default();
    match loss {
        PolicyLoss::Reinforce | PolicyLoss::Sapo(_) | PolicyLoss::Dro(_) => {}
        PolicyLoss::Clipped(clip) => {
            let (low, high) = (clip.low.get(), clip.high.get());
            for (log_ratio, &advantage) in log_ratios.zip(advantages) {
                let ratio = ratio(log_ratio);
                counts.at(side(ratio, advantage, low, high));
                let held = |dual: f64| advantage < 0.0 && ratio.max(1.0 - low) > dual;
                counts.dual += f64::from(u8::from(clip.dual.is_some_and(|dual| held(dual.get()))));
            }
        }
        PolicyLoss::Gspo(bounds) | PolicyLoss::GspoToken(bounds) => {
            let mean = log_ratios.sum::<f64>() / logps.len().max(1) as f64;
            for &advantage in advantages {
                counts.at(side(
                    mean.exp(),
                    advantage,
                    bounds.low.get(),
                    bounds.high.get(),
                ));
            }
        }
        PolicyLoss::Cispo(bounds) => {
            for log_ratio in log_ratios {
                let ratio = ratio(log_ratio);
                counts.at(if ratio < 1.0 - bounds.low.get() {
                    Some(Side::Low)
                } else if ratio > 1.0 + bounds.high.get() {
                    Some(Side::High)
                } else {
                    None
                });
            }
        }
        PolicyLoss::GeoMean(bounds) => {
            for (log_ratio, &advantage) in log_ratios.zip(advantages) {
                let outside = log_ratio < -bounds.low.get() || log_ratio > bounds.high.get();
                counts.at(match (outside, advantage > 0.0, advantage < 0.0) {
                    (true, true, _) => Some(Side::High),
                    (true, _, true) => Some(Side::Low),
                    (true, false, false) | (false, _, _) => None,
                });
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use preflab_config::{NonNegative, Positive, RatioClip};

    #[test]
    fn a_token_counts_where_the_clipped_term_is_the_larger_loss() {
        let clip = RatioClip {
            low: NonNegative::of(0.2),
            high: NonNegative::of(0.2),
            dual: Some(Positive::of(3.0)),
        };
        let old = [0.0; 6];
        let new = [1.0, 1.0, -1.0, -1.0, 0.1, 2.0];
        let advantages = [1.0, -1.0, 1.0, -1.0, 1.0, -1.0];
        let counts = clip_counts(PolicyLoss::Clipped(clip), &new, &old, &advantages);
        assert_eq!(
            counts,
            ClipCounts {
                clipped: 2.0,
                low: 1.0,
                high: 1.0,
                dual: 1.0
            }
        );
    }
}
