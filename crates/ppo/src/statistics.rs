//! What one improvement measured, minibatch by minibatch.

use preflab_config::{PolicyLoss, ValueClip};

use crate::experience::{Experience, ValueTargets};
use crate::kl::SampledKl;
use crate::moments::{Moments, Variance};
use crate::policy_learner::PolicyMeasured;
use crate::policy_loss::{ClipCounts, clip_counts};
use crate::rows::Rows;
use crate::value_loss::value_is_clipped;

/// What the policy's side of one minibatch measured, before it changed the policy. Means are over its completion tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PolicyStatistics {
    /// Surrogate.
    pub loss: f64,
    /// KL term before its weight.
    pub kl_loss: f64,
    /// Entropy bonus before its weight.
    pub entropy_bonus: f64,
    /// What the policy minimises.
    pub total: f64,
    /// Mean entropy, nats.
    pub entropy: f64,
    /// Mean ratio of new to old probability.
    pub ratio: f64,
    /// Largest ratio.
    pub largest_ratio: f64,
    /// Mean of half the squared log ratio, nats.
    pub kl_k2: f64,
    /// Mean of `ratio - 1 - log ratio`, nats: the estimate of KL(old policy, policy) that stops an improvement.
    pub kl_k3: f64,
    /// Shares of clipped tokens.
    pub clipped: ClipCounts,
    /// Gradient norm before clipping; 0 where no update was done.
    pub grad_norm: f64,
}

/// What the value's side of one minibatch measured, before it changed the value model.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ValueStatistics {
    /// Value loss before its coefficient.
    pub loss: f64,
    /// Share of steps whose clipped term is the larger loss.
    pub clipped: f64,
    /// Mean value.
    pub mean: f64,
    /// Gradient norm before clipping, coefficient included.
    pub grad_norm: f64,
}

/// All minibatches of one improvement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImprovementStatistics {
    /// Of the policy; the last one did no update if [`Self::stopped`].
    pub policy: Vec<PolicyStatistics>,
    /// Of the value model.
    pub value: Vec<ValueStatistics>,
    /// Passes that were begun.
    pub epochs: usize,
    /// Whether the target KL ended it early.
    pub stopped: bool,
    /// Whether the budget did.
    pub exhausted: bool,
    /// Learning rate of the last policy update.
    pub learning_rate: f64,
    /// Log-probs of the first minibatch before any update, with the rows they belong to.
    pub first_logps: Vec<(usize, Vec<f64>)>,
}

impl PolicyStatistics {
    /// Of one minibatch whose micro-batches held `rows`, each with what it measured.
    pub fn of(
        loss: PolicyLoss,
        experience: &Experience,
        micro: &[(Vec<usize>, PolicyMeasured)],
    ) -> Self {
        let mut sums = Self::default();
        let mut tokens = 0.0;
        for (rows, measured) in micro {
            sums.loss += measured.policy_loss;
            sums.kl_loss += measured.kl_loss;
            sums.entropy_bonus += measured.entropy_bonus;
            sums.total += measured.total;
            sums.entropy += measured.entropy.iter().flatten().sum::<f64>();
            for (&row, new) in rows.iter().zip(&measured.logps) {
                let old = &experience.old_logps[row];
                tokens += new.len() as f64;
                for (new, old) in new.iter().zip(old) {
                    let log_ratio = new - old;
                    let ratio = log_ratio.exp();
                    sums.ratio += ratio;
                    sums.largest_ratio = sums.largest_ratio.max(ratio);
                    sums.kl_k2 += SampledKl::K2.value(log_ratio);
                    sums.kl_k3 += log_ratio.exp_m1() - log_ratio;
                }
                let clips = clip_counts(loss, new, old, &experience.advantages[row]);
                sums.clipped.clipped += clips.clipped;
                sums.clipped.low += clips.low;
                sums.clipped.high += clips.high;
                sums.clipped.dual += clips.dual;
            }
        }
        let tokens = f64::max(tokens, 1.0);
        let ClipCounts {
            clipped,
            low,
            high,
            dual,
        } = sums.clipped;
        Self {
            entropy: sums.entropy / tokens,
            ratio: sums.ratio / tokens,
            kl_k2: sums.kl_k2 / tokens,
            kl_k3: sums.kl_k3 / tokens,
            clipped: ClipCounts {
                clipped: clipped / tokens,
                low: low / tokens,
                high: high / tokens,
                dual: dual / tokens,
            },
            ..sums
        }
    }
}

impl ValueStatistics {
    /// Of one minibatch whose micro-batches held `rows`, each with its share of the loss and its values.
    pub fn of(clip: ValueClip, targets: &ValueTargets, micro: &[(Vec<usize>, f64, Rows)]) -> Self {
        let (mut statistics, mut steps) = (Self::default(), 0.0);
        for (rows, loss, values) in micro {
            statistics.loss += loss;
            for (&row, values) in rows.iter().zip(values) {
                let sides = targets.values[row].iter().zip(&targets.returns[row]);
                for (&value, (&old, &target)) in values.iter().zip(sides) {
                    steps += 1.0;
                    statistics.mean += value;
                    statistics.clipped +=
                        f64::from(u8::from(value_is_clipped(value, old, target, clip)));
                }
            }
        }
        let steps = f64::max(steps, 1.0);
        Self {
            mean: statistics.mean / steps,
            clipped: statistics.clipped / steps,
            ..statistics
        }
    }
}

impl ImprovementStatistics {
    /// Mean over the policy's minibatches.
    pub fn policy_mean(&self, what: impl Fn(&PolicyStatistics) -> f64) -> f64 {
        mean(self.policy.iter().map(what))
    }

    /// Mean over the value model's minibatches.
    pub fn value_mean(&self, what: impl Fn(&ValueStatistics) -> f64) -> f64 {
        mean(self.value.iter().map(what))
    }

    /// Variance (n - 1) over the policy's minibatches of their mean ratio.
    pub fn ratio_variance(&self) -> f64 {
        Moments::of(
            self.policy.iter().map(|minibatch| minibatch.ratio),
            Variance::Unbiased,
        )
        .variance
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    Moments::of(values.iter().copied(), Variance::Biased).mean
}
