//! Numbers as short text.

/// `value` with four significant digits at most: `0.25`, `1234`, `1.2e6`, `3e-9`; `n/a` for NaN.
pub fn short_number(value: f64) -> String {
    if value.is_nan() {
        return "n/a".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 {
            "∞".to_owned()
        } else {
            "−∞".to_owned()
        };
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let exponent = value.abs().log10().floor() as i32;
    let text = if (-4..6).contains(&exponent) {
        let decimals = (3 - exponent).clamp(0, 7) as usize;
        without_trailing_zeros(format!("{value:.decimals$}"))
    } else {
        let text = format!("{value:.2e}");
        let (mantissa, exponent) = text
            .split_once('e')
            .expect("scientific notation has an exponent");
        format!("{}e{exponent}", without_trailing_zeros(mantissa.to_owned()))
    };
    with_minus_sign(&text)
}

/// `value` with exactly `decimals` digits after the point and a real minus sign.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    if value.is_finite() {
        let text = format!("{value:.decimals$}");
        // No "-0.00".
        let is_zero = text.chars().all(|c| matches!(c, '-' | '0' | '.'));
        with_minus_sign(if is_zero {
            text.trim_start_matches('-')
        } else {
            &text
        })
    } else {
        short_number(value)
    }
}

fn without_trailing_zeros(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// With the minus sign of typography, which is as wide as a digit.
fn with_minus_sign(text: &str) -> String {
    text.replacen('-', "−", usize::from(text.starts_with('-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_their_size() {
        let cases = [
            (0.0, "0"),
            (0.25, "0.25"),
            (-1.5, "−1.5"),
            (1234.0, "1234"),
            (123456.7, "123457"),
            (1.2e6, "1.2e6"),
            (3e-9, "3e-9"),
            (0.000123, "0.000123"),
            (2.0 / 3.0, "0.6667"),
            (f64::NAN, "n/a"),
            (f64::NEG_INFINITY, "−∞"),
        ];
        for (value, text) in cases {
            assert_eq!(short_number(value), text);
        }
        assert_eq!(fixed(-0.001, 2), "0.00");
        assert_eq!(fixed(-0.126, 2), "−0.13");
    }
}
