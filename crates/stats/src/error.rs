use thiserror::Error;

/// Why a statistic cannot be computed from what was given.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum StatsError {
    /// Fewer observations than the statistic needs.
    #[error("{what} needs at least {needed} observations, found {found}")]
    TooFew {
        /// The statistic.
        what: &'static str,
        /// The smallest number it is defined for.
        needed: usize,
        /// The number given.
        found: usize,
    },
    /// Two slices that must have one entry per pair differ in length.
    #[error("paired samples must have equal lengths, found {left} and {right}")]
    LengthsDiffer {
        /// Length of the first.
        left: usize,
        /// Length of the second.
        right: usize,
    },
    /// NaN or an infinity among the observations.
    #[error("observation {index} is not finite")]
    NotFinite {
        /// Position of the first one.
        index: usize,
    },
    /// A level, probability or count outside its range.
    #[error("{what} must be {expected}, found {found}")]
    OutOfRange {
        /// The argument.
        what: &'static str,
        /// Its range in words.
        expected: &'static str,
        /// The value given.
        found: f64,
    },
}

/// The first NaN or infinity is an error.
pub(crate) fn check_finite(values: &[f64]) -> Result<(), StatsError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(StatsError::NotFinite { index }),
        None => Ok(()),
    }
}

/// Fewer than `needed` observations are an error.
pub(crate) fn check_count(
    what: &'static str,
    values: &[f64],
    needed: usize,
) -> Result<(), StatsError> {
    let found = values.len();
    if found < needed {
        return Err(StatsError::TooFew {
            what,
            needed,
            found,
        });
    }
    Ok(())
}

/// A level or probability must lie strictly between 0 and 1.
pub(crate) fn check_open_fraction(what: &'static str, value: f64) -> Result<(), StatsError> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(StatsError::OutOfRange {
        what,
        expected: "above 0 and below 1",
        found: value,
    })
}

/// Two samples must pair up.
pub(crate) fn check_pairs<A, B>(left: &[A], right: &[B]) -> Result<(), StatsError> {
    if left.len() == right.len() {
        return Ok(());
    }
    Err(StatsError::LengthsDiffer {
        left: left.len(),
        right: right.len(),
    })
}
