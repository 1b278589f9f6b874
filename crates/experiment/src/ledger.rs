//! What a stage cost, in every currency a budget may be matched in.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// Cost of a stage or of several, in all currencies at once.
///
/// Everything but `seconds` is a function of settings and seed, and so the same on every machine and every time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Optimiser updates of the policy (of the model trained, in a stage that trains no policy).
    pub updates: u64,
    /// Tokens (prompt and completion, no padding) that went through a backward pass, each time they did.
    pub trained_tokens: u64,
    /// Tokens sampled.
    pub generated_tokens: u64,
    /// Sequences scored by a reward model.
    pub reward_calls: u64,
    /// Floating-point operations of forward and backward passes, by formula.
    pub flops: f64,
    /// Wall-clock time.
    pub seconds: f64,
}

impl Ledger {
    /// The same cost without its wall-clock time: what two runs of one stage agree on.
    #[must_use]
    pub fn reproducible(self) -> Self {
        Self {
            seconds: 0.0,
            ..self
        }
    }
}

impl Add for Ledger {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            updates: self.updates + other.updates,
            trained_tokens: self.trained_tokens + other.trained_tokens,
            generated_tokens: self.generated_tokens + other.generated_tokens,
            reward_calls: self.reward_calls + other.reward_calls,
            flops: self.flops + other.flops,
            seconds: self.seconds + other.seconds,
        }
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Ledger {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_add_up_in_every_currency() {
        let one = Ledger {
            updates: 1,
            trained_tokens: 2,
            generated_tokens: 3,
            reward_calls: 4,
            flops: 5.0,
            seconds: 6.0,
        };
        let sum: Ledger = [one, one].into_iter().sum();
        assert_eq!(
            sum,
            Ledger {
                updates: 2,
                trained_tokens: 4,
                generated_tokens: 6,
                reward_calls: 8,
                flops: 10.0,
                seconds: 12.0
            }
        );
        assert_eq!(sum.reproducible().seconds, 0.0);
    }
}
