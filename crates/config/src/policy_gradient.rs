//! Settings of the critic-free ways to follow a reward model: RLOO, GRPO, best-of-n, rejection sampling.

use serde::{Deserialize, Serialize};

use crate::ppo::policy_optimizer;
use crate::{
    Aggregation, Count, KlControl, KlEstimator, KlGradient, KlLoss, NonNegative, OptimizerSettings,
    PolicyLoss, RewardShaping, SamplingSettings, SftSettings, Whitening,
};

/// REINFORCE with a leave-one-out baseline (Kool et al. 2019; Ahmadian et al. 2024, arXiv:2402.14740).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RlooSettings {
    /// Completions sampled before each improvement, all groups together.
    pub batch_size: Count,
    /// Completions for each prompt. Ahmadian et al.: 2 and 4.
    pub group_size: Count,
    /// How completions are sampled. Absent: as the experiment samples everywhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingSettings>,
    /// Passes over each rollout. Paper: 1, on policy; TRL: 4.
    pub epochs: Count,
    /// Parts into which a pass cuts the rollout; one optimiser update each.
    pub minibatches: Count,
    /// Completions in one forward and backward pass. Absent: a whole minibatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<Count>,
    /// AdamW of the policy.
    pub optimizer: OptimizerSettings,
    /// Weight of the KL penalty, which is part of the sequence's reward.
    pub kl: KlControl,
    /// What the penalty is, token by token.
    pub kl_estimator: KlEstimator,
    /// What happens to the score of a completion before it becomes a reward.
    pub reward: RewardShaping,
    /// Normalisation of the advantages of a rollout. Paper: off.
    pub whiten_advantages: Whitening,
    /// The surrogate objective. Default: `reinforce`, as the paper; `gspo` and `clipped` for more than one epoch.
    pub policy_loss: PolicyLoss,
    /// How the losses of tokens become one number. Paper: the gradient of the sequence's log-prob.
    pub aggregation: Aggregation,
}

impl Default for RlooSettings {
    fn default() -> Self {
        Self {
            batch_size: Count::of(64),
            group_size: Count::of(4),
            sampling: None,
            epochs: Count::of(1),
            minibatches: Count::of(1),
            micro_batch_size: None,
            optimizer: policy_optimizer(),
            kl: KlControl::default(),
            kl_estimator: KlEstimator::default(),
            reward: RewardShaping::default(),
            whiten_advantages: Whitening::Off,
            policy_loss: PolicyLoss::Reinforce,
            aggregation: Aggregation::SequenceMeanTokenSum,
        }
    }
}

/// Group-relative policy optimisation (Shao et al. 2024, arXiv:2402.03300).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpoSettings {
    /// Completions sampled before each improvement, all groups together.
    pub batch_size: Count,
    /// Completions for each prompt. Paper: 64; TRL: 8.
    pub group_size: Count,
    /// How completions are sampled. Absent: as the experiment samples everywhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingSettings>,
    /// Passes over each rollout. Paper: 1.
    pub epochs: Count,
    /// Parts into which a pass cuts the rollout; one optimiser update each.
    pub minibatches: Count,
    /// Completions in one forward and backward pass. Absent: a whole minibatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<Count>,
    /// AdamW of the policy.
    pub optimizer: OptimizerSettings,
    /// What a group's scores become.
    pub advantage: GroupAdvantage,
    /// KL term in the loss. Paper: weight 0.04, `k3`.
    pub kl_loss: KlLoss,
    /// What happens to the score of a completion before it becomes a reward.
    pub reward: RewardShaping,
    /// The surrogate objective. Default: clipped at 0.2.
    pub policy_loss: PolicyLoss,
    /// How the losses of tokens become one number. Paper, eq. 3: `sequence-mean-token-mean`.
    pub aggregation: Aggregation,
}

impl Default for GrpoSettings {
    fn default() -> Self {
        Self {
            batch_size: Count::of(64),
            group_size: Count::of(8),
            sampling: None,
            epochs: Count::of(1),
            minibatches: Count::of(1),
            micro_batch_size: None,
            optimizer: policy_optimizer(),
            advantage: GroupAdvantage::default(),
            kl_loss: KlLoss {
                coefficient: NonNegative::of(0.04),
                estimator: KlEstimator::K3,
                gradient: KlGradient::Own,
            },
            reward: RewardShaping::default(),
            policy_loss: PolicyLoss::default(),
            aggregation: Aggregation::SequenceMeanTokenMean,
        }
    }
}

/// What the scores of the completions of one prompt become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupAdvantage {
    /// `(score - mean) / (std + 1e-6)` (Shao et al. 2024, section 4.1.2).
    #[default]
    Standardised,
    /// `score - mean` (Liu et al. 2025, Dr. GRPO, arXiv:2503.20783).
    Centred,
}

/// Best of `n` samples by the reward model, without training (Stiennon et al. 2020, arXiv:2009.01325).
///
/// Its KL from the sampling policy is at most `log n - (n - 1) / n` (Hilton & Gao 2022; Beirami et al. 2024,
/// arXiv:2401.01879).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BestOfNSettings {
    /// Samples for each prompt.
    pub n: Count,
}

impl Default for BestOfNSettings {
    fn default() -> Self {
        Self { n: Count::of(16) }
    }
}

/// Supervised fine-tuning on the policy's own best samples (Touvron et al. 2023, arXiv:2307.09288, section 3.2.3; Dong et
/// al. 2023, RAFT, arXiv:2304.06767).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RejectionSamplingSettings {
    /// Samples for each prompt. RAFT: 32; Touvron et al.: 10 to 100.
    pub candidates: Count,
    /// Which samples are trained on.
    pub keep: Keep,
    /// Times that sampling and training follow each other. Default 1.
    pub rounds: Count,
    /// The fine-tuning of each round.
    pub sft: SftSettings,
}

impl Default for RejectionSamplingSettings {
    fn default() -> Self {
        Self {
            candidates: Count::of(8),
            keep: Keep::default(),
            rounds: Count::of(1),
            sft: SftSettings::default(),
        }
    }
}

/// Which of the scored samples rejection sampling trains on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// The best of each prompt.
    #[default]
    Best,
    /// The best `k` over all prompts together, whatever prompt they belong to (RAFT's global ranking).
    TopOverall(Count),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_survive_being_written_and_read() {
        let rloo = RlooSettings::default();
        assert_eq!(
            toml::from_str::<RlooSettings>(&toml::to_string(&rloo).unwrap()).unwrap(),
            rloo
        );
        let grpo = GrpoSettings::default();
        assert_eq!(
            toml::from_str::<GrpoSettings>(&toml::to_string(&grpo).unwrap()).unwrap(),
            grpo
        );
        let rejection = RejectionSamplingSettings::default();
        assert_eq!(
            toml::from_str::<RejectionSamplingSettings>(&toml::to_string(&rejection).unwrap())
                .unwrap(),
            rejection
        );
        assert_eq!(
            toml::from_str::<BestOfNSettings>("n = 4").unwrap().n.get(),
            4
        );
    }

    #[test]
    fn a_choice_is_an_external_tag() {
        let settings: GrpoSettings =
            toml::from_str("policy_loss.gspo = { low = 3e-4, high = 4e-4 }").unwrap();
        assert!(
            matches!(settings.policy_loss, PolicyLoss::Gspo(bounds) if bounds.high.get() == 4e-4)
        );
        let error =
            toml::from_str::<GrpoSettings>("policy_loss.gspo = { low = -1.0, high = 4e-4 }")
                .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected a number of at least 0, found -1"),
            "{error}"
        );
    }
}
