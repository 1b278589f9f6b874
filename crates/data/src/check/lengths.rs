//! Whether the longer answer tends to be the chosen one.

use serde::{Deserialize, Serialize};

/// The lengths of chosen and rejected completions. A reward model, and DPO without length normalisation, learn such a
/// difference as if it were quality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthBias {
    /// What lengths are counted in: `tokens`, the end-of-sequence token included, or `characters`.
    pub unit: String,
    /// Mean length of chosen completions.
    pub mean_chosen: f64,
    /// Mean length of rejected completions.
    pub mean_rejected: f64,
    /// Pairs of equal length.
    pub equal: usize,
    /// Pairs whose chosen completion is longer, as a share of those of different length; 0.5 without any.
    pub chosen_longer: f64,
    /// Its 95 % interval (Wilson 1927).
    pub interval: [f64; 2],
    /// Whether the interval excludes one half.
    pub is_biased: bool,
}

/// Sums over pairs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lengths {
    pairs: usize,
    chosen: usize,
    rejected: usize,
    longer: usize,
    equal: usize,
}

impl Lengths {
    /// Counts a pair's lengths, chosen first.
    pub(super) fn add(&mut self, [chosen, rejected]: [usize; 2]) {
        self.pairs += 1;
        self.chosen += chosen;
        self.rejected += rejected;
        self.longer += usize::from(chosen > rejected);
        self.equal += usize::from(chosen == rejected);
    }

    /// What the lengths say together; none without pairs.
    pub(super) fn bias(self, unit: &str) -> Option<LengthBias> {
        if self.pairs == 0 {
            return None;
        }
        let mean = |sum: usize| sum as f64 / self.pairs as f64;
        let different = self.pairs - self.equal;
        let interval = wilson(self.longer, different);
        Some(LengthBias {
            unit: unit.to_owned(),
            mean_chosen: mean(self.chosen),
            mean_rejected: mean(self.rejected),
            equal: self.equal,
            chosen_longer: if different == 0 {
                0.5
            } else {
                self.longer as f64 / different as f64
            },
            interval,
            is_biased: interval[0] > 0.5 || interval[1] < 0.5,
        })
    }
}

/// The 95 % Wilson interval of `successes` in `trials`: `[0, 1]` without trials.
pub(super) fn wilson(successes: usize, trials: usize) -> [f64; 2] {
    if trials == 0 {
        return [0.0, 1.0];
    }
    // The 97.5 % quantile of the standard normal distribution.
    let z = 1.959_963_984_540_054;
    let n = trials as f64;
    let share = successes as f64 / n;
    let centre = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    [(centre - half) / scale, (centre + half) / scale].map(|bound| bound.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `statsmodels.stats.proportion.proportion_confint(15, 20, method="wilson")`.
    #[test]
    fn the_interval_is_wilsons() {
        let [low, high] = wilson(15, 20);
        assert!(
            (low - 0.531_299_2).abs() < 1e-6 && (high - 0.888_138_3).abs() < 1e-6,
            "{low} {high}"
        );
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn a_bias_needs_an_interval_without_one_half() {
        let mut lengths = Lengths::default();
        for i in 0..20 {
            lengths.add(if i < 15 { [8, 4] } else { [4, 8] });
        }
        lengths.add([4, 4]);
        let bias = lengths.bias("tokens").unwrap();
        assert_eq!(
            (bias.chosen_longer, bias.equal, bias.is_biased),
            (0.75, 1, true)
        );
        assert_eq!(Lengths::default().bias("tokens"), None);
    }
}
