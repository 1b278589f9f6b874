//! How good a reward model is on held-out pairs.

use preflab_data::Pair;
use preflab_stats::{mean, pearson, quantile, sd};

/// Figures of a reward model on held-out pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Share of pairs whose chosen score is strictly above the rejected one.
    pub accuracy: f64,
    /// Mean difference of the scores.
    pub margin: f64,
    /// Mean of `-log σ(difference)`.
    pub loss: f64,
    /// Mean score of chosen and of rejected completions.
    pub scores: Pair<f64>,
    /// Standard deviation (`n - 1`) of all scores.
    pub deviation: f64,
    /// Expected calibration error of `σ(difference)`: ten equal bins of confidence, weighted by size (Guo et al. 2017,
    /// arXiv:1706.04599, eq. 3).
    pub calibration_error: f64,
    /// Brier score: mean of `(1 - σ(difference))^2`.
    pub brier: f64,
    /// Pearson correlation of score and length over all completions; NaN where one of them is constant.
    pub length_correlation: f64,
    /// Accuracy over thirds of the pairs by the size of the gold margin, smallest first; empty without gold scores.
    pub by_margin: Vec<MarginBucket>,
}

/// Accuracy over pairs of similar gold margin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarginBucket {
    /// Largest gold margin in it.
    pub up_to: f64,
    /// Pairs in it.
    pub pairs: usize,
    /// Pairs ranked right.
    pub right: usize,
}

impl MarginBucket {
    /// Share of pairs ranked right; NaN of none.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.pairs as f64
    }
}

/// Evaluates scores of held-out pairs.
///
/// - `scores`: chosen and rejected, one a pair.
/// - `lengths`: completion lengths, tokens.
/// - `gold_margins`: gold score of chosen minus rejected, where there is one.
///
/// # Panics
/// If there is no pair, or the slices differ in length.
pub fn evaluate(
    scores: &Pair<Vec<f64>>,
    lengths: &Pair<Vec<usize>>,
    gold_margins: Option<&[f64]>,
) -> Evaluation {
    let pairs = scores.chosen.len();
    assert!(pairs > 0, "at least one pair");
    assert_eq!(pairs, scores.rejected.len(), "a rejected score a pair");
    let differences: Vec<f64> = scores
        .chosen
        .iter()
        .zip(&scores.rejected)
        .map(|(chosen, rejected)| chosen - rejected)
        .collect();
    let all = [scores.chosen.as_slice(), &scores.rejected].concat();
    let all_lengths: Vec<f64> = lengths
        .chosen
        .iter()
        .chain(&lengths.rejected)
        .map(|&length| length as f64)
        .collect();
    let confidence = |difference: f64| 1.0 / (1.0 + (-difference).exp());
    let average =
        |f: &dyn Fn(f64) -> f64| mean(&differences.iter().map(|&d| f(d)).collect::<Vec<_>>());
    Evaluation {
        accuracy: average(&|difference| f64::from(u8::from(difference > 0.0))),
        margin: mean(&differences),
        loss: average(&|difference| (-difference.abs()).exp().ln_1p() + (-difference).max(0.0)),
        scores: Pair {
            chosen: mean(&scores.chosen),
            rejected: mean(&scores.rejected),
        },
        deviation: sd(&all),
        calibration_error: calibration_error(&differences),
        brier: average(&|difference| (1.0 - confidence(difference)).powi(2)),
        length_correlation: pearson(&all, &all_lengths),
        by_margin: gold_margins.map_or_else(Vec::new, |gold| by_margin(&differences, gold)),
    }
}

/// Ten equal bins of the confidence `σ(|difference|)` in the predicted side.
fn calibration_error(differences: &[f64]) -> f64 {
    let mut bins = [(0usize, 0.0, 0.0); 10];
    for &difference in differences {
        let confidence = 1.0 / (1.0 + (-difference.abs()).exp());
        let bin = &mut bins[((confidence * 10.0) as usize).min(9)];
        bin.0 += 1;
        bin.1 += confidence;
        bin.2 += f64::from(u8::from(difference > 0.0));
    }
    let gaps = bins
        .iter()
        .map(|(_, confidence, right): &(usize, f64, f64)| (confidence - right).abs());
    gaps.sum::<f64>() / differences.len() as f64
}

fn by_margin(differences: &[f64], gold: &[f64]) -> Vec<MarginBucket> {
    assert_eq!(differences.len(), gold.len(), "a gold margin a pair");
    let bounds = [1.0 / 3.0, 2.0 / 3.0, 1.0]
        .map(|share| quantile(gold, share, preflab_stats::QuantileRule::Linear));
    let mut below = f64::NEG_INFINITY;
    bounds
        .into_iter()
        .map(|up_to| {
            let inside = differences
                .iter()
                .zip(gold)
                .filter(|(_, gold)| **gold > below && **gold <= up_to);
            let right = inside.clone().filter(|(difference, _)| **difference > 0.0);
            let bucket = MarginBucket {
                up_to,
                pairs: inside.clone().count(),
                right: right.count(),
            };
            below = up_to;
            bucket
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_four_pairs_by_hand() {
        let scores = Pair {
            chosen: vec![2.0, 1.0, 0.0, 3.0],
            rejected: vec![0.0, 2.0, -1.0, 3.0],
        };
        let lengths = Pair {
            chosen: vec![2, 1, 0, 3],
            rejected: vec![0, 2, 1, 3],
        };
        let found = evaluate(&scores, &lengths, Some(&[0.1, 0.1, 0.5, 0.9]));
        assert_eq!(found.accuracy, 0.5);
        assert_eq!(found.margin, 0.5);
        let loss = |d: f64| (1.0 + (-d).exp()).ln();
        assert!(
            (found.loss - (loss(2.0) + loss(-1.0) + loss(1.0) + loss(0.0)) / 4.0).abs() < 1e-12
        );
        assert!(found.length_correlation > 0.8);
        let counts: Vec<(usize, usize)> =
            found.by_margin.iter().map(|b| (b.pairs, b.right)).collect();
        assert_eq!(counts, [(2, 1), (1, 1), (1, 0)]);
    }

    #[test]
    fn a_sure_and_right_model_is_calibrated_and_a_sure_and_wrong_one_is_not() {
        assert!(calibration_error(&[30.0, 40.0]) < 1e-12);
        assert!((calibration_error(&[-30.0, -40.0]) - 1.0).abs() < 1e-12);
        assert!(calibration_error(&[1e-9, -1e-9]) < 1e-9);
    }
}
