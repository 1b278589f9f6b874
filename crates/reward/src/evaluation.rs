//! How good a reward model is on held-out pairs.

use preflab_data::Pair;
use preflab_metrics::{Metric, Sink, SinkError};
use preflab_stats::{
    BinEdges, Interval, ProportionInterval, StatsError, Tally, brier, calibration, mean, pearson,
    proportion_interval, sd, spearman,
};

/// Bins of the calibration.
const BINS: usize = 10;

/// Share of pairs that are right, among those of one bucket of gold margins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Smallest and largest gold margin in it.
    pub margins: [f64; 2],
    /// Pairs in it.
    pub pairs: usize,
    /// Share of them whose chosen score is strictly above the rejected one.
    pub accuracy: f64,
    /// 95 % Wilson interval of that share.
    pub interval: Interval,
}

/// How good a reward model is on held-out pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Mean of the objective.
    pub loss: f64,
    /// Share of pairs whose chosen score is strictly above the rejected one.
    pub accuracy: f64,
    /// 95 % Wilson interval of it (Wilson 1927): pairs are taken as independent.
    pub accuracy_interval: Interval,
    /// Mean of chosen minus rejected score.
    pub margin: f64,
    /// Scores of the completions, one number for each pair.
    pub scores: Pair<Vec<f64>>,
    /// Expected calibration error of `sigmoid(margin)` as the probability that the chosen completion is preferred: ten equal
    /// bins (Guo et al. 2017, [arXiv:1706.04599](https://arxiv.org/abs/1706.04599)).
    ///
    /// Each pair is asked for its predicted winner, with the confidence `sigmoid(|margin|)`.
    pub calibration_error: f64,
    /// Mean of `(1 - sigmoid(margin))^2`.
    pub brier: f64,
    /// Pearson correlation of score and length over all completions; NaN where one of them does not vary.
    pub length_correlation: f64,
    /// Spearman correlation of score margin and gold margin over pairs, where gold margins are known.
    pub gold_correlation: Option<f64>,
    /// By thirds of the gold margin: smallest, middle, largest, where gold margins are known and there are enough pairs.
    pub buckets: Option<[Bucket; 3]>,
}

impl Evaluation {
    /// Of pairs with these scores, lengths in tokens and objective.
    ///
    /// # Errors
    /// If there are no pairs, or a score is no number.
    pub fn of(
        scores: Pair<Vec<f64>>,
        lengths: &Pair<Vec<usize>>,
        losses: &[f64],
        gold_margins: Option<&[f64]>,
    ) -> Result<Self, StatsError> {
        let margins: Vec<f64> = scores
            .chosen
            .iter()
            .zip(&scores.rejected)
            .map(|(c, r)| c - r)
            .collect();
        let (accuracy, accuracy_interval) = accuracy(&margins)?;
        let right: Vec<bool> = margins.iter().map(|&margin| margin > 0.0).collect();
        let confidences: Vec<f64> = margins.iter().map(|margin| sigmoid(margin.abs())).collect();
        let probabilities: Vec<f64> = margins.iter().map(|&margin| sigmoid(margin)).collect();
        let all_scores = [scores.chosen.as_slice(), &scores.rejected].concat();
        let all_lengths: Vec<f64> = lengths
            .chosen
            .iter()
            .chain(&lengths.rejected)
            .map(|&length| length as f64)
            .collect();
        Ok(Self {
            loss: mean(losses),
            accuracy,
            accuracy_interval,
            margin: mean(&margins),
            calibration_error: calibration(&confidences, &right, BINS, BinEdges::RightClosed)?
                .expected_error(),
            brier: brier(&probabilities, &vec![true; margins.len()])?,
            length_correlation: pearson(&all_scores, &all_lengths),
            gold_correlation: gold_margins.map(|gold| spearman(&margins, gold)),
            buckets: gold_margins
                .map(|gold| buckets(&margins, gold))
                .transpose()?
                .flatten(),
            scores,
        })
    }

    /// Chosen minus rejected score of each pair.
    pub fn margins(&self) -> Vec<f64> {
        let sides = self.scores.chosen.iter().zip(&self.scores.rejected);
        sides.map(|(chosen, rejected)| chosen - rejected).collect()
    }

    /// Logs it at `step`.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn record(&self, step: u64, log: &mut dyn Sink) -> Result<(), SinkError> {
        let all = [self.scores.chosen.as_slice(), &self.scores.rejected].concat();
        log.scalars(
            step,
            &[
                (Metric::EvalLoss, self.loss),
                (Metric::EvalAccuracy, self.accuracy),
                (Metric::EvalMargin, self.margin),
                (
                    Metric::EvalMinReward,
                    all.iter().copied().fold(f64::INFINITY, f64::min),
                ),
                (Metric::EvalMeanReward, mean(&all)),
                (
                    Metric::EvalMaxReward,
                    all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                ),
                (Metric::EvalRewardStd, sd(&all)),
                (Metric::EvalChosenReward, mean(&self.scores.chosen)),
                (Metric::EvalRejectReward, mean(&self.scores.rejected)),
                (Metric::EvalEce, self.calibration_error),
                (Metric::EvalBrier, self.brier),
                (Metric::EvalLengthCorrelation, self.length_correlation),
            ],
        )?;
        if let Some(correlation) = self.gold_correlation {
            log.scalar(step, Metric::EvalGoldCorrelation, correlation)?;
        }
        if let Some([small, medium, large]) = &self.buckets {
            log.scalars(
                step,
                &[
                    (Metric::EvalAccuracySmallMargin, small.accuracy),
                    (Metric::EvalAccuracyMediumMargin, medium.accuracy),
                    (Metric::EvalAccuracyLargeMargin, large.accuracy),
                ],
            )?;
        }
        Ok(())
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn accuracy(margins: &[f64]) -> Result<(f64, Interval), StatsError> {
    let right = margins.iter().filter(|&&margin| margin > 0.0).count();
    let tally = Tally::new(right as u64, margins.len() as u64)?;
    let interval = proportion_interval(tally, 0.05, ProportionInterval::Wilson)?;
    Ok((right as f64 / margins.len() as f64, interval))
}

/// Accuracy in thirds of the pairs, ordered by gold margin; none of fewer than three pairs.
fn buckets(margins: &[f64], gold: &[f64]) -> Result<Option<[Bucket; 3]>, StatsError> {
    assert_eq!(margins.len(), gold.len(), "one gold margin for each pair");
    let count = margins.len();
    if count < 3 {
        return Ok(None);
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| gold[a].total_cmp(&gold[b]));
    let third = |which: usize| -> Result<Bucket, StatsError> {
        let members = &order[which * count / 3..(which + 1) * count / 3];
        let of_members: Vec<f64> = members.iter().map(|&pair| margins[pair]).collect();
        let (accuracy, interval) = accuracy(&of_members)?;
        let ends = [members[0], members[members.len() - 1]].map(|pair| gold[pair]);
        Ok(Bucket {
            margins: ends,
            pairs: members.len(),
            accuracy,
            interval,
        })
    };
    Ok(Some([third(0)?, third(1)?, third(2)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(margins: &[f64], gold: Option<&[f64]>) -> Evaluation {
        let scores = Pair {
            chosen: margins.to_vec(),
            rejected: vec![0.0; margins.len()],
        };
        let lengths = Pair {
            chosen: vec![5; margins.len()],
            rejected: (1..=margins.len()).collect(),
        };
        Evaluation::of(scores, &lengths, &vec![0.5; margins.len()], gold).unwrap()
    }

    #[test]
    fn equal_scores_count_as_wrong() {
        let evaluation = evaluation(&[1.0, 0.0, -1.0, 2.0], None);
        assert_eq!(evaluation.accuracy, 0.5);
        // Wilson's interval of 2 of 4.
        assert!((evaluation.accuracy_interval.low - 0.150_039_0).abs() < 1e-6);
        assert_eq!(evaluation.margin, 0.5);
        assert!(evaluation.buckets.is_none() && evaluation.gold_correlation.is_none());
    }

    #[test]
    fn a_model_as_sure_as_it_is_right_is_calibrated() {
        // Confidence 3/4, three of four right.
        let three_quarters = 3f64.ln();
        let evaluation = evaluation(
            &[
                three_quarters,
                three_quarters,
                three_quarters,
                -three_quarters,
            ],
            None,
        );
        assert!(evaluation.calibration_error < 1e-12);
        assert!((evaluation.brier - (3.0 / 16.0 + 9.0 / 16.0) / 4.0).abs() < 1e-12);
        let sure = self::evaluation(&[30.0, 30.0, -30.0, -30.0], None);
        assert!((sure.calibration_error - 0.5).abs() < 1e-9);
    }

    #[test]
    fn buckets_follow_the_gold_margin() {
        let gold = [0.9, 0.1, 0.5, 0.2, 0.6, 0.8];
        let margins = [1.0, -1.0, 1.0, -1.0, -1.0, 1.0];
        let [small, medium, large] = evaluation(&margins, Some(&gold)).buckets.unwrap();
        assert_eq!(
            (small.accuracy, medium.accuracy, large.accuracy),
            (0.0, 0.5, 1.0)
        );
        assert_eq!(
            (small.margins, large.margins, medium.pairs),
            ([0.1, 0.2], [0.8, 0.9], 2)
        );
    }
}
