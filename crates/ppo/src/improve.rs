//! Passes over a rollout, cut into minibatches and micro-batches.

use preflab_config::ValueClip;
use preflab_data::TokenExample;
use preflab_training::{Stream, Streams, Work, policy_parameters, scalar_parameters};
use preflab_transformer::CausalLm;
use rand::seq::SliceRandom;

use crate::allowance::Allowance;
use crate::critic::Critic;
use crate::experience::Experience;
use crate::policy_learner::PolicyLearner;
use crate::statistics::{ImprovementStatistics, PolicyStatistics, ValueStatistics};

/// How a rollout is gone through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passes {
    /// Passes over the rollout.
    pub epochs: usize,
    /// Parts of a pass, one update each.
    pub minibatches: usize,
    /// Completions in one forward and backward pass.
    pub micro_batch: usize,
    /// No further update once KL(old policy, policy) of a minibatch is above this, nats per token.
    pub target_kl: Option<f64>,
    /// Whether the policy learns; during critic warm-up it does not.
    pub policy_learns: bool,
    /// Which rollout it is.
    pub rollout: usize,
    /// What shuffles the completions.
    pub streams: Streams,
    /// What may still be spent.
    pub allowance: Allowance,
}

/// A critic and how its loss is clipped.
pub(crate) struct CriticSide<'c> {
    pub critic: &'c mut Critic,
    pub clip: ValueClip,
}

impl Passes {
    /// The minibatches of one pass over `rows` completions, shuffled by the seed.
    fn minibatches(&self, rows: usize, epoch: usize) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..rows).collect();
        let step = (self.rollout * self.epochs + epoch) as u64;
        order.shuffle(&mut self.streams.rng(Stream::Minibatches, step));
        // As equal as they can be: the first ones hold one more.
        let (each, more) = (rows / self.minibatches, rows % self.minibatches);
        let mut rest = order.as_slice();
        (0..self.minibatches)
            .map(|part| {
                let (taken, left) = rest.split_at(each + usize::from(part < more));
                rest = left;
                taken.to_vec()
            })
            .filter(|rows| !rows.is_empty())
            .collect()
    }

    /// The micro-batches of the first update on `examples`.
    pub fn first(&self, examples: &[TokenExample]) -> Vec<Vec<usize>> {
        let minibatches = self.minibatches(examples.len(), 0);
        let rows = minibatches.first().map_or(&[][..], Vec::as_slice);
        let ordered = by_length(rows, examples);
        ordered
            .chunks(self.micro_batch)
            .map(<[usize]>::to_vec)
            .collect()
    }

    /// For each epoch and minibatch: minimise the policy's objective and the critic's.
    ///
    /// Ends early when an update would pass the allowance, or by the target KL. What it cost is added to `work`.
    pub fn improve(
        &self,
        learner: &mut PolicyLearner,
        mut critic: Option<CriticSide<'_>>,
        experience: &Experience,
        reference: &CausalLm,
        work: &mut Work,
    ) -> ImprovementStatistics {
        let mut statistics = ImprovementStatistics::default();
        for epoch in 0..self.epochs {
            for rows in self.minibatches(experience.examples.len(), epoch) {
                let cost = self.cost(learner, critic.as_ref(), experience, &rows);
                if !self.allowance.holds(work, &cost) {
                    statistics.exhausted = true;
                    return statistics;
                }
                statistics.epochs = epoch + 1;
                if self.policy_learns {
                    let mut measured = self.policy_minibatch(
                        learner,
                        experience,
                        &rows,
                        reference,
                        &mut statistics,
                    );
                    if self.target_kl.is_some_and(|target| measured.kl_k3 > target) {
                        learner.discard();
                        statistics.policy.push(measured);
                        statistics.stopped = true;
                        return statistics;
                    }
                    let update = learner.step();
                    measured.grad_norm = update.grad_norm();
                    statistics.learning_rate = update.learning_rate;
                    statistics.policy.push(measured);
                }
                if let Some(CriticSide { critic, clip }) = &mut critic {
                    statistics
                        .value
                        .push(self.value_minibatch(critic, *clip, experience, &rows));
                }
                *work += cost;
            }
        }
        statistics
    }

    fn policy_minibatch(
        &self,
        learner: &mut PolicyLearner,
        experience: &Experience,
        rows: &[usize],
        reference: &CausalLm,
        statistics: &mut ImprovementStatistics,
    ) -> PolicyStatistics {
        let totals = experience.totals(rows);
        let mut micro = Vec::new();
        for part in by_length(rows, &experience.examples).chunks(self.micro_batch) {
            let measured = learner.accumulate(experience, part, totals, 1.0, reference);
            micro.push((part.to_vec(), measured));
        }
        if statistics.policy.is_empty() {
            let first = micro
                .iter()
                .flat_map(|(rows, measured)| rows.iter().copied().zip(measured.logps.clone()));
            statistics.first_logps = first.collect();
        }
        PolicyStatistics::of(learner.objective().loss, experience, &micro)
    }

    fn value_minibatch(
        &self,
        critic: &mut Critic,
        clip: ValueClip,
        experience: &Experience,
        rows: &[usize],
    ) -> ValueStatistics {
        let targets = experience
            .targets
            .as_ref()
            .expect("a critic comes with its targets");
        let totals = targets.totals(rows);
        let mut micro = Vec::new();
        for part in by_length(rows, &experience.examples).chunks(self.micro_batch) {
            let measured = critic.accumulate(experience, targets, part, totals, 1.0);
            micro.push((part.to_vec(), measured.loss, measured.values));
        }
        let mut measured = ValueStatistics::of(clip, targets, &micro);
        measured.grad_norm = critic.step().grad_norm();
        measured
    }

    /// What one minibatch costs. Tokens count once, for the policy; the critic adds floating-point operations.
    fn cost(
        &self,
        learner: &PolicyLearner,
        critic: Option<&CriticSide<'_>>,
        experience: &Experience,
        rows: &[usize],
    ) -> Work {
        let tokens = rows
            .iter()
            .map(|&row| experience.examples[row].tokens())
            .sum();
        let mut cost = Work::default();
        if self.policy_learns {
            cost += Work {
                updates: 1,
                ..Work::training(tokens, policy_parameters(learner.policy()))
            };
        }
        if let Some(side) = critic {
            let critic = Work::training(tokens, scalar_parameters(side.critic.model()));
            cost += Work {
                trained_tokens: 0,
                ..critic
            };
        }
        cost
    }
}

/// The rows, longest first, so that micro-batches hold completions of similar length.
fn by_length(rows: &[usize], examples: &[TokenExample]) -> Vec<usize> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|&row| std::cmp::Reverse(examples[row].completion.len()));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use preflab_config::{BudgetSettings, Count};

    #[test]
    fn a_pass_takes_every_completion_once_in_parts_of_about_equal_size() {
        let passes = Passes {
            epochs: 2,
            minibatches: 3,
            micro_batch: 2,
            target_kl: None,
            policy_learns: true,
            rollout: 4,
            streams: Streams::new(1),
            allowance: Allowance::new(BudgetSettings::Updates(Count::of(1))),
        };
        let parts = passes.minibatches(8, 0);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2]);
        let mut all = parts.concat();
        assert_ne!(all, passes.minibatches(8, 1).concat());
        all.sort_unstable();
        assert_eq!(all, (0..8).collect::<Vec<_>>());
    }
}
