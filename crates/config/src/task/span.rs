//! A range of whole numbers.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// Whole numbers from the first to the second of `[low, high]`, both included; 0 ≤ low ≤ high ≤ 1 000 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[i64; 2]", into = "[i64; 2]")]
pub struct Span {
    low: u32,
    high: u32,
}

impl Span {
    const LARGEST: u32 = 1_000_000;

    /// A constant known to be in order.
    ///
    /// # Panics
    /// If it is not.
    pub const fn of(low: u32, high: u32) -> Self {
        assert!(low <= high && high <= Self::LARGEST, "a range in order");
        Self { low, high }
    }

    /// The smallest number.
    pub const fn low(self) -> u32 {
        self.low
    }

    /// The largest number.
    pub const fn high(self) -> u32 {
        self.high
    }

    /// As a range.
    pub fn range(self) -> RangeInclusive<u32> {
        self.low..=self.high
    }
}

/// Two numbers that are no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected [low, high] with 0 <= low <= high <= 1000000, found [{}, {}]", found[0], found[1])]
pub struct NotASpan {
    found: [i64; 2],
}

impl TryFrom<[i64; 2]> for Span {
    type Error = NotASpan;

    fn try_from(found: [i64; 2]) -> Result<Self, NotASpan> {
        match found.map(u32::try_from) {
            [Ok(low), Ok(high)] if low <= high && high <= Self::LARGEST => Ok(Self { low, high }),
            _ => Err(NotASpan { found }),
        }
    }
}

impl From<Span> for [i64; 2] {
    fn from(span: Span) -> Self {
        [span.low.into(), span.high.into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ranges_in_order_are_accepted() {
        assert_eq!(Span::try_from([2, 5]).unwrap().range(), 2..=5);
        assert!(Span::try_from([3, 3]).is_ok());
        assert_eq!(
            Span::try_from([5, 2]).unwrap_err().to_string(),
            "expected [low, high] with 0 <= low <= high <= 1000000, found [5, 2]"
        );
        assert!(Span::try_from([-1, 2]).is_err());
    }
}
