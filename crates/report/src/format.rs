//! Estimates as text.

use crate::document::Rich;
use crate::figure::short_number;
use crate::statistics::Estimate;

pub(crate) use crate::figure::fixed_number as fixed;

/// How many digits after the point show two significant digits of the interval, but no more than four of the largest number.
fn decimals(low: f64, high: f64) -> usize {
    let (width, size) = ((high - low) / 2.0, low.abs().max(high.abs()));
    let digits = |value: f64, significant: i32| significant - 1 - value.log10().floor() as i32;
    match (width > 0.0, size > 0.0) {
        (true, _) => digits(width, 2).min(digits(size, 4)).clamp(0, 6) as usize,
        (false, true) => digits(size, 4).clamp(0, 6) as usize,
        (false, false) => 1,
    }
}

/// The mean, and the interval where there is one: `0.812` and `[0.790, 0.834]`.
fn parts(mean: f64, interval: Option<(f64, f64)>) -> (String, Option<String>) {
    match interval {
        Some((low, high)) if low.is_finite() && high.is_finite() => {
            let decimals = decimals(low, high);
            let interval = format!("[{}, {}]", fixed(low, decimals), fixed(high, decimals));
            (fixed(mean, decimals), Some(interval))
        }
        Some(_) | None => (short_number(mean), None),
    }
}

/// `0.812 [0.790, 0.834]`, or the bare mean where there is no interval.
pub(crate) fn with_interval(mean: f64, interval: Option<(f64, f64)>) -> String {
    match parts(mean, interval) {
        (mean, Some(interval)) => format!("{mean} {interval}"),
        (mean, None) => mean,
    }
}

/// The same for an estimate in a cell; says when seeds are missing from it.
pub(crate) fn estimate(estimate: &Estimate) -> Rich {
    if estimate.n == 0 {
        return if estimate.not_finite > 0 {
            "not finite".into()
        } else {
            "—".into()
        };
    }
    let (mean, interval) = parts(estimate.mean, estimate.interval);
    let mut cell = Rich::from(mean);
    if let Some(interval) = interval {
        cell = cell.and_small(&interval);
    }
    match estimate.not_finite {
        0 => cell,
        lost => cell.and_small(&format!("({lost} not finite)")),
    }
}

/// A difference, with its sign.
pub(crate) fn difference(mean: f64, interval: Option<(f64, f64)>) -> String {
    let text = with_interval(mean, interval);
    if mean > 0.0 { format!("+{text}") } else { text }
}

/// The same in a cell.
pub(crate) fn difference_cell(mean: f64, interval: Option<(f64, f64)>) -> Rich {
    let (text, interval) = parts(mean, interval);
    let cell = Rich::from(if mean > 0.0 { format!("+{text}") } else { text });
    match interval {
        Some(interval) => cell.and_small(&interval),
        None => cell,
    }
}

/// A p-value with three digits after the point, four below 0.1.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.0001 {
        "< 0.0001".to_owned()
    } else if p < 0.1 {
        format!("{p:.4}")
    } else {
        format!("{p:.3}")
    }
}

/// An amount of something countable: `12,345`, `1.23e9`.
pub(crate) fn amount(value: f64) -> String {
    if !value.is_finite() || value.abs() >= 1e9 {
        return short_number(value);
    }
    if value.fract() != 0.0 && value.abs() < 1000.0 {
        return short_number(value);
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("−{text}")
    } else {
        text
    }
}

/// `1 seed`, `3 seeds`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 {
        format!("1 {thing}")
    } else {
        format!("{number} {thing}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_decides_how_many_digits_are_shown() {
        assert_eq!(
            with_interval(0.8123, Some((0.79, 0.8346))),
            "0.812 [0.790, 0.835]"
        );
        assert_eq!(with_interval(152.3, Some((100.0, 204.0))), "152 [100, 204]");
        assert_eq!(with_interval(0.5, None), "0.5");
        assert_eq!(
            difference(0.05, Some((-0.01, 0.11))),
            "+0.050 [−0.010, 0.110]"
        );
        assert_eq!(difference(-0.05, None), "−0.05");
        assert_eq!(with_interval(1.0, Some((1.0, 1.0))), "1.000 [1.000, 1.000]");
    }

    #[test]
    fn amounts_have_separators() {
        assert_eq!(amount(1234567.0), "1,234,567");
        assert_eq!(amount(999.0), "999");
        assert_eq!(amount(12.34), "12.34");
        assert_eq!(amount(2.5e12), "2.5e12");
        assert_eq!(p_value(0.25), "0.250");
        assert_eq!(p_value(0.0625), "0.0625");
        assert_eq!(p_value(0.00001), "< 0.0001");
    }
}
