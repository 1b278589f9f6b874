//! The report's few statistics, all from `preflab-stats`, for figures that may be missing or not finite.

use preflab_stats::{
    Correction, Interval, Sides, adjust, detectable_effect, mean, p_floor, sd, sign_flip,
    t_interval, t_test,
};

/// Mean of an arm over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// Seeds with a finite figure.
    pub(crate) n: usize,
    /// Seeds whose figure is NaN or infinite, left out of the mean and told beside it.
    pub(crate) not_finite: usize,
    /// NaN without any.
    pub(crate) mean: f64,
    /// Student's t; none with fewer than two seeds.
    pub(crate) interval: Option<(f64, f64)>,
}

/// Paired difference of two arms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Paired {
    /// Seeds that both have a finite figure for.
    pub(crate) n: usize,
    pub(crate) mean: f64,
    pub(crate) interval: Option<(f64, f64)>,
    /// Two-sided sign-flip test; none with fewer than two seeds.
    pub(crate) p: Option<f64>,
    /// The smallest p that this number of seeds can give.
    pub(crate) floor: f64,
    /// Two-sided paired t test; none with fewer than two seeds, or without spread and difference.
    pub(crate) t_p: Option<f64>,
    /// The true difference that so many seeds, as far apart as these, would have told from 0 with chance [`POWER`].
    pub(crate) detectable: Option<f64>,
}

/// The chance at which a difference counts as detectable.
pub(crate) const POWER: f64 = 0.8;

/// The seed of the sign-flip test where it must draw (more than 20 seeds).
const SEED: u64 = 0;

pub(crate) fn estimate(values: &[f64], confidence: f64) -> Estimate {
    let finite: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    Estimate {
        n: finite.len(),
        not_finite: values.len() - finite.len(),
        mean: if finite.is_empty() {
            f64::NAN
        } else {
            mean(&finite)
        },
        interval: t_interval(&finite, confidence).ok().map(ends),
    }
}

/// Arm minus baseline for each seed that both have a finite figure for, in the arm's order of seeds.
pub(crate) fn differences(arm: &[(u64, f64)], baseline: &[(u64, f64)]) -> Vec<f64> {
    let base = |seed: u64| {
        baseline
            .iter()
            .find(|&&(other, _)| other == seed)
            .map(|&(_, value)| value)
    };
    let pairs = arm
        .iter()
        .filter_map(|&(seed, value)| Some(value - base(seed)?));
    pairs.filter(|difference| difference.is_finite()).collect()
}

/// None if no seed has a finite figure in both.
pub(crate) fn paired(
    arm: &[(u64, f64)],
    baseline: &[(u64, f64)],
    confidence: f64,
) -> Option<Paired> {
    let differences = differences(arm, baseline);
    if differences.is_empty() {
        return None;
    }
    let tested = differences.len() > 1;
    let test = if tested {
        sign_flip(&differences, SEED).ok()
    } else {
        None
    };
    Some(Paired {
        n: differences.len(),
        mean: mean(&differences),
        interval: t_interval(&differences, confidence).ok().map(ends),
        p: test.map(|test| test.p().two_sided),
        floor: smallest_p(differences.len()),
        t_p: t_test(&differences)
            .ok()
            .map(|test| test.p.two_sided)
            .filter(|p| p.is_finite()),
        detectable: detectable(&differences, confidence),
    })
}

/// Of the two-sided paired t test at the interval's level.
fn detectable(differences: &[f64], confidence: f64) -> Option<f64> {
    let n = differences.len() as f64;
    let effect = detectable_effect(n, 1.0 - confidence, POWER, Sides::Two).ok()?;
    Some(effect * sd(differences)).filter(|difference| *difference > 0.0)
}

/// The smallest p that the sign-flip test can give with so many seeds.
pub(crate) fn smallest_p(seeds: usize) -> f64 {
    p_floor(seeds)
}

/// Holm's step-down adjustment of the p-values of one family.
pub(crate) fn holm(p: &[f64]) -> Vec<f64> {
    adjust(p, Correction::Holm).expect("p-values of a test lie between 0 and 1")
}

fn ends(interval: Interval) -> (f64, f64) {
    (interval.low, interval.high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_paired_by_their_number_and_missing_ones_left_out() {
        let arm = [(0, 1.0), (1, 2.0), (2, f64::NAN), (4, 5.0)];
        let baseline = [(4, 1.0), (1, 1.0), (2, 0.0), (3, 9.0)];
        assert_eq!(differences(&arm, &baseline), [1.0, 4.0]);
        let paired = paired(&arm, &baseline, 0.95).unwrap();
        assert_eq!((paired.n, paired.mean, paired.floor), (2, 2.5, 0.5));
        assert_eq!(paired.p, Some(0.5));
        // Two differences of 1 and 4: power of the t test with one degree of freedom, sd 2.1213.
        let power = |true_difference: f64| {
            preflab_stats::t_test_power(true_difference / 4.5_f64.sqrt(), 2.0, 0.05, Sides::Two)
        };
        let found = power(paired.detectable.unwrap()).unwrap();
        assert!((found - POWER).abs() < 1e-6, "{found}");
    }

    #[test]
    fn one_seed_has_a_mean_and_nothing_else() {
        let one = estimate(&[0.5], 0.95);
        assert_eq!((one.n, one.mean, one.interval), (1, 0.5, None));
        let paired = paired(&[(0, 0.5)], &[(0, 0.25)], 0.95).unwrap();
        assert_eq!((paired.mean, paired.interval, paired.p), (0.25, None, None));
        assert!(super::paired(&[(0, 0.5)], &[(1, 0.25)], 0.95).is_none());
    }

    #[test]
    fn figures_that_are_not_finite_are_counted() {
        let estimate = estimate(&[1.0, f64::INFINITY, 3.0, f64::NAN], 0.95);
        assert_eq!(
            (estimate.n, estimate.not_finite, estimate.mean),
            (2, 2, 2.0)
        );
    }
}
