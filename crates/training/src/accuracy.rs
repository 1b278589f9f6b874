//! How often rewards prefer the chosen completion while a model trains: on pairs it trains on, and on pairs it does not.
//!
//! A reward model is judged by its scores, a policy of the DPO family by its implicit rewards. On the same pairs and at the
//! same updates the two are one curve each, and steadiness and overfitting can be compared (section 4.4 of
//! [arXiv:2406.07327](https://arxiv.org/abs/2406.07327)).

use preflab_metrics::{Metric, Sink, SinkError};
use preflab_stats::{mean, sd, steps};
use serde::{Deserialize, Serialize};

/// Chosen minus rejected reward of each pair.
#[derive(Debug, Clone, Copy)]
pub struct PairMargins<'m> {
    /// Of pairs that are not trained on.
    pub held_out: &'m [f64],
    /// Of some pairs that are; always the same ones.
    pub train: &'m [f64],
}

/// What rewards say after some updates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccuracyPoint {
    /// Updates done.
    pub step: u64,
    /// Passes over the training pairs done.
    pub passes: f64,
    /// Share of held-out pairs whose chosen reward is strictly above the rejected one.
    pub held_out: f64,
    /// The same of the training pairs.
    pub train: f64,
    /// Mean of `-log sigmoid(margin)` over the held-out pairs, nats.
    pub held_out_loss: f64,
    /// The same over the training pairs.
    pub train_loss: f64,
}

/// The points of one training run, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccuracyCurve {
    points: Vec<AccuracyPoint>,
}

impl AccuracyCurve {
    /// Adds a point and logs it. Without held-out or without training pairs there is none.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn look(
        &mut self,
        step: u64,
        passes: f64,
        margins: PairMargins<'_>,
        log: &mut dyn Sink,
    ) -> Result<(), SinkError> {
        if margins.held_out.is_empty() || margins.train.is_empty() {
            return Ok(());
        }
        let point = AccuracyPoint {
            step,
            passes,
            held_out: share_right(margins.held_out),
            train: share_right(margins.train),
            held_out_loss: mean_loss(margins.held_out),
            train_loss: mean_loss(margins.train),
        };
        self.points.push(point);
        log.scalars(
            step,
            &[
                (Metric::AccuracyHeldOut, point.held_out),
                (Metric::AccuracyTrain, point.train),
                (Metric::AccuracyGap, point.train - point.held_out),
                (Metric::AccuracyHeldOutLoss, point.held_out_loss),
                (Metric::AccuracyTrainLoss, point.train_loss),
            ],
        )
    }

    /// The points, in order.
    pub fn points(&self) -> &[AccuracyPoint] {
        &self.points
    }

    /// Figures of the whole curve. The point before the first update is left out: implicit rewards are then 0 for every
    /// pair, and a fresh head's scores are noise. What cannot be told from so few points is absent.
    pub fn summary(&self) -> Vec<(Metric, f64)> {
        let trained: Vec<AccuracyPoint> = self
            .points
            .iter()
            .copied()
            .filter(|point| point.step > 0)
            .collect();
        let Some(last) = trained.last() else {
            return Vec::new();
        };
        let held_out: Vec<f64> = trained.iter().map(|point| point.held_out).collect();
        let train: Vec<f64> = trained.iter().map(|point| point.train).collect();
        // The first of several equal peaks.
        let peak = trained.iter().fold(trained[0], |peak, point| {
            if point.held_out > peak.held_out {
                *point
            } else {
                peak
            }
        });
        let lowest_loss = trained
            .iter()
            .map(|point| point.held_out_loss)
            .fold(f64::INFINITY, f64::min);
        let mut figures = vec![
            (Metric::AccuracyHeldOut, last.held_out),
            (Metric::AccuracyTrain, last.train),
            (Metric::AccuracyGap, last.train - last.held_out),
            (Metric::AccuracyHeldOutLoss, last.held_out_loss),
            (Metric::AccuracyTrainLoss, last.train_loss),
            (Metric::AccuracyPeak, peak.held_out),
            (Metric::AccuracyPeakPass, peak.passes),
            (Metric::AccuracyDrop, peak.held_out - last.held_out),
            (Metric::AccuracyLossRise, last.held_out_loss - lowest_loss),
            (Metric::AccuracyFluctuation, sd(&steps(&held_out))),
            (Metric::AccuracyTrainFluctuation, sd(&steps(&train))),
        ];
        let late = |pass: f64| -> Vec<&AccuracyPoint> {
            let within = |point: &&AccuracyPoint| {
                point.passes > pass - 0.5 && point.passes <= pass + f64::EPSILON * pass
            };
            trained.iter().filter(within).collect()
        };
        let average = |points: &[&AccuracyPoint], of: fn(&AccuracyPoint) -> f64| {
            mean(&points.iter().map(|point| of(point)).collect::<Vec<f64>>())
        };
        let (first, second) = (late(1.0), late(2.0));
        let gap = |point: &AccuracyPoint| point.train - point.held_out;
        figures.push((Metric::AccuracyGapFirstPass, average(&first, gap)));
        figures.push((Metric::AccuracyGapSecondPass, average(&second, gap)));
        figures.push((
            Metric::AccuracySecondPassChange,
            average(&second, |point| point.held_out) - average(&first, |point| point.held_out),
        ));
        figures.push((
            Metric::AccuracySecondPassLossChange,
            average(&second, |point| point.held_out_loss)
                - average(&first, |point| point.held_out_loss),
        ));
        figures.retain(|(_, value)| value.is_finite());
        figures
    }
}

/// Share of margins strictly above 0.
pub fn share_right(margins: &[f64]) -> f64 {
    margins.iter().filter(|&&margin| margin > 0.0).count() as f64 / margins.len() as f64
}

/// Mean of `-log sigmoid(margin)`, finite at any margin.
fn mean_loss(margins: &[f64]) -> f64 {
    let losses: Vec<f64> = margins
        .iter()
        .map(|margin| (-margin).max(0.0) + (-margin.abs()).exp().ln_1p())
        .collect();
    mean(&losses)
}

#[cfg(test)]
mod tests {
    use preflab_metrics::Memory;

    use super::*;

    /// A curve whose held-out and training accuracies, in tenths, are these; ten pairs, 4 points a pass.
    fn curve(points: &[(usize, usize)]) -> (AccuracyCurve, Memory) {
        let mut curve = AccuracyCurve::default();
        let mut log = Memory::default();
        let margins = |right: usize| -> Vec<f64> {
            (0..10)
                .map(|pair| if pair < right { 1.0 } else { -1.0 })
                .collect()
        };
        for (index, &(held_out, train)) in points.iter().enumerate() {
            let (held_out, train) = (margins(held_out), margins(train));
            let margins = PairMargins {
                held_out: &held_out,
                train: &train,
            };
            curve
                .look(index as u64, index as f64 / 4.0, margins, &mut log)
                .unwrap();
        }
        (curve, log)
    }

    fn figure(curve: &AccuracyCurve, metric: Metric) -> Option<f64> {
        let found = curve
            .summary()
            .into_iter()
            .find(|(found, _)| *found == metric);
        found.map(|(_, value)| value)
    }

    #[test]
    fn the_figures_are_those_of_the_points_after_the_first_update() {
        let points = [
            (0, 0),
            (5, 5),
            (6, 6),
            (6, 7),
            (7, 8),
            (7, 9),
            (6, 10),
            (6, 10),
            (6, 10),
        ];
        let (curve, _) = curve(&points);
        let close = |metric, expected: f64| {
            let found = figure(&curve, metric).unwrap();
            assert!((found - expected).abs() < 1e-12, "{metric}: {found}");
        };
        close(Metric::AccuracyHeldOut, 0.6);
        close(Metric::AccuracyTrain, 1.0);
        close(Metric::AccuracyGap, 0.4);
        close(Metric::AccuracyPeak, 0.7);
        close(Metric::AccuracyPeakPass, 1.0);
        close(Metric::AccuracyDrop, 0.1);
        // Steps of the held-out curve: 1, 0, 1, 0, -1, 0, 0 tenths: mean 1/7, sum of squares 3 - 1/7, over 6.
        close(
            Metric::AccuracyFluctuation,
            0.1 * ((3.0f64 - 1.0 / 7.0) / 6.0).sqrt(),
        );
        // Passes 0.75 and 1 of the first, 1.75 and 2 of the second.
        close(Metric::AccuracyGapFirstPass, 0.1);
        close(Metric::AccuracyGapSecondPass, 0.4);
        close(Metric::AccuracySecondPassChange, 0.6 - 0.65);
    }

    #[test]
    fn one_pass_tells_nothing_of_the_second() {
        let (curve, _) = curve(&[(0, 0), (5, 5), (6, 6), (6, 7), (7, 8)]);
        assert!(figure(&curve, Metric::AccuracyGapFirstPass).is_some());
        assert_eq!(figure(&curve, Metric::AccuracyGapSecondPass), None);
        assert_eq!(figure(&curve, Metric::AccuracySecondPassChange), None);
        let (untrained, _) = self::curve(&[(5, 5)]);
        assert!(untrained.summary().is_empty());
    }

    #[test]
    fn every_point_is_logged_under_its_update() {
        let (_, log) = curve(&[(0, 0), (5, 8)]);
        let gap = log.series(Metric::AccuracyGap);
        assert_eq!(gap.len(), 2);
        assert!((gap[1].1 - 0.3).abs() < 1e-12);
        let loss = log.series(Metric::AccuracyHeldOutLoss)[1].1;
        // Half of the margins are 1, half -1.
        assert!(
            (loss - (0.5 + 1f64.exp().recip().ln_1p())).abs() < 1e-12,
            "{loss}"
        );
    }

    #[test]
    fn equal_rewards_count_as_wrong_and_large_margins_stay_finite() {
        assert_eq!(share_right(&[0.0, 1.0, -1.0, 2.0]), 0.5);
        assert!((mean_loss(&[-2e4]) - 2e4).abs() < 1e-9 && mean_loss(&[2e4]) == 0.0);
        assert!((mean_loss(&[0.0]) - 2f64.ln()).abs() < 1e-15);
    }
}
