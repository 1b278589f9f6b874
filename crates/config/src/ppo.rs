//! Settings of PPO.

use serde::{Deserialize, Serialize};

use crate::{
    Aggregation, Count, Fraction, KlControl, KlEstimator, KlLoss, NonNegative, OptimizerSettings,
    PolicyLoss, Positive, RewardShaping, RolloutCorrection, SamplingSettings, ScorePosition,
    Whitening,
};

/// Proximal Policy Optimisation on a language model (Schulman et al. 2017, arXiv:1707.06347; Ouyang et al. 2022,
/// arXiv:2203.02155), with the details of Huang et al. 2024, arXiv:2403.17031 ("N+"), as defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PpoSettings {
    /// Completions sampled before each improvement, one for each prompt. N+: 512 (for models of 1e9 parameters).
    pub batch_size: Count,
    /// How completions are sampled. Absent: as the experiment samples everywhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingSettings>,
    /// Passes over each rollout. N+: 4.
    pub epochs: Count,
    /// Parts into which a pass cuts the rollout; one optimiser update each. N+: 1.
    pub minibatches: Count,
    /// Completions in one forward and backward pass; gradients are accumulated over a minibatch. Absent: all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<Count>,
    /// AdamW of the policy. N+ uses epsilon 1e-5 and a rate of 3e-6 for models of 1e9 parameters.
    pub optimizer: OptimizerSettings,
    /// AdamW of the value model. Absent: as `optimizer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critic_optimizer: Option<OptimizerSettings>,
    /// Discount of a token's reward. N+: 1.
    pub gamma: Fraction,
    /// Decay of the generalized advantage estimator (Schulman et al. 2015, arXiv:1506.02438). N+: 0.95.
    pub lambda: Fraction,
    /// Weight of the KL penalty against the reference, and how it changes. N+: 0.05, fixed.
    pub kl: KlControl,
    /// What the penalty in the reward is, token by token. N+: `k1`, the log ratio.
    pub kl_estimator: KlEstimator,
    /// A KL term in the loss as well. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_loss: Option<KlLoss>,
    /// What happens to the score of a completion before it becomes a reward.
    pub reward: RewardShaping,
    /// Where in a completion its score is given. Default: on its last token.
    pub score_position: ScorePosition,
    /// Scaling of the rewards of all tokens of a rollout. N+: off; Ziegler et al.: `keep-mean`.
    pub whiten_rewards: Whitening,
    /// Normalisation of the advantages of all tokens of a rollout. N+: `centre`.
    pub whiten_advantages: Whitening,
    /// The surrogate objective of the policy. Default: clipped at 0.2 (N+).
    pub policy_loss: PolicyLoss,
    /// Clipping of the change of the value around the value at sampling time. N+: 0.2.
    pub value_clip: ValueClip,
    /// Factor on the value loss. N+: 0.1.
    pub value_coefficient: NonNegative,
    /// Weight of the mean entropy of the next-token distribution, which the loss rewards. N+: 0.
    pub entropy_coefficient: NonNegative,
    /// How the losses of tokens become one number. N+: the mean over tokens.
    pub aggregation: Aggregation,
    /// Leave the remaining passes over a rollout once the k3 estimate of KL(old policy, policy) of a minibatch is above
    /// this, nats per token (Spinning Up, OpenAI 2018; stable-baselines3). Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_kl: Option<Positive>,
    /// First rollouts on which only the value model is trained (Yuan et al. 2025, arXiv:2503.01491). Default 0.
    pub critic_warmup: usize,
    /// Where the value model starts. N+: the reward model.
    pub value_init: ValueInit,
    /// What the KL penalty pulls towards. N+: the frozen start.
    pub reference: ReferencePolicy,
    /// Where the log-probs of the policy at sampling time come from. Default: one more forward pass, without weights.
    pub old_logps: OldLogps,
}

impl Default for PpoSettings {
    fn default() -> Self {
        Self {
            batch_size: Count::of(64),
            sampling: None,
            epochs: Count::of(4),
            minibatches: Count::of(1),
            micro_batch_size: None,
            optimizer: policy_optimizer(),
            critic_optimizer: None,
            gamma: Fraction::of(1.0),
            lambda: Fraction::of(0.95),
            kl: KlControl::default(),
            kl_estimator: KlEstimator::default(),
            kl_loss: None,
            reward: RewardShaping::default(),
            score_position: ScorePosition::default(),
            whiten_rewards: Whitening::Off,
            whiten_advantages: Whitening::Centre,
            policy_loss: PolicyLoss::default(),
            value_clip: ValueClip::default(),
            value_coefficient: NonNegative::of(0.1),
            entropy_coefficient: NonNegative::of(0.0),
            aggregation: Aggregation::default(),
            target_kl: None,
            critic_warmup: 0,
            value_init: ValueInit::default(),
            reference: ReferencePolicy::default(),
            old_logps: OldLogps::default(),
        }
    }
}

impl PpoSettings {
    /// Optimiser updates of the policy after `rollouts` rollouts, if no early stop happens.
    pub fn updates(&self, rollouts: usize) -> usize {
        rollouts.saturating_sub(self.critic_warmup) * self.epochs.get() * self.minibatches.get()
    }
}

/// AdamW with N+'s epsilon 1e-5; 1e-4 suits models of 1e6 parameters.
pub(crate) fn policy_optimizer() -> OptimizerSettings {
    OptimizerSettings {
        epsilon: Positive::of(1e-5),
        ..OptimizerSettings::with_learning_rate(1e-4)
    }
}

/// Whether the value loss is clipped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueClip {
    /// `(V - R)^2` alone (Andrychowicz et al. 2020, arXiv:2006.05990, found clipping of no use).
    Off,
    /// `max((V - R)^2, (clip(V, V_old - c, V_old + c) - R)^2)`.
    Within(Positive),
}

impl Default for ValueClip {
    fn default() -> Self {
        Self::Within(Positive::of(0.2))
    }
}

/// Where the value model starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueInit {
    /// Trunk and head of the reward model.
    #[default]
    RewardModel,
    /// Trunk of the SFT model, with a head of zeros.
    Sft,
}

/// What the KL penalty pulls towards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferencePolicy {
    /// The policy as it was before the first update.
    #[default]
    Frozen,
    /// After each rollout `reference <- decay * reference + (1 - decay) * policy` (Ramé et al. 2024, WARP,
    /// arXiv:2406.16768, section 3.1).
    Ema(Fraction),
}

/// Where the log-probs of the policy at sampling time come from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OldLogps {
    /// From the sampler, at the sampling temperature. It saves a forward pass of the policy, and with it the exact KL, which
    /// is then known only where `kl_estimator = "exact"` asks for it.
    Rollout,
    /// From one more forward pass at the sampling temperature, as in verl and OpenRLHF: the first ratio is exactly 1, and
    /// the exact KL costs no more. Tokens on which it disagrees with the sampler can be weighted.
    Recomputed(RolloutCorrection),
}

impl Default for OldLogps {
    fn default() -> Self {
        Self::Recomputed(RolloutCorrection::Off)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_gives_the_published_defaults() {
        let settings: PpoSettings = toml::from_str("").unwrap();
        assert_eq!(settings, PpoSettings::default());
        assert_eq!((settings.gamma.get(), settings.lambda.get()), (1.0, 0.95));
        assert_eq!(settings.updates(10), 40);
    }

    #[test]
    fn settings_survive_being_written_and_read() {
        let settings: PpoSettings = toml::from_str(
            "kl.adaptive = { initial = 0.2, target = 6.0, horizon = 10000 }\nkl_estimator = \"exact\"\ntarget_kl = 0.1\n\
             policy_loss.clipped = { low = 0.2, high = 0.28, dual = 3.0 }\nvalue_clip = \"off\"\nreference.ema = 0.9\n\
             reward = { clip = 5.0, scale = \"running\", length.over = { tokens = 32, per_token = 0.01 } }",
        )
        .unwrap();
        let written = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<PpoSettings>(&written).unwrap(), settings);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(toml::from_str::<PpoSettings>("kl_coef = 0.1").is_err());
    }
}
