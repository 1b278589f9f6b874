//! The two sides of a comparison.

use serde::{Deserialize, Serialize};

/// A value for the preferred answer and the same value for the other answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair<T> {
    /// Of the answer that was preferred.
    pub chosen: T,
    /// Of the other answer.
    pub rejected: T,
}

impl<T> Pair<T> {
    /// Both sides through `f`.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Pair<U> {
        Pair {
            chosen: f(self.chosen),
            rejected: f(self.rejected),
        }
    }

    /// Both sides through a fallible `f`; the chosen side's error comes first.
    pub fn try_map<U, E>(self, mut f: impl FnMut(T) -> Result<U, E>) -> Result<Pair<U>, E> {
        Ok(Pair {
            chosen: f(self.chosen)?,
            rejected: f(self.rejected)?,
        })
    }

    /// References to both sides.
    pub fn as_ref(&self) -> Pair<&T> {
        Pair {
            chosen: &self.chosen,
            rejected: &self.rejected,
        }
    }

    /// The pair with its sides exchanged: what a label flip does.
    pub fn swapped(self) -> Self {
        Pair {
            chosen: self.rejected,
            rejected: self.chosen,
        }
    }

    /// Both sides of two pairs together.
    pub fn zip<U>(self, other: Pair<U>) -> Pair<(T, U)> {
        Pair {
            chosen: (self.chosen, other.chosen),
            rejected: (self.rejected, other.rejected),
        }
    }
}
