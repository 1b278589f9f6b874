//! What arms are matched on.

use serde::{Deserialize, Serialize};

use crate::{Count, Positive};

/// How long an arm trains: an amount of one currency, the same for every arm.
///
/// An arm stops before the first update that would pass the amount (and always does at least one). Whatever the
/// currency, all of them are counted, so that arms can also be compared at equal cost in another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BudgetSettings {
    /// Optimiser updates of the policy.
    Updates(Count),
    /// Tokens through a backward pass of the policy.
    TrainedTokens(Count),
    /// Tokens sampled while training. An arm that samples none trains until its other limits.
    GeneratedTokens(Count),
    /// Floating-point operations of training, by formula; those of shared stages do not count.
    Flops(Positive),
    /// Wall-clock time of training. Not reproducible, by its nature.
    Seconds(Positive),
}

impl BudgetSettings {
    /// The currency's name, as in the settings.
    pub const fn currency(&self) -> &'static str {
        match self {
            Self::Updates(_) => "updates",
            Self::TrainedTokens(_) => "trained-tokens",
            Self::GeneratedTokens(_) => "generated-tokens",
            Self::Flops(_) => "flops",
            Self::Seconds(_) => "seconds",
        }
    }

    /// How much of it.
    pub fn amount(&self) -> f64 {
        match self {
            Self::Updates(count) | Self::TrainedTokens(count) | Self::GeneratedTokens(count) => {
                count.get() as f64
            }
            Self::Flops(amount) | Self::Seconds(amount) => amount.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_currency_is_written_and_read() {
        for text in [
            "updates = 400",
            "trained-tokens = 7",
            "generated-tokens = 8",
            "flops = 1e15",
            "seconds = 60.0",
        ] {
            let budget: BudgetSettings = toml::from_str(text).unwrap();
            assert!(text.starts_with(budget.currency()));
            assert_eq!(
                toml::from_str::<BudgetSettings>(&toml::to_string(&budget).unwrap()).unwrap(),
                budget
            );
        }
        assert!(toml::from_str::<BudgetSettings>("updates = 0").is_err());
        assert!(toml::from_str::<BudgetSettings>("steps = 4").is_err());
    }
}
