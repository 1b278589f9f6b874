//! Bootstrap intervals from replicates of a statistic.
//!
//! Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13 and 14. Which observations a replicate is made of is an input ([`Draws`] makes
//! them from a seed), so every function but that is deterministic arithmetic.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::distribution::{normal_cdf, normal_quantile};
use crate::error::{StatsError, check_open_fraction};
use crate::interval::Interval;
use crate::scores::{Aggregate, Scores};
use crate::summary::{QuantileRule, mean, quantile};

/// A seeded source of bootstrap draws.
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// The same seed gives the same draws everywhere.
    pub fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// `n` draws with replacement from `0..n`; none for `n = 0`.
    pub fn sample(&mut self, n: usize) -> Vec<usize> {
        (0..n).map(|_| self.0.random_range(0..n)).collect()
    }

    /// `[run][task]`: `runs` draws with replacement from `0..runs`, for each task on its own.
    pub fn stratified(&mut self, runs: usize, tasks: usize) -> Vec<Vec<usize>> {
        let row = |_| (0..tasks).map(|_| self.0.random_range(0..runs)).collect();
        (0..runs).map(row).collect()
    }
}

/// The quantiles of the replicates at `level`'s two tails: the percentile interval.
pub fn percentile_interval(replicates: &[f64], level: f64, rule: QuantileRule) -> Interval {
    let tail = 0.5 * (1.0 - level);
    Interval {
        low: quantile(replicates, tail, rule),
        high: quantile(replicates, 1.0 - tail, rule),
    }
}

/// The percentile interval mirrored at the estimate: `2 estimate - quantile`.
pub fn basic_interval(replicates: &[f64], estimate: f64, level: f64) -> Interval {
    let percentile = percentile_interval(replicates, level, QuantileRule::Linear);
    Interval {
        low: 2.0 * estimate - percentile.high,
        high: 2.0 * estimate - percentile.low,
    }
}

/// What a replicate equal to the estimate counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicateTies {
    /// Not below (Efron 1987, eq. 4.1).
    NotBelow,
    /// Half below: with few distinct values the sides stay balanced.
    HalfBelow,
}

/// Share of the replicates below the estimate. Those nearer than `slack` count as equal; 0 compares exactly.
pub fn share_below(replicates: &[f64], estimate: f64, ties: ReplicateTies, slack: f64) -> f64 {
    let credit = match ties {
        ReplicateTies::NotBelow => 0.0,
        ReplicateTies::HalfBelow => 0.5,
    };
    let below = |replicate: &f64| {
        if (replicate - estimate).abs() <= slack {
            credit
        } else if *replicate < estimate {
            1.0
        } else {
            0.0
        }
    };
    replicates.iter().map(below).sum::<f64>() / replicates.len() as f64
}

/// Bias correction `z0 = Φ⁻¹(share below)`; infinite when all replicates are on one side.
pub fn bias_correction(share_below: f64) -> f64 {
    normal_quantile(share_below)
}

/// Acceleration from leave-one-out values of one sample: `Σ u³ / (6 (Σ u²)^{3/2})`, `u = mean - value`.
///
/// NaN where all are equal.
pub fn acceleration(jackknife: &[f64]) -> f64 {
    acceleration_of_samples(&[jackknife.to_vec()])
}

/// Acceleration of several samples of sizes `n_j`, one observation of one sample left out at a time:
/// `Σ_j Σ_i U³/n_j³ / (6 (Σ_j Σ_i U²/n_j²)^{3/2})`, `U = (n_j - 1)(mean_i - value)` (Davison and Hinkley 1997, eq. 5.27 and sec. 3.2.1).
///
/// For one sample it is [`acceleration`].
pub fn acceleration_of_samples(jackknife: &[Vec<f64>]) -> f64 {
    let (mut squares, mut cubes) = (0.0, 0.0);
    for sample in jackknife {
        let n = sample.len() as f64;
        let centre = mean(sample);
        for value in sample {
            let influence = (n - 1.0) / n * (centre - value);
            squares += influence.powi(2);
            cubes += influence.powi(3);
        }
    }
    cubes / (6.0 * squares.powf(1.5))
}

/// The levels at which BCa reads the quantiles: `Φ(z0 + (z0 + z) / (1 - a (z0 + z)))` for both tails of `level` (Efron 1987, JASA 82(397), eq. 2.3).
///
/// With `acceleration = 0` it is the BC interval. Undefined (NaN) where either constant is not finite.
pub fn bca_levels(bias: f64, acceleration: f64, level: f64) -> Interval {
    if !bias.is_finite() || !acceleration.is_finite() {
        return Interval::UNDEFINED;
    }
    let adjusted = |p: f64| {
        let z = bias + normal_quantile(p);
        normal_cdf(bias + z / (1.0 - acceleration * z))
    };
    let tail = 0.5 * (1.0 - level);
    Interval {
        low: adjusted(tail),
        high: adjusted(1.0 - tail),
    }
}

/// Quantiles of the replicates at two levels.
pub fn interval_at(replicates: &[f64], levels: Interval) -> Interval {
    let at = |p| quantile(replicates, p, QuantileRule::Linear);
    Interval {
        low: at(levels.low),
        high: at(levels.high),
    }
}

/// Leave-one-out values of a statistic of one sample.
pub fn jackknife(values: &[f64], statistic: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let without = |i: usize| {
        let mut rest = values.to_vec();
        rest.remove(i);
        statistic(&rest)
    };
    (0..values.len()).map(without).collect()
}

/// Percentile interval of an aggregate, runs drawn for each task on its own (Agarwal et al. 2021, sec. 4.1).
///
/// All tasks need the same number of runs. One run gives a point, which says nothing about its uncertainty.
pub fn stratified_interval(
    scores: &Scores,
    aggregate: Aggregate,
    replicates: usize,
    level: f64,
    seed: u64,
) -> Result<Interval, StatsError> {
    check_open_fraction("level", level)?;
    let runs = scores.tasks()[0].len();
    if let Some(task) = scores.tasks().iter().find(|task| task.len() != runs) {
        return Err(StatsError::LengthsDiffer {
            left: runs,
            right: task.len(),
        });
    }
    if replicates == 0 {
        return Err(StatsError::TooFew {
            what: "a bootstrap interval",
            needed: 1,
            found: 0,
        });
    }
    let mut draws = Draws::seeded(seed);
    let values: Vec<f64> = (0..replicates)
        .map(|_| {
            let draw = draws.stratified(runs, scores.tasks().len());
            aggregate.of(&scores.resampled(&draw))
        })
        .collect();
    Ok(percentile_interval(&values, level, QuantileRule::Linear))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_values_have_no_acceleration_and_no_bca_interval() {
        assert!(acceleration(&[0.5; 4]).is_nan());
        assert!(bca_levels(0.0, f64::NAN, 0.95).low.is_nan());
        assert!(bca_levels(bias_correction(0.0), 0.1, 0.95).high.is_nan());
        assert!(
            percentile_interval(&[], 0.95, QuantileRule::Linear)
                .low
                .is_nan()
        );
    }

    #[test]
    fn without_bias_and_acceleration_bca_is_the_percentile_interval() {
        let levels = bca_levels(0.0, 0.0, 0.9);
        assert!((levels.low - 0.05).abs() < 1e-14 && (levels.high - 0.95).abs() < 1e-14);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let scores = Scores::by_run(&[vec![0.1, 0.5], vec![0.4, 0.6], vec![0.3, 0.9]]).unwrap();
        let interval = |seed| stratified_interval(&scores, Aggregate::Iqm, 200, 0.95, seed);
        assert_eq!(interval(1), interval(1));
        assert!(interval(1).unwrap().contains(Aggregate::Iqm.of(&scores)));
        assert!(stratified_interval(&scores, Aggregate::Mean, 0, 0.95, 0).is_err());
        let ragged = Scores::by_task(vec![vec![1.0], vec![1.0, 2.0]]).unwrap();
        assert!(stratified_interval(&ragged, Aggregate::Mean, 9, 0.95, 0).is_err());
    }

    proptest! {
        #[test]
        fn draws_stay_within_the_sample(n in 1usize..20, seed in 0u64..100) {
            let draws = Draws::seeded(seed).sample(n);
            prop_assert_eq!(draws.len(), n);
            prop_assert!(draws.iter().all(|&draw| draw < n));
        }
    }
}
