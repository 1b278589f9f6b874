//! Whether stated probabilities match frequencies.

use crate::error::{StatsError, check_count, check_pairs};
use crate::summary::mean;

/// To which of two bins their common edge belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinEdges {
    /// `(low, high]`, with 0 in the first bin (Guo et al. 2017).
    RightClosed,
    /// `[low, high)`, with 1 in the last bin.
    LeftClosed,
}

/// A bin that holds at least one prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationBin {
    /// Number of the bin, from 0.
    pub bin: usize,
    /// Predictions in it.
    pub count: usize,
    /// Mean stated probability.
    pub mean_confidence: f64,
    /// Share of the outcomes that came true.
    pub accuracy: f64,
}

impl CalibrationBin {
    fn gap(&self) -> f64 {
        (self.accuracy - self.mean_confidence).abs()
    }
}

/// Gaps between stated and observed probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Bins that hold something, in order.
    pub bins: Vec<CalibrationBin>,
}

impl Calibration {
    fn weighted(&self, f: impl Fn(&CalibrationBin) -> f64) -> f64 {
        let total: usize = self.bins.iter().map(|bin| bin.count).sum();
        let sum: f64 = self.bins.iter().map(|bin| bin.count as f64 * f(bin)).sum();
        sum / total as f64
    }

    /// Expected calibration error `sum_b (n_b / n) |accuracy_b - confidence_b|`
    /// (Guo et al. 2017, [arXiv:1706.04599](https://arxiv.org/abs/1706.04599), eq. 3).
    pub fn expected_error(&self) -> f64 {
        self.weighted(CalibrationBin::gap)
    }

    /// The largest gap (the same paper, eq. 5).
    pub fn maximum_error(&self) -> f64 {
        self.bins
            .iter()
            .map(CalibrationBin::gap)
            .fold(0.0, f64::max)
    }

    /// Root of the weighted mean square gap.
    pub fn rms_error(&self) -> f64 {
        self.weighted(|bin| bin.gap() * bin.gap()).sqrt()
    }
}

/// Probabilities must lie in `[0, 1]` and pair up with outcomes, of which there is at least one.
fn check(probabilities: &[f64], outcomes: &[bool]) -> Result<(), StatsError> {
    check_pairs(probabilities, outcomes)?;
    check_count("calibration", probabilities, 1)?;
    match probabilities
        .iter()
        .find(|p| p.is_nan() || !(0.0..=1.0).contains(*p))
    {
        Some(&found) => Err(StatsError::OutOfRange {
            what: "a stated probability",
            expected: "from 0 to 1",
            found,
        }),
        None => Ok(()),
    }
}

/// Sorts predictions into `bins` bins of equal width on `[0, 1]`. At least one bin and one prediction.
pub fn calibration(
    confidences: &[f64],
    outcomes: &[bool],
    bins: usize,
    edges: BinEdges,
) -> Result<Calibration, StatsError> {
    check(confidences, outcomes)?;
    if bins == 0 {
        return Err(StatsError::OutOfRange {
            what: "the number of bins",
            expected: "at least 1",
            found: 0.0,
        });
    }
    // Edges as `i / bins`, the nearest numbers to the fractions, so that a stated 0.3 is the edge 3/10.
    let edge = |i: usize| i as f64 / bins as f64;
    let bin_of = |confidence: f64| match edges {
        BinEdges::RightClosed => (0..bins - 1)
            .find(|&bin| confidence <= edge(bin + 1))
            .unwrap_or(bins - 1),
        BinEdges::LeftClosed => (0..bins - 1)
            .find(|&bin| confidence < edge(bin + 1))
            .unwrap_or(bins - 1),
    };
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); bins];
    for (i, &confidence) in confidences.iter().enumerate() {
        members[bin_of(confidence)].push(i);
    }
    let filled = members
        .iter()
        .enumerate()
        .filter(|(_, members)| !members.is_empty());
    Ok(Calibration {
        bins: filled
            .map(|(bin, members)| {
                let stated: Vec<f64> = members.iter().map(|&i| confidences[i]).collect();
                let true_count = members.iter().filter(|&&i| outcomes[i]).count();
                CalibrationBin {
                    bin,
                    count: members.len(),
                    mean_confidence: mean(&stated),
                    accuracy: true_count as f64 / members.len() as f64,
                }
            })
            .collect(),
    })
}

/// Brier's score `mean((p - y)²)` of a yes-or-no forecast, in `[0, 1]` (Brier 1950, Monthly Weather Review 78(1)).
pub fn brier(probabilities: &[f64], outcomes: &[bool]) -> Result<f64, StatsError> {
    check(probabilities, outcomes)?;
    let squares: Vec<f64> = probabilities
        .iter()
        .zip(outcomes)
        .map(|(p, &outcome)| (p - f64::from(u8::from(outcome))).powi(2))
        .collect();
    Ok(mean(&squares))
}

/// Brier's score of a forecast over classes, summed over classes: in `[0, 2]`.
///
/// `probabilities[i]` holds one probability per class; `labels[i]` is the class that came true.
pub fn brier_classes(probabilities: &[Vec<f64>], labels: &[usize]) -> Result<f64, StatsError> {
    check_pairs(probabilities, labels)?;
    let mut scores = Vec::with_capacity(labels.len());
    for (row, &label) in probabilities.iter().zip(labels) {
        if label >= row.len() {
            return Err(StatsError::OutOfRange {
                what: "a class",
                expected: "one of those with a probability",
                found: label as f64,
            });
        }
        crate::error::check_finite(row)?;
        let deviation =
            |(class, p): (usize, &f64)| (p - f64::from(u8::from(class == label))).powi(2);
        scores.push(row.iter().enumerate().map(deviation).sum::<f64>());
    }
    check_count("Brier's score", &scores, 1)?;
    Ok(mean(&scores))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_or_no_probability_is_an_error() {
        let edges = BinEdges::RightClosed;
        assert!(calibration(&[], &[], 10, edges).is_err());
        assert!(calibration(&[0.5], &[true], 0, edges).is_err());
        assert!(calibration(&[f64::NAN], &[true], 3, edges).is_err());
        assert!(brier(&[1.2], &[true]).is_err() && brier(&[0.2], &[]).is_err());
        assert!(
            brier_classes(&[vec![0.5, 0.5]], &[2]).is_err() && brier_classes(&[], &[]).is_err()
        );
    }

    #[test]
    fn the_ends_and_the_edges_fall_where_stated() {
        let bin = |confidence: f64, edges| {
            calibration(&[confidence], &[true], 10, edges).unwrap().bins[0].bin
        };
        assert_eq!(bin(0.0, BinEdges::RightClosed), 0);
        assert_eq!(bin(1.0, BinEdges::LeftClosed), 9);
        assert_eq!(bin(0.5, BinEdges::RightClosed), 4);
        assert_eq!(bin(0.5, BinEdges::LeftClosed), 5);
    }
}
