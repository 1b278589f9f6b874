//! Location and spread of one sample.
//!
//! Every function of this file returns NaN where its quantity is not defined (an empty sample, the spread of one value) or where a value is NaN.

/// Sum by pairs: error grows with `log n` instead of `n` (Higham 1993, SIAM J. Sci. Comput. 14(4), <https://doi.org/10.1137/0914050>).
///
/// Eight running sums in blocks of 128 and halves above, the order of NumPy, so that exact ties between means are the same ties.
pub fn sum(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 8 {
        return values.iter().fold(0.0, |total, value| total + value);
    }
    if n <= 128 {
        let mut lanes = [0.0; 8];
        let blocks = values.chunks_exact(8);
        let rest = blocks.remainder();
        for block in blocks {
            for (lane, value) in lanes.iter_mut().zip(block) {
                *lane += value;
            }
        }
        let [a, b, c, d, e, f, g, h] = lanes;
        let total = ((a + b) + (c + d)) + ((e + f) + (g + h));
        return rest.iter().fold(total, |total, value| total + value);
    }
    let half = n / 2;
    let (left, right) = values.split_at(half - half % 8);
    sum(left) + sum(right)
}

/// Arithmetic mean; NaN for no values.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    sum(values) / values.len() as f64
}

/// Sum of squared deviations from the mean.
pub fn sum_of_squares(values: &[f64]) -> f64 {
    let centre = mean(values);
    let squares: Vec<f64> = values
        .iter()
        .map(|value| (value - centre).powi(2))
        .collect();
    sum(&squares)
}

/// Unbiased variance, `n - 1` below; NaN for fewer than two values.
pub fn variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    sum_of_squares(values) / (values.len() - 1) as f64
}

/// Sample standard deviation, `n - 1` below; NaN for fewer than two values.
pub fn sd(values: &[f64]) -> f64 {
    variance(values).sqrt()
}

/// Standard deviation of the values as a whole population, `n` below; NaN for no values.
pub fn population_sd(values: &[f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    (sum_of_squares(values) / values.len() as f64).sqrt()
}

/// Standard error of the mean, `sd / sqrt(n)`; NaN for fewer than two values.
pub fn sem(values: &[f64]) -> f64 {
    sd(values) / (values.len() as f64).sqrt()
}

/// Middle value, or the mean of the two middle ones; NaN for no values.
pub fn median(values: &[f64]) -> f64 {
    if values.is_empty() || values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let sorted = sorted(values);
    let n = sorted.len();
    (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0
}

/// Median absolute deviation from the median, not scaled to a normal's standard deviation.
pub fn mad(values: &[f64]) -> f64 {
    let centre = median(values);
    let deviations: Vec<f64> = values.iter().map(|value| (value - centre).abs()).collect();
    median(&deviations)
}

/// Where between the order statistics a quantile lies (Hyndman and Fan 1996, The American Statistician 50(4)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantileRule {
    /// Type 7: position `(n - 1) p`, interpolated. The default of NumPy and R.
    Linear,
    /// Type 1: the smallest value whose empirical distribution function reaches `p`.
    InvertedCdf,
    /// Type 5: position `n p - 1/2`, interpolated.
    Hazen,
    /// Type 8: position `(n + 1/3) p - 2/3`, interpolated; about median-unbiased for every distribution.
    MedianUnbiased,
}

/// The `p`-quantile; NaN for no values, NaN among the values, or `p` outside `[0, 1]`.
pub fn quantile(values: &[f64], p: f64, rule: QuantileRule) -> f64 {
    let invalid = values.is_empty() || values.iter().any(|value| value.is_nan());
    if invalid || p.is_nan() || !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    let sorted = sorted(values);
    let n = sorted.len() as f64;
    // Counted from 0.
    let position = match rule {
        QuantileRule::Linear => (n - 1.0) * p,
        // A level such as (1 - 0.95) / 2 must not pass 0.025 by its rounding.
        QuantileRule::InvertedCdf => (n * p - 1.0 - 1e-9).ceil(),
        QuantileRule::Hazen => n * p - 0.5,
        QuantileRule::MedianUnbiased => (n + 1.0 / 3.0) * p - 2.0 / 3.0,
    };
    let position = position.clamp(0.0, n - 1.0);
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let fraction = position - below as f64;
    if fraction == 0.0 {
        return sorted[below];
    }
    let (low, high) = (sorted[below], sorted[above]);
    // From the nearer end, so that equal neighbours give themselves.
    if fraction < 0.5 {
        low + (high - low) * fraction
    } else {
        high - (high - low) * (1.0 - fraction)
    }
}

/// Interquartile mean: the mean of what is left after dropping `floor(n / 4)` values from each end.
///
/// Agarwal et al. 2021, [arXiv:2108.13264](https://arxiv.org/abs/2108.13264), sec. 4.2. NaN for no values.
pub fn iqm(values: &[f64]) -> f64 {
    // Sorted to an end, a NaN would be dropped.
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let trimmed = values.len() / 4;
    let sorted = sorted(values);
    mean(&sorted[trimmed..sorted.len() - trimmed])
}

/// Interquartile mean that drops exactly a quarter of the mass from each end: the values on the border count in part.
///
/// Equals [`iqm`] when `n` is a multiple of 4. NaN for no values.
pub fn iqm_fractional(values: &[f64]) -> f64 {
    let n = values.len();
    let quarter = n as f64 / 4.0;
    let weighted: Vec<f64> = sorted(values)
        .iter()
        .enumerate()
        .map(|(i, value)| {
            let from = (i as f64).max(quarter);
            let to = (i as f64 + 1.0).min(n as f64 - quarter);
            value * (to - from).max(0.0)
        })
        .collect();
    sum(&weighted) / (n as f64 - 2.0 * quarter)
}

/// A sorted copy; NaN above everything.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_has_no_mean_and_one_value_has_no_spread() {
        assert!(mean(&[]).is_nan() && median(&[]).is_nan());
        assert!(iqm(&[]).is_nan() && iqm_fractional(&[]).is_nan());
        assert_eq!(mean(&[3.0]), 3.0);
        assert!(sd(&[3.0]).is_nan() && sem(&[3.0]).is_nan());
        assert_eq!(population_sd(&[3.0]), 0.0);
    }

    #[test]
    fn nan_among_the_values_is_nan_in_the_result() {
        let values = [1.0, f64::NAN, 2.0];
        assert!(iqm(&[1.0, 2.0, 3.0, f64::NAN]).is_nan() && mad(&values).is_nan());
        assert!(mean(&values).is_nan() && sd(&values).is_nan() && median(&values).is_nan());
    }

    #[test]
    fn equal_values_have_no_spread_and_are_their_own_quantiles() {
        let values = [0.1; 11];
        assert_eq!(median(&values), 0.1);
        assert_eq!(mad(&values), 0.0);
        assert!(sd(&values) < 1e-16);
    }

    proptest! {
        #[test]
        fn location_lies_within_the_sample(values in prop::collection::vec(-1e6..1e6f64, 1..300)) {
            let ends = sorted(&values);
            let (low, high) = (ends[0] - 1e-6, ends[ends.len() - 1] + 1e-6);
            for value in [mean(&values), median(&values), iqm(&values), iqm_fractional(&values)] {
                prop_assert!(low <= value && value <= high);
            }
        }

        #[test]
        fn shifting_moves_the_mean_and_keeps_the_spread(values in prop::collection::vec(-10.0..10.0f64, 2..40), shift in -10.0..10.0f64) {
            let moved: Vec<f64> = values.iter().map(|value| value + shift).collect();
            prop_assert!((mean(&moved) - mean(&values) - shift).abs() < 1e-12);
            prop_assert!((sd(&moved) - sd(&values)).abs() < 1e-12);
        }
    }
}
