//! Numbers that carry their range in their type, so that a wrong value is refused while parsing, where it stands.

use serde::{Deserialize, Serialize};

/// Declares a finite `f64` newtype whose range is checked by `TryFrom<f64>`, used by serde.
macro_rules! ranged {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $holds:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// The number itself.
            pub const fn get(self) -> f64 {
                self.0
            }

            /// A constant known to be in range.
            ///
            /// # Panics
            /// If it is not: for defaults written in code, not for a user's value (use `try_from`).
            pub fn of(value: f64) -> Self {
                Self::try_from(value).expect("a constant in range")
            }
        }

        impl TryFrom<f64> for $name {
            type Error = OutOfRange;

            fn try_from(value: f64) -> Result<Self, OutOfRange> {
                let holds: fn(f64) -> bool = $holds;
                if value.is_finite() && holds(value) {
                    Ok(Self(value))
                } else {
                    Err(OutOfRange { expected: $expected, found: value })
                }
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> f64 {
                value.0
            }
        }
    };
}

impl Default for NoDropout {
    fn default() -> Self {
        Self::of(0.0)
    }
}

/// A number outside the range of its setting.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct OutOfRange {
    /// The range in words.
    pub expected: &'static str,
    /// What was given.
    pub found: f64,
}

ranged!(
    /// A finite number above zero.
    Positive, "a number above 0", |x| x > 0.0
);
ranged!(
    /// A finite number, zero or above.
    NonNegative, "a number of at least 0", |x| x >= 0.0
);
ranged!(
    /// A number from 0 to 1, both included.
    Fraction, "a number from 0 to 1", |x| (0.0..=1.0).contains(&x)
);
ranged!(
    /// A number from 0 up to, but without, 1.
    Momentum, "a number from 0 up to but not 1", |x| (0.0..1.0).contains(&x)
);
ranged!(
    /// A number from 0 up to, but without, one half: a label-flip probability.
    FlipProbability, "a number from 0 up to but not 0.5", |x| (0.0..0.5).contains(&x)
);
ranged!(
    /// A number between 0 and one half, without both: a label-flip probability whose logarithm is taken.
    PositiveFlipProbability, "a number above 0 and below 0.5", |x| x > 0.0 && x < 0.5
);
ranged!(
    /// The dropout of an adapter: 0.
    NoDropout, "0 (adapters have no dropout here)", |x| x == 0.0
);
ranged!(
    /// Any finite number.
    Finite, "a finite number", |_| true
);

/// A whole number above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Count(usize);

impl Count {
    /// The number itself.
    pub const fn get(self) -> usize {
        self.0
    }

    /// A constant known to be above zero.
    ///
    /// # Panics
    /// If it is zero.
    pub const fn of(value: usize) -> Self {
        assert!(value > 0, "a count above 0");
        Self(value)
    }
}

impl TryFrom<i64> for Count {
    type Error = NotACount;

    fn try_from(value: i64) -> Result<Self, NotACount> {
        match usize::try_from(value) {
            Ok(count) if count > 0 => Ok(Self(count)),
            _ => Err(NotACount { found: value }),
        }
    }
}

impl From<Count> for i64 {
    fn from(value: Count) -> i64 {
        value.0 as i64
    }
}

/// A whole number that is not above zero where a count is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a whole number above 0, found {found}")]
pub struct NotACount {
    /// What was given.
    pub found: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        let error = Positive::try_from(-0.1).unwrap_err();
        assert_eq!(error.to_string(), "expected a number above 0, found -0.1");
        assert!(Positive::try_from(f64::NAN).is_err());
        assert!(Fraction::try_from(1.0).is_ok());
        assert!(Momentum::try_from(1.0).is_err());
        assert!(Count::try_from(0).is_err());
    }

    #[test]
    fn the_parse_error_points_at_the_value() {
        #[derive(Debug, Deserialize)]
        struct Settings {
            #[allow(dead_code, reason = "only its parse error is read")]
            beta: Positive,
        }
        let error = toml::from_str::<Settings>("beta = -0.1")
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 1, column 8"), "{error}");
        assert!(
            error.contains("expected a number above 0, found -0.1"),
            "{error}"
        );
    }
}
