//! The paper's toy model: its world, its start, its arms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Count, Dpo, Dpop, FlexDpo, Fraction, Ipo, Kto, NonNegative, Objective, Positive, Sft, SftDpo,
    Simpo, Slic,
};

/// Everything that decides what `preflab toy` computes.
///
/// Yan et al. 2025, [arXiv:2406.07327](https://arxiv.org/abs/2406.07327), section 3.2. What the paper leaves open is a
/// setting; `docs/results/toy.md` has the evidence behind the defaults.
///
/// ```
/// use preflab_config::ToySettings;
/// let settings: ToySettings = toml::from_str("width = 64\n[arms.dpo]\npreference.dpo = { beta = 0.2 }").unwrap();
/// assert_eq!(settings.epochs.get(), 500);
/// assert_eq!(settings.arms.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToySettings {
    /// Runs of each arm in each scenario: seeds 0, 1, ... Default 64.
    pub seeds: Count,
    /// Updates of preference training, each on one mini-batch. Default 500, the paper.
    pub epochs: Count,
    /// Units of both hidden layers. Default 32.
    pub width: Count,
    /// Pairs in a mini-batch. Prompts come in shuffled rounds, so that 4 is each prompt once. Default 4.
    pub batch: Count,
    /// How the rejected response of a pair is drawn. Default: from dimensions 5 to 8.
    pub rejected: RejectedDraw,
    /// The optimiser of preference training. Default: Adam.
    pub optimizer: ToyOptimizer,
    /// Its learning rate. Default 0.01.
    pub learning_rate: Positive,
    /// Probability of each response that is on-policy at the start. Default 0.12, the paper.
    pub on_policy: Fraction,
    /// Probability of each response that is off-policy at the start. Default 0.02, the paper.
    pub off_policy: Fraction,
    /// The scenarios that are run. Default: all four.
    pub scenarios: Vec<ToyScenario>,
    /// The supervised fit to the start.
    pub fit: ToyFit,
    /// The reward model, which is also what the yardstick is the optimum of.
    pub reward: ToyReward,
    /// Epochs between two observations, beyond the first 20, which are all observed. Default 5.
    pub observe_every: Count,
    /// Seeds whose runs are one tensor program; the results do not depend on it. Default 8.
    pub seeds_at_once: Count,
    /// What is trained, by name.
    pub arms: BTreeMap<String, ToyArm>,
}

impl Default for ToySettings {
    fn default() -> Self {
        let preference = |name: &str, objective| (name.to_owned(), ToyArm::Preference(objective));
        Self {
            seeds: Count::of(64),
            epochs: Count::of(500),
            width: Count::of(32),
            batch: Count::of(4),
            rejected: RejectedDraw::Any,
            optimizer: ToyOptimizer::Adam,
            learning_rate: Positive::of(0.01),
            on_policy: Fraction::of(0.12),
            off_policy: Fraction::of(0.02),
            scenarios: ToyScenario::ALL.to_vec(),
            fit: ToyFit::default(),
            reward: ToyReward::default(),
            observe_every: Count::of(5),
            seeds_at_once: Count::of(8),
            arms: [
                preference("dpo", Objective::Dpo(Dpo::default())),
                preference("flex-dpo", Objective::FlexDpo(FlexDpo::default())),
                preference("sft-dpo", Objective::SftDpo(SftDpo::default())),
                preference("ipo", Objective::Ipo(Ipo::default())),
                preference("slic", Objective::Slic(Slic::default())),
                preference("simpo", Objective::Simpo(Simpo::default())),
                preference("dpop", Objective::Dpop(Dpop::default())),
                preference("kto", Objective::Kto(Kto::default())),
                preference(
                    "sft",
                    Objective::Sft(Sft {
                        likelihood: crate::SftAggregation::Sum,
                    }),
                ),
                (
                    "reward-pg".to_owned(),
                    ToyArm::PolicyGradient(ToyPolicyGradient::default()),
                ),
                ("reward-ppo".to_owned(), ToyArm::Ppo(ToyPpo::default())),
            ]
            .into(),
        }
    }
}

/// How the rejected response of a pair is drawn. The paper does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectedDraw {
    /// The prompt's own: dimension `i + 4` for prompt `i`.
    Own,
    /// Any of dimensions 5 to 8, equally likely.
    Any,
    /// Any response of the mini-batch's pairs but the prompt's chosen one: other prompts' chosen responses (1 to 4) and
    /// all own rejected ones (5 to 8).
    Batch,
    /// The chosen response of another prompt: in-batch negatives.
    OtherChosen,
}

impl RejectedDraw {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Own, Self::Any, Self::Batch, Self::OtherChosen];

    /// As it is written in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Any => "any",
            Self::Batch => "batch",
            Self::OtherChosen => "other-chosen",
        }
    }
}

/// The optimiser of preference training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToyOptimizer {
    /// Adam with PyTorch's defaults: betas (0.9, 0.999), epsilon 1e-8, no decay.
    Adam,
    /// Plain gradient descent on mini-batches, without momentum.
    Sgd,
}

/// Which responses are likely at the start; the paper's figure 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ToyScenario {
    /// Scenario 1: chosen and rejected on-policy.
    #[serde(rename = "1")]
    BothOn,
    /// Scenario 2: chosen off-policy, rejected on-policy.
    #[serde(rename = "2")]
    RejectedOn,
    /// Scenario 3: chosen on-policy, rejected off-policy.
    #[serde(rename = "3")]
    ChosenOn,
    /// Scenario 4: chosen and rejected off-policy.
    #[serde(rename = "4")]
    BothOff,
}

impl ToyScenario {
    /// All four, in the paper's order.
    pub const ALL: [Self; 4] = [
        Self::BothOn,
        Self::RejectedOn,
        Self::ChosenOn,
        Self::BothOff,
    ];

    /// The paper's number, from 1.
    pub const fn number(self) -> usize {
        match self {
            Self::BothOn => 1,
            Self::RejectedOn => 2,
            Self::ChosenOn => 3,
            Self::BothOff => 4,
        }
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::BothOn => "both on-policy",
            Self::RejectedOn => "chosen off, rejected on",
            Self::ChosenOn => "chosen on, rejected off",
            Self::BothOff => "both off-policy",
        }
    }
}

/// The supervised fit of the policy to the start's probabilities, by Adam on the cross-entropy over all four prompts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToyFit {
    /// Updates. Default 300.
    pub epochs: Count,
    /// Learning rate. Default 0.01.
    pub learning_rate: Positive,
}

impl Default for ToyFit {
    fn default() -> Self {
        Self {
            epochs: Count::of(300),
            learning_rate: Positive::of(0.01),
        }
    }
}

/// The reward model: a network of the policy's shape, trained by Bradley-Terry on the pairs that the policies see.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToyReward {
    /// Updates, each on one mini-batch. Default 100.
    pub epochs: Count,
    /// Adam's learning rate. Default 0.01.
    pub learning_rate: Positive,
    /// `β` of the yardstick `π* ∝ π_start exp(r / β)`, reward/nats. Default 0.1, DPO's.
    pub beta: Positive,
}

impl Default for ToyReward {
    fn default() -> Self {
        Self {
            epochs: Count::of(100),
            learning_rate: Positive::of(0.01),
            beta: Positive::of(0.1),
        }
    }
}

/// What is trained from the fitted start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToyArm {
    /// An objective over pairs; every response is one token long.
    Preference(Objective),
    /// Gradient ascent on the exact expectation of the learned reward minus the KL penalty.
    PolicyGradient(ToyPolicyGradient),
    /// The same from samples, by PPO's clipped surrogate with a group baseline.
    Ppo(ToyPpo),
}

/// Exact policy gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToyPolicyGradient {
    /// Weight of `KL(π ‖ π_start)`, reward/nats. Default 0.1, DPO's.
    pub beta: NonNegative,
}

impl Default for ToyPolicyGradient {
    fn default() -> Self {
        Self {
            beta: NonNegative::of(0.1),
        }
    }
}

/// Sampled policy gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToyPpo {
    /// Weight of the KL penalty in the reward, reward/nats. Default 0.1, DPO's.
    pub beta: NonNegative,
    /// Responses sampled for each prompt of the mini-batch. Default 16.
    pub samples: Count,
    /// Updates on each rollout. Default 4.
    pub updates: Count,
    /// `ε` of the clipped ratio. Default 0.2, Schulman et al. 2017.
    pub clip: Positive,
}

impl Default for ToyPpo {
    fn default() -> Self {
        Self {
            beta: NonNegative::of(0.1),
            samples: Count::of(16),
            updates: Count::of(4),
            clip: Positive::of(0.2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_being_written() {
        let settings = ToySettings::default();
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<ToySettings>(&text).unwrap(), settings);
    }

    #[test]
    fn scenarios_go_by_the_numbers_of_the_paper() {
        let settings: ToySettings = toml::from_str("scenarios = [\"4\"]").unwrap();
        assert_eq!(settings.scenarios, [ToyScenario::BothOff]);
        assert!(toml::from_str::<ToySettings>("scenarios = [\"5\"]").is_err());
    }
}
