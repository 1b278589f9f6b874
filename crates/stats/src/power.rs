//! Power of Student's t test of paired differences: how large an effect so many seeds can show.
//!
//! Under a true effect `d_z = mean / sd` the statistic is a noncentral t with `n - 1` degrees of freedom and noncentrality `d_z sqrt(n)`
//! (Cohen 1988, Statistical Power Analysis, ch. 2). A raw difference is `d_z` times the standard deviation of the differences.

use crate::distribution::{bisect, noncentral_t_cdf, noncentral_t_sf, normal_quantile, t_critical};
use crate::error::{StatsError, check_open_fraction};

/// Which effects a test looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Of either sign.
    Two,
    /// Above zero only.
    Greater,
}

/// The t beyond which a test with `df` degrees of freedom rejects at `alpha`. One-sided levels are below 1/2.
pub fn critical_t(df: f64, alpha: f64, sides: Sides) -> f64 {
    match sides {
        Sides::Two => t_critical(alpha, df),
        Sides::Greater => t_critical(2.0 * alpha, df),
    }
}

/// Chance that the paired t test with `n` pairs rejects at `alpha` when the true effect is `effect` (`d_z`).
///
/// `n` may be fractional, above 1. Rejections on the wrong side count in the two-sided test. One-sided `alpha` is below 1/2.
pub fn t_test_power(effect: f64, n: f64, alpha: f64, sides: Sides) -> Result<f64, StatsError> {
    check(n, alpha, sides)?;
    let (df, delta) = (n - 1.0, effect * n.sqrt());
    let critical = critical_t(df, alpha, sides);
    let right = noncentral_t_sf(critical, df, delta);
    Ok(match sides {
        Sides::Two => right + noncentral_t_cdf(-critical, df, delta),
        Sides::Greater => right,
    })
}

fn check(n: f64, alpha: f64, sides: Sides) -> Result<(), StatsError> {
    check_open_fraction("alpha", alpha)?;
    if sides == Sides::Greater && alpha >= 0.5 {
        return Err(StatsError::OutOfRange {
            what: "a one-sided alpha",
            expected: "below 1/2",
            found: alpha,
        });
    }
    if n.is_nan() || n <= 1.0 {
        return Err(StatsError::OutOfRange {
            what: "the number of pairs",
            expected: "above 1",
            found: n,
        });
    }
    Ok(())
}

/// The smallest true effect `d_z > 0` that `n` pairs show with chance `power`. `power` lies above `alpha`.
pub fn detectable_effect(n: f64, alpha: f64, power: f64, sides: Sides) -> Result<f64, StatsError> {
    check(n, alpha, sides)?;
    check_power(power, alpha)?;
    let missing = |effect: f64| t_test_power(effect, n, alpha, sides).map(|found| found - power);
    let mut high = 1.0;
    while missing(high)? < 0.0 {
        high *= 2.0;
    }
    // The arguments were checked above, so the power is always defined.
    Ok(bisect(0.0, high, |effect| {
        missing(effect).unwrap_or(f64::NAN)
    }))
}

fn check_power(power: f64, alpha: f64) -> Result<(), StatsError> {
    if power > alpha && power < 1.0 {
        return Ok(());
    }
    Err(StatsError::OutOfRange {
        what: "power",
        expected: "above alpha and below 1",
        found: power,
    })
}

/// [`detectable_effect`] of the two-sided test with normal for noncentral t, `(z_{1-α/2} + z_power) / sqrt(n)`: too small for few pairs.
pub fn detectable_effect_normal(n: f64, alpha: f64, power: f64) -> f64 {
    (normal_quantile(1.0 - 0.5 * alpha) + normal_quantile(power)) / n.sqrt()
}

/// The largest number of pairs that a sample size is looked for among.
const MOST_PAIRS: f64 = 1e7;

/// The number of pairs, as a real number of at least 2, at which the two-sided test has chance `power` to show `effect`.
///
/// Rounded up it is the number to run. An effect that needs more than 10 million pairs, zero among them, is an error.
pub fn pairs_needed(effect: f64, alpha: f64, power: f64) -> Result<f64, StatsError> {
    check_open_fraction("alpha", alpha)?;
    check_power(power, alpha)?;
    crate::error::check_finite(&[effect])?;
    let missing = |n: f64| t_test_power(effect, n, alpha, Sides::Two).map(|found| found - power);
    let mut high = 2.0;
    while missing(high)? < 0.0 {
        high *= 2.0;
        if high > MOST_PAIRS {
            return Err(StatsError::OutOfRange {
                what: "an effect",
                expected: "large enough to be seen in 10 million pairs",
                found: effect,
            });
        }
    }
    if high == 2.0 {
        return Ok(2.0);
    }
    // The arguments were checked above, so the power is always defined.
    Ok(bisect(0.5 * high, high, |n| missing(n).unwrap_or(f64::NAN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_effect_power_is_the_level() {
        for sides in [Sides::Two, Sides::Greater] {
            let power = t_test_power(0.0, 6.0, 0.05, sides).unwrap();
            assert!((power - 0.05).abs() < 1e-12);
        }
    }

    #[test]
    fn power_rises_with_pairs_and_effect() {
        let power = |effect, n| t_test_power(effect, n, 0.05, Sides::Two).unwrap();
        assert!(power(0.5, 5.0) < power(0.5, 10.0) && power(0.5, 10.0) < power(1.0, 10.0));
        assert_eq!(power(0.5, 5.0), power(-0.5, 5.0));
    }

    #[test]
    fn impossible_demands_are_errors() {
        assert!(t_test_power(1.0, 1.0, 0.05, Sides::Two).is_err());
        assert!(t_test_power(1.0, 5.0, 0.6, Sides::Greater).is_err());
        assert!(detectable_effect(5.0, 0.05, 0.05, Sides::Two).is_err());
        assert!(pairs_needed(0.0, 0.05, 0.8).is_err());
        assert!(pairs_needed(f64::NAN, 0.05, 0.8).is_err());
    }

    #[test]
    fn a_huge_effect_needs_two_pairs() {
        assert_eq!(pairs_needed(1e6, 0.05, 0.8).unwrap(), 2.0);
    }
}
