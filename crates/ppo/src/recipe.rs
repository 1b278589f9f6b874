//! What PPO, RLOO and GRPO have in common, and where they differ: their settings as one algorithm.

use preflab_config::{
    Aggregation, GroupAdvantage, GrpoSettings, KlControl, KlEstimator, KlLoss, OldLogps,
    OptimizerSettings, PolicyLoss, PpoSettings, ReferencePolicy, RewardShaping, RlooSettings,
    SamplingSettings, ScorePosition, ValueClip, Whitening,
};

/// A policy gradient on sampled completions.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Completions in one rollout.
    pub batch_size: usize,
    /// Completions of each prompt.
    pub group_size: usize,
    /// How completions are sampled.
    pub sampling: SamplingSettings,
    /// Passes over a rollout.
    pub epochs: usize,
    /// Updates in one pass.
    pub minibatches: usize,
    /// Completions in one forward and backward pass.
    pub micro_batch: usize,
    /// AdamW of the policy.
    pub optimizer: OptimizerSettings,
    /// KL penalty in the reward.
    pub kl: KlControl,
    /// What the penalty is.
    pub kl_estimator: KlEstimator,
    /// KL term in the loss.
    pub kl_loss: Option<KlLoss>,
    /// What happens to scores.
    pub reward: RewardShaping,
    /// How rewards become advantages.
    pub credit: Credit,
    /// Normalisation of advantages.
    pub whiten_advantages: Whitening,
    /// The surrogate objective.
    pub policy_loss: PolicyLoss,
    /// How the losses of tokens become one number.
    pub aggregation: Aggregation,
    /// Weight of the entropy bonus.
    pub entropy_coefficient: f64,
    /// Early stop of the passes over a rollout.
    pub target_kl: Option<f64>,
    /// What the KL penalty pulls towards.
    pub reference: ReferencePolicy,
    /// Where the log-probs at sampling time come from.
    pub old_logps: OldLogps,
}

/// How the rewards of a completion become the advantages of its tokens.
#[derive(Debug, Clone, Copy)]
pub enum Credit {
    /// By a value model and the generalized advantage estimator.
    Critic(CriticSettings),
    /// The completion's whole reward against the mean of its group's others (RLOO).
    LeaveOneOut,
    /// The score relative to its group (GRPO).
    Group(GroupAdvantage),
}

/// The value model of PPO.
#[derive(Debug, Clone, Copy)]
pub struct CriticSettings {
    /// AdamW of the value model.
    pub optimizer: OptimizerSettings,
    /// Discount.
    pub gamma: f64,
    /// Decay of the estimator.
    pub lambda: f64,
    /// Scaling of rewards.
    pub whiten_rewards: Whitening,
    /// Clipping of the value loss.
    pub clip: ValueClip,
    /// Factor on the value loss.
    pub coefficient: f64,
    /// Rollouts on which only the value model is trained.
    pub warmup: usize,
    /// Where the score is given.
    pub score_position: ScorePosition,
}

impl Recipe {
    /// PPO; `sampling` where the settings name none.
    pub fn ppo(settings: &PpoSettings, sampling: SamplingSettings) -> Self {
        let batch_size = settings.batch_size.get();
        Self {
            batch_size,
            group_size: 1,
            sampling: settings.sampling.unwrap_or(sampling),
            epochs: settings.epochs.get(),
            minibatches: settings.minibatches.get(),
            micro_batch: settings
                .micro_batch_size
                .map_or(batch_size, |micro| micro.get()),
            optimizer: settings.optimizer,
            kl: settings.kl,
            kl_estimator: settings.kl_estimator,
            kl_loss: settings.kl_loss,
            reward: settings.reward,
            credit: Credit::Critic(CriticSettings {
                optimizer: settings.critic_optimizer.unwrap_or(settings.optimizer),
                gamma: settings.gamma.get(),
                lambda: settings.lambda.get(),
                whiten_rewards: settings.whiten_rewards,
                clip: settings.value_clip,
                coefficient: settings.value_coefficient.get(),
                warmup: settings.critic_warmup,
                score_position: settings.score_position,
            }),
            whiten_advantages: settings.whiten_advantages,
            policy_loss: settings.policy_loss,
            aggregation: settings.aggregation,
            entropy_coefficient: settings.entropy_coefficient.get(),
            target_kl: settings.target_kl.map(|target| target.get()),
            reference: settings.reference,
            old_logps: settings.old_logps,
        }
    }

    /// RLOO; `sampling` where the settings name none.
    pub fn rloo(settings: &RlooSettings, sampling: SamplingSettings) -> Self {
        let batch_size = settings.batch_size.get();
        Self {
            batch_size,
            group_size: settings.group_size.get(),
            sampling: settings.sampling.unwrap_or(sampling),
            epochs: settings.epochs.get(),
            minibatches: settings.minibatches.get(),
            micro_batch: settings
                .micro_batch_size
                .map_or(batch_size, |micro| micro.get()),
            optimizer: settings.optimizer,
            kl: settings.kl,
            kl_estimator: settings.kl_estimator,
            kl_loss: None,
            reward: settings.reward,
            credit: Credit::LeaveOneOut,
            whiten_advantages: settings.whiten_advantages,
            policy_loss: settings.policy_loss,
            aggregation: settings.aggregation,
            entropy_coefficient: 0.0,
            target_kl: None,
            reference: ReferencePolicy::Frozen,
            old_logps: OldLogps::default(),
        }
    }

    /// GRPO; `sampling` where the settings name none.
    pub fn grpo(settings: &GrpoSettings, sampling: SamplingSettings) -> Self {
        let batch_size = settings.batch_size.get();
        Self {
            batch_size,
            group_size: settings.group_size.get(),
            sampling: settings.sampling.unwrap_or(sampling),
            epochs: settings.epochs.get(),
            minibatches: settings.minibatches.get(),
            micro_batch: settings
                .micro_batch_size
                .map_or(batch_size, |micro| micro.get()),
            optimizer: settings.optimizer,
            kl: KlControl::Fixed(preflab_config::NonNegative::of(0.0)),
            kl_estimator: KlEstimator::K1,
            kl_loss: Some(settings.kl_loss),
            reward: settings.reward,
            credit: Credit::Group(settings.advantage),
            whiten_advantages: Whitening::Off,
            policy_loss: settings.policy_loss,
            aggregation: settings.aggregation,
            entropy_coefficient: 0.0,
            target_kl: None,
            reference: ReferencePolicy::Frozen,
            old_logps: OldLogps::default(),
        }
    }

    /// Prompts in one rollout.
    ///
    /// A batch that is no multiple of the group is rounded up to whole groups.
    pub fn prompts(&self) -> usize {
        self.batch_size.div_ceil(self.group_size)
    }

    /// Updates of the policy after each rollout, if no early stop happens.
    pub fn updates_each(&self) -> usize {
        self.epochs * self.minibatches
    }

    /// Rollouts on which only the value model is trained.
    pub fn warmup(&self) -> usize {
        match &self.credit {
            Credit::Critic(critic) => critic.warmup,
            Credit::LeaveOneOut | Credit::Group(_) => 0,
        }
    }
}
