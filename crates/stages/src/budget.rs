//! From a budget to a number of updates.

use preflab_config::BudgetSettings;
use preflab_data::TokenPair;
use preflab_training::Parameters;

use crate::StageError;

/// Updates of an arm that trains on given pairs, within the budget.
///
/// - `tokens`: mean tokens of an update.
/// - `parameters`: of the policy, those in matrix products.
///
/// # Errors
/// If the budget is in a currency that such an arm does not spend.
pub(crate) fn updates(
    budget: &BudgetSettings,
    tokens: f64,
    parameters: Parameters,
) -> Result<usize, StageError> {
    let within = |amount: f64, each: f64| ((amount / each).floor() as usize).max(1);
    match budget {
        BudgetSettings::Updates(updates) => Ok(updates.get()),
        BudgetSettings::TrainedTokens(amount) => Ok(within(amount.get() as f64, tokens)),
        BudgetSettings::Flops(amount) => Ok(within(amount.get(), parameters.training_flops() * tokens)),
        BudgetSettings::GeneratedTokens(_) => Err(StageError::Nothing {
            problem: "a budget of generated tokens says nothing of an arm that generates none while it trains".to_owned(),
            hint: "match `updates`, `trained-tokens` or `flops`".to_owned(),
        }),
        BudgetSettings::Seconds(_) => Err(seconds()),
    }
}

/// Mean tokens of an update on `batch` pairs: the prompt counts once for each side.
pub(crate) fn tokens_of_update(pairs: &[TokenPair], batch: usize) -> f64 {
    let tokens: usize = pairs
        .iter()
        .map(|pair| 2 * pair.prompt.len() + pair.chosen.len() + pair.rejected.len())
        .sum();
    tokens as f64 / pairs.len() as f64 * batch as f64
}

/// Why seconds are no budget.
pub(crate) fn seconds() -> StageError {
    StageError::Nothing {
        problem: "a budget of seconds gives other numbers each time".to_owned(),
        hint: "match `updates`, `trained-tokens` or `flops`: the ledger reports the seconds of every arm".to_owned(),
    }
}
