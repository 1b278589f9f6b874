//! How large a paired difference is in units of its spread.

use statrs::function::gamma::ln_gamma;

use crate::distribution::{bisect, noncentral_t_cdf, normal_cdf};
use crate::error::{StatsError, check_count, check_finite, check_open_fraction};
use crate::interval::Interval;
use crate::summary::{mean, sd, variance};

/// Cohen's `d_z = mean(d) / sd(d)` of paired differences (Cohen 1988, sec. 2.3.5).
///
/// Infinite without spread, NaN where the mean is zero too or for fewer than two values.
pub fn cohen_dz(differences: &[f64]) -> f64 {
    mean(differences) / sd(differences)
}

/// Hedges' factor against the bias of a standardised difference, `Γ(m/2) / (sqrt(m/2) Γ((m-1)/2))` with `m = df`.
///
/// Hedges 1981, Journal of Educational Statistics 6(2), eq. 6e. Needs `df > 1`; NaN otherwise.
pub fn hedges_j(df: f64) -> f64 {
    if df.is_nan() || df <= 1.0 {
        return f64::NAN;
    }
    (ln_gamma(0.5 * df) - ln_gamma(0.5 * (df - 1.0))).exp() / (0.5 * df).sqrt()
}

/// The usual approximation of [`hedges_j`], `1 - 3 / (4 df - 1)`.
pub fn hedges_j_approximate(df: f64) -> f64 {
    1.0 - 3.0 / (4.0 * df - 1.0)
}

/// Hedges' `g_z = J(n - 1) · d_z`, with the exact factor.
pub fn hedges_gz(differences: &[f64]) -> f64 {
    hedges_j(differences.len() as f64 - 1.0) * cohen_dz(differences)
}

/// `(mean(a) - mean(b)) / ((sd(a) + sd(b)) / 2)`: comparable with studies whose arms are not paired
/// (Lakens 2013, Frontiers in Psychology 4:863, eq. 10).
pub fn cohen_dav(a: &[f64], b: &[f64]) -> f64 {
    mean_difference(a, b) / (0.5 * (sd(a) + sd(b)))
}

/// Cohen's d of two independent samples, over the pooled standard deviation.
pub fn cohen_d_pooled(a: &[f64], b: &[f64]) -> f64 {
    let (df_a, df_b) = (a.len() as f64 - 1.0, b.len() as f64 - 1.0);
    let pooled = (df_a * variance(a) + df_b * variance(b)) / (df_a + df_b);
    (mean(a) - mean(b)) / pooled.sqrt()
}

/// Chance that a new pair has `a > b`, were the differences normal: `Φ(d_z)`.
pub fn common_language_paired(differences: &[f64]) -> f64 {
    normal_cdf(cohen_dz(differences))
}

/// Chance that a new `a` exceeds a new `b`, were both normal and independent: `Φ((mean a - mean b) / sqrt(var a + var b))`.
///
/// McGraw and Wong 1992, Psychological Bulletin 111(2).
pub fn common_language_independent(a: &[f64], b: &[f64]) -> f64 {
    normal_cdf(mean_difference(a, b) / (variance(a) + variance(b)).sqrt())
}

/// Mean of `a - b` when they pair up, which keeps digits that large means lose.
fn mean_difference(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return mean(a) - mean(b);
    }
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    mean(&differences)
}

/// Interval of `d_z` from the noncentral t: the `δ / sqrt(n)` at which the observed t is the upper and the lower quantile.
///
/// Steiger and Fouladi 1997, in What If There Were No Significance Tests?, ch. 9. Undefined (NaN) without spread.
pub fn cohen_dz_interval(differences: &[f64], level: f64) -> Result<Interval, StatsError> {
    check_count("an interval of d_z", differences, 2)?;
    check_finite(differences)?;
    check_open_fraction("level", level)?;
    let n = differences.len() as f64;
    let t = cohen_dz(differences) * n.sqrt();
    if !t.is_finite() {
        return Ok(Interval::UNDEFINED);
    }
    let tail = 0.5 * (1.0 - level);
    let noncentrality_where_cdf_is = |p: f64| {
        let cdf = |delta: f64| noncentral_t_cdf(t, n - 1.0, delta) - p;
        let mut reach = 10.0 + 2.0 * t.abs();
        while cdf(t - reach) < 0.0 || cdf(t + reach) > 0.0 {
            reach *= 2.0;
        }
        bisect(t - reach, t + reach, cdf)
    };
    Ok(Interval {
        low: noncentrality_where_cdf_is(1.0 - tail) / n.sqrt(),
        high: noncentrality_where_cdf_is(tail) / n.sqrt(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_spread_the_effect_is_infinite_or_undefined() {
        assert_eq!(cohen_dz(&[0.5; 3]), f64::INFINITY);
        assert!(cohen_dz(&[0.0; 3]).is_nan() && cohen_dz(&[1.0]).is_nan());
        let interval = cohen_dz_interval(&[0.5; 3], 0.95).unwrap();
        assert!(interval.low.is_nan() && interval.high.is_nan());
    }

    #[test]
    fn the_factor_shrinks_and_tends_to_one() {
        assert!(hedges_j(1.0).is_nan());
        assert!(hedges_j(4.0) < hedges_j(40.0) && hedges_j(1e4) < 1.0);
        assert!((hedges_j(40.0) - hedges_j_approximate(40.0)).abs() < 1e-4);
    }

    #[test]
    fn the_interval_holds_the_estimate() {
        let differences = [0.4, 0.1, 0.5, -0.2, 0.3];
        let interval = cohen_dz_interval(&differences, 0.95).unwrap();
        assert!(interval.contains(cohen_dz(&differences)));
    }
}
