//! How an arm trains.

use serde::{Deserialize, Serialize};

use crate::{
    BestOfNSettings, DpoSettings, GrpoSettings, IterativeDpoSettings, Labels, Objective,
    PpoSettings, RejectionSamplingSettings, RewardArmSettings, RlooSettings,
};

/// What an arm does with the supervised start: one variant, one trainer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Proximal policy optimisation against the reward model.
    Ppo(PpoSettings),
    /// Preference optimisation on pairs, without a reward model.
    Dpo(DpoSettings),
    /// The reward model itself, to compare its accuracy on pairs with that of implicit rewards.
    Reward(RewardArmSettings),
    /// Rounds of sampling, judging and preference optimisation on the round's pairs.
    IterativeDpo(IterativeDpoSettings),
    /// REINFORCE with a leave-one-out baseline, against the reward model.
    Rloo(RlooSettings),
    /// Group-relative policy optimisation, against the reward model.
    Grpo(GrpoSettings),
    /// Best of several samples by the reward model; nothing is trained.
    BestOfN(BestOfNSettings),
    /// Supervised fine-tuning on samples that the reward model likes best.
    RejectionSampling(RejectionSamplingSettings),
    /// The start as it is.
    Sft(NoTraining),
}

/// Settings of an arm that does nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoTraining {}

/// What a method builds on besides the supervised start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Whether the policy is trained at all.
    pub training: bool,
    /// Preference pairs.
    pub pairs: bool,
    /// Log-probs of the pairs under the start.
    pub reference_logps: bool,
    /// The reward model, while training or while answering.
    pub reward_model: bool,
    /// Whether it samples while training.
    pub samples: bool,
}

impl Method {
    /// What it builds on.
    pub const fn needs(&self) -> Needs {
        match self {
            Self::Ppo(_) | Self::Rloo(_) | Self::Grpo(_) | Self::RejectionSampling(_) => Needs {
                training: true,
                pairs: false,
                reference_logps: false,
                reward_model: true,
                samples: true,
            },
            // Objectives without a reference are still watched against it.
            Self::Dpo(_) => Needs {
                training: true,
                pairs: true,
                reference_logps: true,
                reward_model: false,
                samples: false,
            },
            Self::Reward(_) => Needs {
                training: true,
                pairs: true,
                reference_logps: false,
                reward_model: false,
                samples: false,
            },
            Self::IterativeDpo(settings) => Needs {
                training: true,
                pairs: false,
                reference_logps: false,
                reward_model: matches!(settings.labels, Labels::RewardModel),
                samples: true,
            },
            Self::BestOfN(_) => Needs {
                training: false,
                pairs: false,
                reference_logps: false,
                reward_model: true,
                samples: false,
            },
            Self::Sft(_) => Needs {
                training: false,
                pairs: false,
                reference_logps: false,
                reward_model: false,
                samples: false,
            },
        }
    }

    /// The name in the settings.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ppo(_) => "ppo",
            Self::Dpo(_) => "dpo",
            Self::Reward(_) => "reward",
            Self::IterativeDpo(_) => "iterative-dpo",
            Self::Rloo(_) => "rloo",
            Self::Grpo(_) => "grpo",
            Self::BestOfN(_) => "best-of-n",
            Self::RejectionSampling(_) => "rejection-sampling",
            Self::Sft(_) => "sft",
        }
    }

    /// The objective over pairs, where there is one.
    pub const fn objective(&self) -> Option<&Objective> {
        match self {
            Self::Dpo(settings) => Some(&settings.objective),
            Self::IterativeDpo(settings) => Some(&settings.objective),
            Self::Ppo(_)
            | Self::Reward(_)
            | Self::Rloo(_)
            | Self::Grpo(_)
            | Self::BestOfN(_)
            | Self::RejectionSampling(_)
            | Self::Sft(_) => None,
        }
    }

    /// Whether what it trains answers prompts, so that its answers can be scored.
    pub const fn answers(&self) -> bool {
        match self {
            Self::Reward(_) => false,
            Self::Ppo(_)
            | Self::Dpo(_)
            | Self::IterativeDpo(_)
            | Self::Rloo(_)
            | Self::Grpo(_)
            | Self::BestOfN(_)
            | Self::RejectionSampling(_)
            | Self::Sft(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_written_and_read_under_its_name() {
        for name in [
            "ppo",
            "dpo",
            "reward",
            "iterative-dpo",
            "rloo",
            "grpo",
            "best-of-n",
            "rejection-sampling",
            "sft",
        ] {
            let settings = if name.ends_with("dpo") {
                "{ objective.dpo = { beta = 0.1 } }"
            } else {
                "{}"
            };
            let method: Method = toml::from_str(&format!("{name} = {settings}")).unwrap();
            assert_eq!(method.name(), name);
            assert_eq!(
                toml::from_str::<Method>(&toml::to_string(&method).unwrap()).unwrap(),
                method
            );
        }
    }

    #[test]
    fn a_method_without_training_takes_no_settings() {
        assert!(toml::from_str::<Method>("sft = { epochs = 1 }").is_err());
    }
}
