//! Settings of iterative DPO.

use serde::{Deserialize, Serialize};

use crate::{Count, Objective, OptimizerSettings};

/// Rounds of sampling, judging and training on the pairs of the round (Xu et al. 2023, arXiv:2312.16682; Xiong et al. 2024,
/// arXiv:2312.11456; appendix A.1 of arXiv:2406.07327).
///
/// A round samples `preferences.candidates` answers to each of the next training prompts from the policy as it is, judges
/// them as `preferences.judge` says, and trains on best against worst. With one round it is the usual offline training:
/// everything is sampled from the start, and the pairs grow more off-policy with every update.
///
/// - Under `budget.updates` the rounds share the updates, and each samples as many prompts as its updates take in
///   [`epochs`](Self::epochs) passes.
/// - Under `budget.generated-tokens` the rounds share the tokens, and each makes [`epochs`](Self::epochs) passes over its
///   pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IterativeDpoSettings {
    /// The loss over pairs.
    pub objective: Objective,
    /// Times that sampling, judging and training follow each other. Default 4.
    #[serde(default = "rounds")]
    pub rounds: Count,
    /// Passes over the pairs of a round. Default 1.
    #[serde(default = "epochs")]
    pub epochs: Count,
    /// Who judges the answers. Default: the judge that offline pairs are made by.
    #[serde(default)]
    pub labels: Labels,
    /// What the objective's reference is. Default: the start.
    #[serde(default)]
    pub reference: RoundReference,
    /// Pairs in one update.
    #[serde(default = "batch_size")]
    pub batch_size: Count,
    /// Pairs in one forward and backward pass; absent: `batch_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<Count>,
    /// AdamW and its schedule, which begins anew in each round.
    #[serde(default = "optimizer")]
    pub optimizer: OptimizerSettings,
}

/// Who says which of a round's answers is better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// The task's judge, with the noise of `preferences.judge`.
    #[default]
    Judge,
    /// The reward model, trained on the pairs of the start's answers: what PPO follows.
    RewardModel,
}

/// What the objective of a round compares the policy with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoundReference {
    /// The supervised start, in every round.
    #[default]
    Start,
    /// The policy that the round began with.
    Previous,
}

fn rounds() -> Count {
    Count::of(4)
}
fn epochs() -> Count {
    Count::of(1)
}
fn batch_size() -> Count {
    Count::of(32)
}
fn optimizer() -> OptimizerSettings {
    OptimizerSettings::with_learning_rate(1e-4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_enough() {
        let settings: IterativeDpoSettings = toml::from_str("objective.dpo = {}").unwrap();
        assert_eq!((settings.rounds.get(), settings.epochs.get()), (4, 1));
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(
            toml::from_str::<IterativeDpoSettings>(&text).unwrap(),
            settings
        );
    }

    #[test]
    fn wrong_labels_are_refused_with_the_right_ones() {
        let error =
            toml::from_str::<IterativeDpoSettings>("objective.dpo = {}\nlabels = \"human\"");
        let error = error.unwrap_err().to_string();
        assert!(error.contains("`judge` or `reward-model`"), "{error}");
    }
}
