//! How long a trainer may go on.

use std::time::Instant;

use preflab_config::BudgetSettings;
use preflab_training::Work;

/// A budget while it is spent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    budget: BudgetSettings,
    begun: Instant,
}

impl Allowance {
    /// Of a budget, from now on.
    pub fn new(budget: BudgetSettings) -> Self {
        Self {
            budget,
            begun: Instant::now(),
        }
    }

    /// Whether `next` still fits after `spent`. The first update always does.
    pub fn holds(&self, spent: &Work, next: &Work) -> bool {
        let within = |spent: f64, next: f64| spent + next <= self.budget.amount();
        spent.updates == 0
            || match self.budget {
                BudgetSettings::Updates(_) => within(spent.updates as f64, next.updates as f64),
                BudgetSettings::TrainedTokens(_) => {
                    within(spent.trained_tokens as f64, next.trained_tokens as f64)
                }
                BudgetSettings::GeneratedTokens(_) => {
                    within(spent.generated_tokens as f64, next.generated_tokens as f64)
                }
                BudgetSettings::Flops(_) => within(spent.flops, next.flops),
                BudgetSettings::Seconds(_) => within(self.begun.elapsed().as_secs_f64(), 0.0),
            }
    }

    /// About how many updates it allows, if a rollout with its `updates` updates costs `round`: what learning-rate
    /// schedules are stretched over. A budget of seconds does not tell.
    pub fn updates(&self, round: &Work, updates: usize) -> usize {
        let rounds = |each: f64| {
            let count = self.budget.amount() / each.max(f64::MIN_POSITIVE) * updates as f64;
            (count.floor() as usize).max(1)
        };
        match self.budget {
            BudgetSettings::Updates(count) => count.get(),
            BudgetSettings::TrainedTokens(_) => rounds(round.trained_tokens as f64),
            BudgetSettings::GeneratedTokens(_) => rounds(round.generated_tokens as f64),
            BudgetSettings::Flops(_) => rounds(round.flops),
            BudgetSettings::Seconds(_) => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use preflab_config::Count;

    #[test]
    fn an_update_that_would_pass_the_amount_is_not_done() {
        let allowance = Allowance::new(BudgetSettings::TrainedTokens(Count::of(100)));
        let spent = |updates, trained_tokens| Work {
            updates,
            trained_tokens,
            ..Work::default()
        };
        assert!(allowance.holds(&spent(3, 80), &spent(1, 20)));
        assert!(!allowance.holds(&spent(3, 80), &spent(1, 21)));
        assert!(allowance.holds(&spent(0, 0), &spent(1, 1000)));
        assert_eq!(allowance.updates(&spent(4, 50), 4), 8);
    }
}
