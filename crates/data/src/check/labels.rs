//! Completions with a label each: how many have which, and whether the desirable ones are longer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lengths::wilson;

/// What labelled rows are like together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelReport {
    /// Desirable completions.
    pub desirable: usize,
    /// Undesirable completions.
    pub undesirable: usize,
    /// Different prompts.
    pub prompts: usize,
    /// Prompts with completions of both labels.
    pub prompts_with_both: usize,
    /// Pairs of a desirable and an undesirable completion that can be made: as many of each prompt as it has of the rarer
    /// label.
    pub pairs: usize,
    /// What lengths are counted in: `tokens`, the end-of-sequence token included, or `characters`.
    pub unit: String,
    /// Mean length of desirable completions.
    pub mean_desirable: f64,
    /// Mean length of undesirable completions.
    pub mean_undesirable: f64,
    /// Probability that a desirable completion, drawn at random, is longer than an undesirable one (equal lengths count
    /// half); 0.5 if there are not both.
    pub desirable_longer: f64,
    /// Its 95 % interval (DeLong et al. 1988).
    pub interval: [f64; 2],
    /// Whether the interval excludes one half.
    pub is_biased: bool,
}

impl LabelReport {
    /// Whether all completions have one label.
    pub const fn is_single(&self) -> bool {
        self.desirable == 0 || self.undesirable == 0
    }
}

/// The labels of one prompt's completions, and where the first of them stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct PromptLabels {
    pub desirable: u32,
    pub undesirable: u32,
    /// Number of the file, and line.
    pub first: (u32, u32),
}

/// Counts of labels, by prompt and by length.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels {
    pub prompts: BTreeMap<u64, PromptLabels>,
    /// For each length: undesirable and desirable completions. As small as there are different lengths.
    lengths: BTreeMap<usize, [u64; 2]>,
}

impl Labels {
    /// Counts a completion of the prompt with this hash.
    pub(super) fn add(&mut self, prompt: u64, label: bool, length: usize, place: (u32, u32)) {
        let labels = self.prompts.entry(prompt).or_insert(PromptLabels {
            desirable: 0,
            undesirable: 0,
            first: place,
        });
        match label {
            true => labels.desirable += 1,
            false => labels.undesirable += 1,
        }
        self.lengths.entry(length).or_default()[usize::from(label)] += 1;
    }

    /// What they are like together; none without labels.
    pub(super) fn report(&self, unit: &str) -> Option<LabelReport> {
        if self.prompts.is_empty() {
            return None;
        }
        let count = |label: usize| {
            self.lengths
                .values()
                .map(|counts| counts[label])
                .sum::<u64>()
        };
        let sum = |label: usize| {
            let sums = self.lengths.iter();
            sums.map(|(&length, counts)| length as f64 * counts[label] as f64)
                .sum::<f64>()
        };
        let mean = |label: usize| sum(label) / count(label).max(1) as f64;
        let both = self.prompts.values();
        let both = both.map(|labels| labels.desirable.min(labels.undesirable) as usize);
        let (desirable_longer, interval) = self.longer();
        Some(LabelReport {
            desirable: count(1) as usize,
            undesirable: count(0) as usize,
            prompts: self.prompts.len(),
            prompts_with_both: both.clone().filter(|&pairs| pairs > 0).count(),
            pairs: both.sum(),
            unit: unit.to_owned(),
            mean_desirable: mean(1),
            mean_undesirable: mean(0),
            desirable_longer,
            interval,
            is_biased: interval[0] > 0.5 || interval[1] < 0.5,
        })
    }

    /// P(desirable longer) + P(equal) / 2 and its 95 % interval: DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44,
    /// 837-845. Its variance is that of the shares of the other group that each completion is longer than.
    fn longer(&self) -> (f64, [f64; 2]) {
        let totals = self
            .lengths
            .values()
            .fold([0, 0], |[u, d], counts| [u + counts[0], d + counts[1]]);
        let [undesirable, desirable] = totals.map(|total| total as f64);
        if undesirable < 1.0 || desirable < 1.0 {
            return (0.5, [0.0, 1.0]);
        }
        // Of each length: the share of the other group that is shorter, equal lengths counting half.
        let (mut shorter, mut share) = ([0.0, 0.0], 0.0);
        let mut squares = [0.0, 0.0];
        let mut placed = Vec::with_capacity(self.lengths.len());
        for counts in self.lengths.values() {
            let [u, d] = counts.map(|count| count as f64);
            let of_desirable = (shorter[0] + u / 2.0) / undesirable;
            let of_undesirable = 1.0 - (shorter[1] + d / 2.0) / desirable;
            share += d * of_desirable;
            placed.push(([u, d], [of_undesirable, of_desirable]));
            shorter = [shorter[0] + u, shorter[1] + d];
        }
        share /= desirable;
        if share == 0.0 || share == 1.0 {
            // No spread to estimate a variance from: as many comparisons as are independent, all with one outcome.
            let pairs = totals[0].min(totals[1]) as usize;
            return (share, wilson(if share == 1.0 { pairs } else { 0 }, pairs));
        }
        for (counts, shares) in placed {
            for group in [0, 1] {
                squares[group] += counts[group] * (shares[group] - share).powi(2);
            }
        }
        let variance = |squares: f64, total: f64| match total > 1.0 {
            true => squares / (total - 1.0) / total,
            false => f64::INFINITY,
        };
        let variance = variance(squares[0], undesirable) + variance(squares[1], desirable);
        // The 97.5 % quantile of the standard normal distribution.
        let half = 1.959_963_984_540_054 * variance.sqrt();
        let interval = [share - half, share + half].map(|bound| bound.clamp(0.0, 1.0));
        (share, interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(desirable: &[usize], undesirable: &[usize]) -> LabelReport {
        let mut labels = Labels::default();
        for &length in desirable {
            labels.add(1, true, length, (0, 1));
        }
        for &length in undesirable {
            labels.add(2, false, length, (0, 2));
        }
        labels.report("characters").unwrap()
    }

    /// The same by comparing every desirable completion with every undesirable one, as the paper defines it.
    #[test]
    fn the_interval_is_delongs() {
        let (desirable, undesirable) = ([5, 7, 7, 9, 12, 30], [2, 5, 7, 8, 8]);
        let longer = |a: usize, b: usize| match a.cmp(&b) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let of_desirable: Vec<f64> = desirable
            .iter()
            .map(|&d| mean(&undesirable.map(|u| longer(d, u))))
            .collect();
        let of_undesirable: Vec<f64> = undesirable
            .iter()
            .map(|&u| mean(&desirable.map(|d| longer(d, u))))
            .collect();
        let share = mean(&of_desirable);
        let variance = |values: &[f64]| {
            let n = values.len() as f64;
            values.iter().map(|v| (v - share).powi(2)).sum::<f64>() / (n - 1.0) / n
        };
        let half =
            1.959_963_984_540_054 * (variance(&of_desirable) + variance(&of_undesirable)).sqrt();
        let report = of(&desirable, &undesirable);
        assert!((report.desirable_longer - share).abs() < 1e-12);
        assert!(
            (report.interval[0] - (share - half)).abs() < 1e-12,
            "{report:?}"
        );
        assert!((report.interval[1] - (share + half).min(1.0)).abs() < 1e-12);
        assert!(!report.is_biased);
    }

    #[test]
    fn longer_desirable_completions_are_a_bias_and_one_label_is_none() {
        let long: Vec<usize> = (20..60).collect();
        let short: Vec<usize> = (10..50).collect();
        assert!(of(&long, &short).is_biased);
        assert!(of(&short, &long).is_biased);
        assert!(!of(&long, &long).is_biased);
        let one = of(&long, &[]);
        assert_eq!((one.desirable_longer, one.interval), (0.5, [0.0, 1.0]));
        assert!(!of(&[9], &[3]).is_biased && !of(&[9, 8], &[3, 4]).is_biased);
        assert_eq!(of(&[9; 30], &[3; 30]).desirable_longer, 1.0);
        assert!(of(&[9; 30], &[3; 30]).is_biased);
    }
}
