//! What a rollout and the improvement on it log.

use preflab_metrics::{Metric, Sink, SinkError, Text};
use preflab_training::Work;

use crate::experience::ValueTargets;
use crate::explained_variance::explained_variance;
use crate::kl::SampledKl;
use crate::moments::{Moments, Variance};
use crate::rollout::{Mismatch, Rollout};
use crate::rows::{Rows, map_rows, mean, mean_sum, zip_rows};
use crate::shaping::ShapedScores;
use crate::statistics::ImprovementStatistics;

/// Mean KL below which sampling and training must disagree about the policy: it cannot be negative but by noise.
const ALARMING_KL: f64 = -1.0;
/// Difference between the sampler's and the training pass's log-prob of a token that is no rounding any more.
const ALARMING_MISMATCH: f64 = 1e-2;

/// One rollout with its improvement.
pub(crate) struct Record<'r> {
    pub step: u64,
    pub episodes: usize,
    pub work: Work,
    pub stop: &'r [u32],
    pub rollout: &'r Rollout,
    /// KL as the reward has it.
    pub kl: &'r Rows,
    pub beta: f64,
    pub scores: &'r ShapedScores,
    pub advantages: &'r Rows,
    pub statistics: &'r ImprovementStatistics,
}

impl Record<'_> {
    /// Everything but the value model's metrics.
    pub fn write(&self, log: &mut dyn Sink) -> Result<(), SinkError> {
        self.objective(log)?;
        self.policy(log)?;
        self.rollout(log)?;
        let work = self.work;
        log.scalars(
            self.step,
            &[
                (Metric::NumTokens, work.trained_tokens as f64),
                (Metric::BudgetUpdates, work.updates as f64),
                (Metric::BudgetTrainedTokens, work.trained_tokens as f64),
                (Metric::BudgetGeneratedTokens, work.generated_tokens as f64),
                (Metric::BudgetRewardCalls, work.reward_calls as f64),
                (Metric::BudgetFlops, work.flops),
            ],
        )
    }

    fn objective(&self, log: &mut dyn Sink) -> Result<(), SinkError> {
        let log_ratios = self.rollout.log_ratios();
        let estimate = |estimator: SampledKl| mean(&map_rows(&log_ratios, |l| estimator.value(l)));
        let scores = Moments::of(self.scores.scores.iter().copied(), Variance::Unbiased);
        let raw = Moments::of(
            self.rollout.scored.rewards.iter().copied(),
            Variance::Unbiased,
        );
        let non_score = -self.beta * mean_sum(self.kl);
        log.scalars(
            self.step,
            &[
                (Metric::ObjectiveKl, mean_sum(&log_ratios)),
                (Metric::ObjectiveKlK1, estimate(SampledKl::K1)),
                (Metric::ObjectiveKlK2, estimate(SampledKl::K2)),
                (Metric::ObjectiveKlK3, estimate(SampledKl::K3)),
                (Metric::ObjectiveEntropy, -mean_sum(&self.rollout.old_logps)),
                (Metric::ObjectiveNonScoreReward, non_score),
                (Metric::ObjectiveRlhfReward, scores.mean + non_score),
                (Metric::ObjectiveScores, scores.mean),
                (Metric::ObjectiveScoresStd, scores.deviation()),
                (Metric::ObjectiveRawScores, raw.mean),
                (Metric::ObjectiveClippedScores, self.scores.clipped),
                (Metric::ObjectiveKlCoef, self.beta),
                (Metric::ObjectiveRewardScale, self.scores.divisor),
                (Metric::ObjectiveLengthPenalty, -self.scores.length_penalty),
            ],
        )?;
        if let Some(gold) = &self.rollout.scored.gold {
            let gold = Moments::of(gold.iter().copied(), Variance::Unbiased).mean;
            log.scalar(self.step, Metric::ObjectiveGold, gold)?;
        }
        if let Some(exact) = &self.rollout.exact_kl {
            let exact = mean_sum(exact);
            log.scalar(self.step, Metric::ObjectiveKlExact, exact)?;
            log.scalar(self.step, Metric::ObjectiveSqrtKl, exact.max(0.0).sqrt())?;
        }
        Ok(())
    }

    fn policy(&self, log: &mut dyn Sink) -> Result<(), SinkError> {
        let statistics = self.statistics;
        let learns = !statistics.policy.is_empty();
        log.scalar(self.step, Metric::PolicyLearns, f64::from(u8::from(learns)))?;
        let advantages = Moments::of_rows(self.advantages, Variance::Unbiased);
        log.scalars(
            self.step,
            &[
                (Metric::ValAdvantage, advantages.mean),
                (Metric::ValAdvantageVar, advantages.variance),
                (Metric::Episode, self.episodes as f64),
            ],
        )?;
        if !learns {
            return Ok(());
        }
        let largest = statistics
            .policy
            .iter()
            .map(|minibatch| minibatch.largest_ratio)
            .fold(0.0, f64::max);
        log.scalars(
            self.step,
            &[
                (Metric::PolicyApproxkl, statistics.policy_mean(|m| m.kl_k2)),
                (Metric::PolicyKlK3, statistics.policy_mean(|m| m.kl_k3)),
                (
                    Metric::PolicyClipfrac,
                    statistics.policy_mean(|m| m.clipped.clipped),
                ),
                (
                    Metric::PolicyClipfracLow,
                    statistics.policy_mean(|m| m.clipped.low),
                ),
                (
                    Metric::PolicyClipfracHigh,
                    statistics.policy_mean(|m| m.clipped.high),
                ),
                (
                    Metric::PolicyClipfracDual,
                    statistics.policy_mean(|m| m.clipped.dual),
                ),
                (Metric::PolicyEntropy, statistics.policy_mean(|m| m.entropy)),
                (
                    Metric::PolicyGradNorm,
                    statistics.policy_mean(|m| m.grad_norm),
                ),
                (Metric::PolicyEpochs, statistics.epochs as f64),
                (Metric::LossPolicy, statistics.policy_mean(|m| m.loss)),
                (Metric::LossKl, statistics.policy_mean(|m| m.kl_loss)),
                (
                    Metric::LossEntropy,
                    statistics.policy_mean(|m| m.entropy_bonus),
                ),
                (Metric::LossTotal, statistics.policy_mean(|m| m.total)),
                (Metric::ValRatio, statistics.policy_mean(|m| m.ratio)),
                (Metric::ValRatioVar, statistics.ratio_variance()),
                (Metric::ValRatioMax, largest),
                (Metric::Lr, statistics.learning_rate),
                (Metric::LearningRate, statistics.learning_rate),
            ],
        )
    }

    fn rollout(&self, log: &mut dyn Sink) -> Result<(), SinkError> {
        let lengths = self.rollout.lengths();
        let count = lengths.len() as f64;
        let tokens: usize = lengths.iter().sum();
        let stops = self
            .rollout
            .examples
            .iter()
            .flat_map(|example| &example.completion);
        let missing = self
            .rollout
            .finished
            .iter()
            .filter(|&&finished| !finished)
            .count();
        log.scalars(
            self.step,
            &[
                (Metric::RolloutLength, tokens as f64 / count),
                (
                    Metric::ValNumEosTokens,
                    stops.filter(|token| self.stop.contains(token)).count() as f64,
                ),
                (Metric::ValMissingEos, missing as f64 / count),
            ],
        )?;
        if self.statistics.first_logps.is_empty() {
            return Ok(());
        }
        let mismatch = self.rollout.mismatch(&self.statistics.first_logps);
        log.scalars(
            self.step,
            &[
                (Metric::RolloutLogpMismatchMax, mismatch.largest),
                (Metric::RolloutLogpMismatchMean, mismatch.mean),
            ],
        )?;
        let kl = mean_sum(&self.rollout.log_ratios());
        if mismatch.largest > ALARMING_MISMATCH || kl < ALARMING_KL {
            log.text(
                self.step,
                Text::RolloutAlarm,
                &self.token_table(kl, mismatch),
            )?;
        }
        Ok(())
    }

    /// The completion with the lowest KL, token by token.
    fn token_table(&self, kl: f64, mismatch: Mismatch) -> String {
        let sums: Vec<f64> = self
            .rollout
            .log_ratios()
            .iter()
            .map(|row| row.iter().sum())
            .collect();
        let row = (0..sums.len())
            .min_by(|&a, &b| sums[a].total_cmp(&sums[b]))
            .unwrap_or(0);
        let rollout = self.rollout;
        let mut table = format!(
            "Mean KL {kl:.4} nats per answer; largest log-prob mismatch {:.2e} nats.\n\n\
             | token | log sampler | log policy | log reference |\n|---|---|---|---|\n",
            mismatch.largest
        );
        for (place, token) in rollout.examples[row].completion.iter().enumerate() {
            let [sampled, policy, reference] = [
                &rollout.sampled_logps,
                &rollout.old_logps,
                &rollout.reference_logps,
            ]
            .map(|rows| rows[row][place]);
            table.push_str(&format!(
                "| {token} | {sampled:.5} | {policy:.5} | {reference:.5} |\n"
            ));
        }
        table
    }

    /// The value model's metrics.
    pub fn write_critic(
        &self,
        targets: &ValueTargets,
        log: &mut dyn Sink,
    ) -> Result<(), SinkError> {
        let ValueTargets { values, returns } = targets;
        let of_values = Moments::of_rows(values, Variance::Unbiased);
        let of_returns = Moments::of_rows(returns, Variance::Unbiased);
        let errors = zip_rows(values, returns, |value, target| {
            (value - target) * (value - target)
        });
        let statistics = self.statistics;
        log.scalars(
            self.step,
            &[
                (Metric::LossValue, statistics.value_mean(|m| m.loss)),
                (Metric::ValClipfrac, statistics.value_mean(|m| m.clipped)),
                (Metric::ValVpred, statistics.value_mean(|m| m.mean)),
                (Metric::ValGradNorm, statistics.value_mean(|m| m.grad_norm)),
                (Metric::ValError, mean(&errors)),
                (Metric::ValMean, of_values.mean),
                (Metric::ValVar, of_values.variance),
                (
                    Metric::ValExplainedVariance,
                    explained_variance(values, returns),
                ),
                (Metric::ReturnsMean, of_returns.mean),
                (Metric::ReturnsVar, of_returns.variance),
            ],
        )
    }
}
