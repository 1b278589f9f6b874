//! What a rollout and its improvement are logged as.

use preflab_metrics::{Metric, Sink, SinkError};
use preflab_training::Work;

use crate::explained_variance::explained_variance;
use crate::kl::SampledKl;
use crate::moments::{Moments, Variance};
use crate::policy_loss::ClipCounts;
use crate::rollout::Rollout;
use crate::rows::{Rows, mean, mean_sum};
use crate::trainer::Targets;

/// What one minibatch measured before it changed the models. Sums over tokens unless said otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct Minibatch {
    /// The aggregated losses.
    pub policy_loss: f64,
    pub value_loss: f64,
    pub kl_loss: f64,
    pub policy_grad_norm: f64,
    pub value_grad_norm: f64,
    pub learning_rate: f64,
    pub value_clipped: f64,
    pub values: Rows,
    pub returns: Rows,
    tokens: f64,
    entropy: f64,
    ratio: f64,
    ratio_max: f64,
    half_square: f64,
    k3: f64,
    clips: ClipCounts,
}

impl Minibatch {
    /// Takes one completion's tokens in.
    pub fn see(&mut self, logps: &[f64], old_logps: &[f64], entropies: &[f64], clips: ClipCounts) {
        for (logp, old) in logps.iter().zip(old_logps) {
            let log_ratio = logp - old;
            self.tokens += 1.0;
            self.ratio += log_ratio.exp();
            self.ratio_max = self.ratio_max.max(log_ratio.exp());
            self.half_square += 0.5 * log_ratio * log_ratio;
            self.k3 += log_ratio.exp_m1() - log_ratio;
        }
        self.entropy += entropies.iter().sum::<f64>();
        self.clips.clipped += clips.clipped;
        self.clips.low += clips.low;
        self.clips.high += clips.high;
        self.clips.dual += clips.dual;
    }

    /// k3 estimate of KL(old policy, policy), mean over tokens, nats.
    pub fn kl_k3(&self) -> f64 {
        self.k3 / self.tokens.max(1.0)
    }
}

/// What the passes over one rollout measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Improvement {
    pub minibatches: Vec<Minibatch>,
    /// Passes made.
    pub epochs: usize,
    /// Whether the policy was updated.
    pub learns: bool,
}

impl Improvement {
    /// A loss that is no number, if there is one.
    pub fn broken(&self) -> Option<f64> {
        let losses = self
            .minibatches
            .iter()
            .map(|minibatch| minibatch.policy_loss + minibatch.value_loss);
        losses.into_iter().find(|loss| !loss.is_finite())
    }

    fn average(&self, of: impl Fn(&Minibatch) -> f64) -> f64 {
        let values: Vec<f64> = self
            .minibatches
            .iter()
            .map(of)
            .filter(|value| value.is_finite())
            .collect();
        values.iter().sum::<f64>() / values.len().max(1) as f64
    }

    /// Mean over all tokens seen.
    fn per_token(&self, of: impl Fn(&Minibatch) -> f64) -> f64 {
        let tokens: f64 = self
            .minibatches
            .iter()
            .map(|minibatch| minibatch.tokens)
            .sum();
        self.minibatches.iter().map(of).sum::<f64>() / tokens.max(1.0)
    }
}

/// Logs rollout number `number` under the policy updates done so far.
pub(crate) fn record(
    number: usize,
    rollout: &Rollout,
    targets: &Targets,
    improvement: &Improvement,
    kl_weight: f64,
    work: Work,
    log: &mut dyn Sink,
) -> Result<(), SinkError> {
    let step = if improvement.learns {
        work.updates
    } else {
        number as u64
    };
    let scores = Moments::of(rollout.scored.rewards.iter().copied(), Variance::Unbiased);
    let shaped = &targets.shaped;
    let mean_score = shaped.scores.iter().sum::<f64>() / shaped.scores.len() as f64;
    let exact = mean_sum(&rollout.exact_kl);
    let mismatch = rollout.mismatch();
    let finished = rollout
        .finished
        .iter()
        .filter(|finished| **finished)
        .count() as f64;
    let advantages = Moments::of_rows(&targets.advantages, Variance::Unbiased);
    let mut values = vec![
        (
            Metric::ObjectiveKl,
            mean_sum(&rollout.sampled_kl(SampledKl::K1)),
        ),
        (
            Metric::ObjectiveKlK1,
            mean(&rollout.sampled_kl(SampledKl::K1)),
        ),
        (
            Metric::ObjectiveKlK2,
            mean(&rollout.sampled_kl(SampledKl::K2)),
        ),
        (
            Metric::ObjectiveKlK3,
            mean(&rollout.sampled_kl(SampledKl::K3)),
        ),
        (Metric::ObjectiveKlExact, exact),
        (Metric::ObjectiveSqrtKl, exact.max(0.0).sqrt()),
        (Metric::ObjectiveEntropy, -mean_sum(&rollout.policy_logps)),
        (Metric::ObjectiveNonScoreReward, targets.non_score_reward),
        (
            Metric::ObjectiveRlhfReward,
            mean_score + targets.non_score_reward,
        ),
        (Metric::ObjectiveScores, mean_score),
        (Metric::ObjectiveScoresStd, scores.deviation()),
        (Metric::ObjectiveRawScores, scores.mean),
        (Metric::ObjectiveClippedScores, shaped.clipped),
        (Metric::ObjectiveRewardScale, shaped.divisor),
        (Metric::ObjectiveLengthPenalty, -shaped.length_penalty),
        (Metric::ObjectiveKlCoef, kl_weight),
        (Metric::PolicyEpochs, improvement.epochs as f64),
        (
            Metric::PolicyLearns,
            f64::from(u8::from(improvement.learns)),
        ),
        (
            Metric::LossPolicy,
            improvement.average(|minibatch| minibatch.policy_loss),
        ),
        (
            Metric::LossKl,
            improvement.average(|minibatch| minibatch.kl_loss),
        ),
        (Metric::ValNumEosTokens, finished),
        (
            Metric::ValMissingEos,
            1.0 - finished / rollout.rows.len() as f64,
        ),
        (Metric::ValAdvantage, advantages.mean),
        (Metric::ValAdvantageVar, advantages.variance),
        (
            Metric::RolloutLength,
            rollout.tokens() as f64 / rollout.rows.len() as f64,
        ),
        (
            Metric::RolloutLogpMismatchMax,
            mismatch.iter().flatten().copied().fold(0.0, f64::max),
        ),
        (Metric::RolloutLogpMismatchMean, mean(&mismatch)),
        (Metric::Episode, ((number + 1) * rollout.rows.len()) as f64),
        (Metric::NumTokens, work.trained_tokens as f64),
        (Metric::BudgetUpdates, work.updates as f64),
        (Metric::BudgetTrainedTokens, work.trained_tokens as f64),
        (Metric::BudgetGeneratedTokens, work.generated_tokens as f64),
        (Metric::BudgetRewardCalls, work.reward_calls as f64),
        (Metric::BudgetFlops, work.flops),
    ];
    if let Some(gold) = &rollout.scored.gold {
        values.push((
            Metric::ObjectiveGold,
            gold.iter().sum::<f64>() / gold.len() as f64,
        ));
    }
    if improvement.learns {
        values.extend(policy_values(improvement));
    }
    if !rollout.values.iter().all(Vec::is_empty) {
        values.extend(critic_values(rollout, targets, improvement));
    }
    log.scalars(step, &values)
}

fn policy_values(improvement: &Improvement) -> Vec<(Metric, f64)> {
    let ratios = improvement
        .minibatches
        .iter()
        .map(|minibatch| minibatch.ratio / minibatch.tokens.max(1.0));
    let ratio = Moments::of(ratios, Variance::Unbiased);
    let largest = improvement
        .minibatches
        .iter()
        .map(|minibatch| minibatch.ratio_max)
        .fold(0.0, f64::max);
    vec![
        (
            Metric::PolicyApproxkl,
            improvement.per_token(|minibatch| minibatch.half_square),
        ),
        (
            Metric::PolicyKlK3,
            improvement.per_token(|minibatch| minibatch.k3),
        ),
        (
            Metric::PolicyClipfrac,
            improvement.per_token(|minibatch| minibatch.clips.clipped),
        ),
        (
            Metric::PolicyClipfracLow,
            improvement.per_token(|minibatch| minibatch.clips.low),
        ),
        (
            Metric::PolicyClipfracHigh,
            improvement.per_token(|minibatch| minibatch.clips.high),
        ),
        (
            Metric::PolicyClipfracDual,
            improvement.per_token(|minibatch| minibatch.clips.dual),
        ),
        (
            Metric::PolicyEntropy,
            improvement.per_token(|minibatch| minibatch.entropy),
        ),
        (
            Metric::PolicyGradNorm,
            improvement.average(|minibatch| minibatch.policy_grad_norm),
        ),
        (
            Metric::ValRatio,
            improvement.per_token(|minibatch| minibatch.ratio),
        ),
        (Metric::ValRatioVar, ratio.variance),
        (Metric::ValRatioMax, largest),
        (
            Metric::Lr,
            improvement.average(|minibatch| minibatch.learning_rate),
        ),
        (
            Metric::LearningRate,
            improvement.average(|minibatch| minibatch.learning_rate),
        ),
    ]
}

fn critic_values(
    rollout: &Rollout,
    targets: &Targets,
    improvement: &Improvement,
) -> Vec<(Metric, f64)> {
    let returns = Moments::of_rows(&targets.returns, Variance::Unbiased);
    let before = Moments::of_rows(&rollout.values, Variance::Unbiased);
    let seen: f64 = improvement
        .minibatches
        .iter()
        .flat_map(|minibatch| &minibatch.values)
        .map(|row| row.len() as f64)
        .sum();
    let over_tokens = |of: &dyn Fn(&Minibatch) -> f64| -> f64 {
        improvement.minibatches.iter().map(of).sum::<f64>() / seen.max(1.0)
    };
    let error = |minibatch: &Minibatch| -> f64 {
        let pairs = minibatch
            .values
            .iter()
            .flatten()
            .zip(minibatch.returns.iter().flatten());
        pairs.map(|(value, target)| (value - target).powi(2)).sum()
    };
    vec![
        (
            Metric::LossValue,
            improvement.average(|minibatch| minibatch.value_loss),
        ),
        (
            Metric::ValClipfrac,
            over_tokens(&|minibatch| minibatch.value_clipped),
        ),
        (Metric::ValError, over_tokens(&error)),
        (Metric::ValMean, before.mean),
        (Metric::ValVar, before.variance),
        (
            Metric::ValVpred,
            over_tokens(&|minibatch| minibatch.values.iter().flatten().sum()),
        ),
        (
            Metric::ValExplainedVariance,
            explained_variance(&rollout.values, &targets.returns),
        ),
        (
            Metric::ValGradNorm,
            improvement.average(|minibatch| minibatch.value_grad_norm),
        ),
        (Metric::ReturnsMean, returns.mean),
        (Metric::ReturnsVar, returns.variance),
    ]
}
