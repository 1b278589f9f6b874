//! How noisy a curve is: spread of its steps, smoothing, trend.

use crate::correlation::pearson;
use crate::distribution::{t_critical, t_two_sided};
use crate::error::{StatsError, check_count, check_finite, check_open_fraction};
use crate::interval::Interval;
use crate::summary::{mean, median, sum, sum_of_squares, variance};

/// `y[t + 1] - y[t]`.
pub fn steps(y: &[f64]) -> Vec<f64> {
    y.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Sum of squared steps over the sum of squared deviations from the mean: 2 for white noise, near 0 for a smooth curve.
///
/// Von Neumann 1941, Ann. Math. Statist. 12(4). NaN for a constant series.
pub fn von_neumann_ratio(y: &[f64]) -> f64 {
    let squares: Vec<f64> = steps(y).iter().map(|step| step * step).collect();
    sum(&squares) / sum_of_squares(y)
}

/// How to smooth a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Smoother {
    /// `s[0] = y[0]`, `s[t] = beta s[t-1] + (1 - beta) y[t]`, as TensorBoard without its bias correction.
    Exponential {
        /// Weight of the past, in `[0, 1)`.
        beta: f64,
    },
    /// Mean of `window` values around each; only where the whole window fits.
    CentredMean {
        /// Number of values, odd.
        window: usize,
    },
}

impl Smoother {
    /// The smoothed series, and how many values at each end have no counterpart in it.
    pub fn smooth(&self, y: &[f64]) -> (Vec<f64>, usize) {
        match *self {
            Self::Exponential { beta } => {
                let mut smoothed: Vec<f64> = Vec::with_capacity(y.len());
                for &value in y {
                    let next = match smoothed.last() {
                        Some(past) => beta * past + (1.0 - beta) * value,
                        None => value,
                    };
                    smoothed.push(next);
                }
                (smoothed, 0)
            }
            Self::CentredMean { window } => {
                let window = window.max(1);
                (y.windows(window).map(mean).collect(), (window - 1) / 2)
            }
        }
    }
}

/// How much smoothing removes. All variances are unbiased; 0/0 is NaN, and a variance below 1e-24 counts as 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SmoothingRatios {
    /// Variance of the steps over that of the smoothed steps.
    pub steps: f64,
    /// Variance of the series over that of the smoothed one.
    pub levels: f64,
    /// Variance of the steps over that of the smoothed series.
    pub steps_to_smoothed_levels: f64,
    /// Variance of what smoothing took off over that of the smoothed series.
    pub residual_to_smoothed: f64,
}

/// Compares a series with its smoothed self.
pub fn smoothing_ratios(y: &[f64], smoother: Smoother) -> SmoothingRatios {
    let (smoothed, dropped) = smoother.smooth(y);
    let residual: Vec<f64> = (y.iter().skip(dropped).zip(&smoothed))
        .map(|(y, s)| y - s)
        .collect();
    let (of_steps, of_levels) = (variance(&steps(y)), variance(&smoothed));
    SmoothingRatios {
        steps: ratio(of_steps, variance(&steps(&smoothed))),
        levels: ratio(variance(y), of_levels),
        steps_to_smoothed_levels: ratio(of_steps, of_levels),
        residual_to_smoothed: ratio(variance(&residual), of_levels),
    }
}

fn ratio(numerator: f64, denominator: f64) -> f64 {
    let cut = |variance: f64| if variance < 1e-24 { 0.0 } else { variance };
    cut(numerator) / cut(denominator)
}

/// A straight line through a series at `t = 0, 1, …`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearTrend {
    /// Change per step.
    pub slope: f64,
    /// Value at `t = 0`.
    pub intercept: f64,
    /// Standard error of the slope.
    pub se: f64,
    /// Two-sided p of a zero slope, by Student's t with `n - 2` degrees of freedom.
    pub p: f64,
    /// Correlation with time.
    pub r: f64,
    /// Interval of the slope.
    pub interval: Interval,
}

/// Least-squares line; needs three finite values. A constant series has slope 0 and nothing to judge it by: all else but the intercept is NaN. Assumes independent errors, which curves of a run seldom have: take p with care.
pub fn linear_trend(y: &[f64], level: f64) -> Result<LinearTrend, StatsError> {
    check_count("a linear trend", y, 3)?;
    check_finite(y)?;
    check_open_fraction("level", level)?;
    let time: Vec<f64> = (0..y.len()).map(|t| t as f64).collect();
    let (centre_t, centre_y) = (mean(&time), mean(y));
    let spread = sum_of_squares(&time);
    let products: Vec<f64> = time
        .iter()
        .zip(y)
        .map(|(t, y)| (t - centre_t) * (y - centre_y))
        .collect();
    let slope = sum(&products) / spread;
    let intercept = centre_y - slope * centre_t;
    let residuals: Vec<f64> = time
        .iter()
        .zip(y)
        .map(|(t, y)| (y - intercept - slope * t).powi(2))
        .collect();
    let df = (y.len() - 2) as f64;
    let r = pearson(&time, y);
    let se = if r.is_nan() {
        f64::NAN
    } else {
        (sum(&residuals) / df / spread).sqrt()
    };
    Ok(LinearTrend {
        slope,
        intercept,
        se,
        p: t_two_sided(slope / se, df),
        r,
        interval: Interval::around(slope, t_critical(1.0 - level, df) * se),
    })
}

/// Median of the slopes between all pairs of points: a trend that outliers hardly move (Sen 1968, JASA 63(324)).
///
/// NaN for fewer than two values.
pub fn theil_sen_slope(y: &[f64]) -> f64 {
    let slopes: Vec<f64> = (0..y.len())
        .flat_map(|i| (0..i).map(move |j| (y[i] - y[j]) / (i - j) as f64))
        .collect();
    median(&slopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_constant_series_have_no_noise_to_speak_of() {
        assert!(steps(&[1.0]).is_empty() && von_neumann_ratio(&[2.0; 4]).is_nan());
        assert!(linear_trend(&[1.0, 2.0], 0.95).is_err());
        assert!(theil_sen_slope(&[1.0]).is_nan());
        let flat = linear_trend(&[2.0; 5], 0.95).unwrap();
        assert_eq!((flat.slope, flat.intercept), (0.0, 2.0));
        assert!(flat.se.is_nan() && flat.p.is_nan() && flat.r.is_nan());
        let ratios = smoothing_ratios(&[3.0; 6], Smoother::Exponential { beta: 0.9 });
        assert!(ratios.steps.is_nan() && ratios.levels.is_nan());
    }

    #[test]
    fn smoothing_nothing_gives_nothing() {
        let (smoothed, _) = Smoother::Exponential { beta: 0.5 }.smooth(&[]);
        assert!(smoothed.is_empty());
        let (smoothed, dropped) = Smoother::CentredMean { window: 3 }.smooth(&[1.0, 2.0]);
        assert!(smoothed.is_empty() && dropped == 1);
    }

    #[test]
    fn a_line_is_its_own_trend() {
        let trend = linear_trend(&[1.0, 3.0, 5.0, 7.0], 0.95).unwrap();
        assert_eq!((trend.slope, trend.intercept, trend.r), (2.0, 1.0, 1.0));
        assert_eq!(theil_sen_slope(&[1.0, 3.0, 5.0, 7.0]), 2.0);
    }
}
