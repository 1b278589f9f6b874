//! Paired differences: Student's t, the sign test, how often one arm is better.
//!
//! Arms that share seeds are compared by the differences `d = a - b` within a seed; independence of the arms is not assumed.

use crate::distribution::{fair_binomial_cdf, t_critical, t_sf, t_two_sided};
use crate::error::{StatsError, check_count, check_finite, check_open_fraction, check_pairs};
use crate::interval::Interval;
use crate::summary::{mean, sem};

/// `a - b`, pair by pair.
pub fn differences(a: &[f64], b: &[f64]) -> Result<Vec<f64>, StatsError> {
    check_pairs(a, b)?;
    check_finite(a)?;
    check_finite(b)?;
    Ok(a.iter().zip(b).map(|(a, b)| a - b).collect())
}

/// Probabilities of a result at least as extreme as the one seen, if there were no difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PValues {
    /// Against a difference of either sign.
    pub two_sided: f64,
    /// Against a difference above zero.
    pub greater: f64,
    /// Against a difference below zero.
    pub less: f64,
}

/// The smallest two-sided p that a sign-flip, Wilcoxon or sign test can reach with `n` pairs: `2 / 2^n`, at most 1.
///
/// With five seeds it is 0.0625: such a test cannot reject at 0.05, whatever the data.
pub fn p_floor(n: usize) -> f64 {
    (1.0 - n as f64).exp2().min(1.0)
}

/// Student's t interval of a mean: `mean ± t_{n-1} · sd / sqrt(n)`.
///
/// `level` is the coverage, such as 0.95. Assumes independent values that are about normal. A sample without spread gives a point;
/// fewer than two values, a value that is not finite, or a level outside `(0, 1)` is an error.
pub fn t_interval(values: &[f64], level: f64) -> Result<Interval, StatsError> {
    check_count("a t interval", values, 2)?;
    check_finite(values)?;
    check_open_fraction("level", level)?;
    let df = (values.len() - 1) as f64;
    Ok(Interval::around(
        mean(values),
        t_critical(1.0 - level, df) * sem(values),
    ))
}

/// The t interval of the mean of `a - b`.
pub fn paired_t_interval(a: &[f64], b: &[f64], level: f64) -> Result<Interval, StatsError> {
    t_interval(&differences(a, b)?, level)
}

/// Student's paired t test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TTest {
    /// `mean(d) / (sd(d) / sqrt(n))`.
    pub statistic: f64,
    /// `n - 1`.
    pub df: f64,
    /// NaN where the statistic is.
    pub p: PValues,
}

/// Student's t test that the mean of `differences` is zero.
///
/// Without spread the statistic is infinite with the sign of the mean (p = 0), or NaN when the mean is zero too.
/// Needs two values, all finite.
pub fn t_test(differences: &[f64]) -> Result<TTest, StatsError> {
    check_count("a t test", differences, 2)?;
    check_finite(differences)?;
    let df = (differences.len() - 1) as f64;
    let statistic = mean(differences) / sem(differences);
    Ok(TTest {
        statistic,
        df,
        p: PValues {
            two_sided: t_two_sided(statistic, df),
            greater: t_sf(statistic, df),
            less: t_sf(-statistic, df),
        },
    })
}

/// The sign test (Conover, Practical Nonparametric Statistics, sec. 3.4): zeros dropped, the rest fair coins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignTest {
    /// Differences above zero.
    pub positive: usize,
    /// Differences below zero.
    pub negative: usize,
    /// Differences of exactly zero, dropped.
    pub zero: usize,
    /// All 1 where nothing is left.
    pub p: PValues,
}

/// Counts signs and gives their exact binomial p.
pub fn sign_test(differences: &[f64]) -> Result<SignTest, StatsError> {
    check_finite(differences)?;
    let positive = differences.iter().filter(|&&d| d > 0.0).count();
    let negative = differences.iter().filter(|&&d| d < 0.0).count();
    let counted = (positive + negative) as u64;
    let at_most = |k: usize| fair_binomial_cdf(k as u64, counted);
    Ok(SignTest {
        positive,
        negative,
        zero: differences.len() - positive - negative,
        p: PValues {
            two_sided: (2.0 * at_most(positive.min(negative))).min(1.0),
            greater: at_most(negative),
            less: at_most(positive),
        },
    })
}

/// What a tie between two arms counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TieCredit {
    /// Half a win.
    Half,
    /// No win.
    None,
}

impl TieCredit {
    /// The credit of `a` against `b`: 1, 0, or that of a tie.
    pub(crate) fn of(self, a: f64, b: f64) -> f64 {
        if a == b {
            return match self {
                Self::Half => 0.5,
                Self::None => 0.0,
            };
        }
        if a > b { 1.0 } else { 0.0 }
    }
}

/// Share of the matched pairs in which `a` is above `b`.
pub fn paired_win_rate(a: &[f64], b: &[f64], ties: TieCredit) -> Result<f64, StatsError> {
    check_count("a win rate", a, 1)?;
    differences(a, b)?;
    let wins: f64 = a.iter().zip(b).map(|(&a, &b)| ties.of(a, b)).sum();
    Ok(wins / a.len() as f64)
}

/// `P(X > Y) + P(X = Y) / 2` over **all** pairs of one `x` and one `y`, matched or not: Mann and Whitney's `U / (n m)`.
pub fn probability_of_superiority(x: &[f64], y: &[f64]) -> f64 {
    let wins: f64 = x
        .iter()
        .flat_map(|&x| y.iter().map(move |&y| TieCredit::Half.of(x, y)))
        .sum();
    wins / (x.len() * y.len()) as f64
}

/// Cliff's delta, `P(X > Y) - P(X < Y)` over all pairs (Cliff 1993, Psychological Bulletin 114(3)).
pub fn cliffs_delta(x: &[f64], y: &[f64]) -> f64 {
    2.0 * probability_of_superiority(x, y) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn too_few_values_are_an_error() {
        assert!(matches!(
            t_interval(&[1.0], 0.95),
            Err(StatsError::TooFew { found: 1, .. })
        ));
        assert!(t_test(&[]).is_err());
        assert!(paired_win_rate(&[], &[], TieCredit::Half).is_err());
    }

    #[test]
    fn nan_levels_and_unequal_lengths_are_errors() {
        assert_eq!(
            t_test(&[1.0, f64::NAN]),
            Err(StatsError::NotFinite { index: 1 })
        );
        assert!(t_interval(&[1.0, 2.0], 95.0).is_err());
        assert_eq!(
            differences(&[1.0], &[]),
            Err(StatsError::LengthsDiffer { left: 1, right: 0 })
        );
    }

    #[test]
    fn equal_differences_are_infinitely_significant_and_zeros_undefined() {
        assert_eq!(t_test(&[0.5; 4]).unwrap().p.two_sided, 0.0);
        assert!(t_test(&[0.0; 4]).unwrap().statistic.is_nan());
        assert_eq!(
            t_interval(&[0.5; 4], 0.95).unwrap(),
            Interval::around(0.5, 0.0)
        );
    }

    #[test]
    fn without_signs_the_sign_test_says_nothing() {
        let test = sign_test(&[0.0, 0.0]).unwrap();
        assert_eq!((test.zero, test.p.two_sided, test.p.greater), (2, 1.0, 1.0));
    }

    #[test]
    fn five_pairs_cannot_go_below_a_sixteenth() {
        assert_eq!(p_floor(5), 0.0625);
        assert_eq!(p_floor(0), 1.0);
        assert_eq!(sign_test(&[1.0; 5]).unwrap().p.two_sided, p_floor(5));
    }

    proptest! {
        #[test]
        fn swapping_the_arms_swaps_the_sides(values in prop::collection::vec(-5.0..5.0f64, 2..20)) {
            let negated: Vec<f64> = values.iter().map(|value| -value).collect();
            let (one, other) = (t_test(&values).unwrap(), t_test(&negated).unwrap());
            prop_assert!((one.p.two_sided - other.p.two_sided).abs() < 1e-12);
            prop_assert!((one.p.greater - other.p.less).abs() < 1e-12);
        }

        #[test]
        fn zero_is_outside_the_interval_just_when_the_test_rejects(values in prop::collection::vec(-1.0..2.0f64, 2..12)) {
            let p = t_test(&values).unwrap().p.two_sided;
            prop_assume!((p - 0.05).abs() > 1e-9);
            prop_assert_eq!(p > 0.05, t_interval(&values, 0.95).unwrap().contains(0.0));
        }
    }
}
