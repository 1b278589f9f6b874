//! The policy's side of an update.

use burn::module::Module;
use burn::tensor::Tensor;
use preflab_config::{Aggregation, KlLoss, OptimizerSettings, PolicyLoss, Positive};
use preflab_data::TokenExample;
use preflab_training::{
    Accumulated, Optimizer, OptimizerProgress, StateError, StateReader, StateWriter, Update,
    read_together,
};
use preflab_transformer::{CausalLm, Completions, gradients};
use serde::{Deserialize, Serialize};

use crate::aggregation::{Totals, aggregate};
use crate::entropy::entropy;
use crate::experience::Experience;
use crate::kl::{KlBounds, SampledKl, exact_kl, kl_terms};
use crate::policy_loss::{PolicyBatch, policy_loss};
use crate::rollout::token_rows;
use crate::rows::{Rows, from_cells, to_tensor};

/// What the policy minimises: surrogate, KL term and entropy bonus, all at the temperature of sampling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolicyObjective {
    /// The surrogate.
    pub loss: PolicyLoss,
    /// How the losses of tokens become one number.
    pub aggregation: Aggregation,
    /// Weight of the entropy, which is rewarded.
    pub entropy_coefficient: f64,
    /// A KL term against the reference.
    pub kl_loss: Option<KlLoss>,
    /// Temperature of every log-prob.
    pub temperature: f64,
}

/// The policy with its optimiser and the gradients of an unfinished update.
pub struct PolicyLearner {
    policy: CausalLm,
    optimizer: Optimizer,
    settings: OptimizerSettings,
    planned: usize,
    objective: PolicyObjective,
    gradients: Accumulated<CausalLm>,
}

/// What a forward pass of some completions measured. The three losses are their shares in those of the update.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicyMeasured {
    /// Surrogate.
    pub policy_loss: f64,
    /// KL term before its weight.
    pub kl_loss: f64,
    /// Entropy before its weight; 0 where there is no bonus.
    pub entropy_bonus: f64,
    /// What is minimised.
    pub total: f64,
    /// `log policy` of each completion token, nats.
    pub logps: Rows,
    /// Entropy of the distribution of each completion token, nats.
    pub entropy: Rows,
}

/// Name of the policy in a state.
const POLICY: &str = "policy";

/// How far a learner is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LearnerProgress {
    optimizer: OptimizerProgress,
    planned: usize,
}

impl PolicyLearner {
    /// A learner of `policy`, on an autodiff device; its schedule is stretched over `updates` updates.
    pub fn new(
        policy: CausalLm,
        optimizer: OptimizerSettings,
        objective: PolicyObjective,
        updates: usize,
    ) -> Self {
        Self {
            policy,
            optimizer: Optimizer::new(optimizer, updates),
            settings: optimizer,
            planned: updates,
            objective,
            gradients: Accumulated::new(),
        }
    }

    /// Sets the peak of the schedule for the updates to come.
    pub fn set_learning_rate(&mut self, rate: Positive) {
        self.optimizer.set_learning_rate(rate);
    }

    /// Stretches the schedule over `updates` updates, before the first of them.
    pub(crate) fn stretch(&mut self, updates: usize) {
        self.optimizer = Optimizer::new(self.settings, updates);
        self.planned = updates;
    }

    /// Updates that the schedule is stretched over.
    pub(crate) fn planned(&self) -> usize {
        self.planned
    }

    /// Writes policy, moments and progress into a state.
    pub(crate) fn save(&self, state: StateWriter<'_>) -> Result<LearnerProgress, StateError> {
        state.learner(POLICY, &self.policy, &self.optimizer)?;
        Ok(LearnerProgress {
            optimizer: self.optimizer.progress(),
            planned: self.planned,
        })
    }

    /// Takes them up again.
    pub(crate) fn restore(
        &mut self,
        state: StateReader<'_>,
        progress: LearnerProgress,
    ) -> Result<(), StateError> {
        self.optimizer.set_progress(progress.optimizer);
        self.policy = state.learner(POLICY, self.policy.clone(), &mut self.optimizer)?;
        self.planned = progress.planned;
        Ok(())
    }

    /// The policy as it is now.
    pub fn policy(&self) -> &CausalLm {
        &self.policy
    }

    /// What it minimises.
    pub fn objective(&self) -> &PolicyObjective {
        &self.objective
    }

    /// The policy, learning over.
    pub fn into_policy(self) -> CausalLm {
        self.policy
    }

    /// Adds the gradient of some completions to the update.
    ///
    /// - `rows`: which completions of the experience.
    /// - `totals`: tokens and completions of the whole update.
    /// - `share`: factor on the gradient, 1 unless several means are averaged.
    /// - `reference`: read by an exact KL term alone.
    pub fn accumulate(
        &mut self,
        experience: &Experience,
        rows: &[usize],
        totals: Totals,
        share: f64,
        reference: &CausalLm,
    ) -> PolicyMeasured {
        let device = self.policy.device();
        let examples: Vec<TokenExample> = rows
            .iter()
            .map(|&row| experience.examples[row].clone())
            .collect();
        let completions = Completions::new(&token_rows(&examples), &device);
        let temperature = self.objective.temperature;
        let hidden = self.policy.completion_hidden(&completions);
        let predicted = self
            .policy
            .logps_of_hidden(hidden.clone(), &completions, temperature);
        let batch = PolicyBatch {
            logps: predicted.logps.clone(),
            old_logps: to_tensor(&experience.old_logps, rows, &device),
            advantages: to_tensor(&experience.advantages, rows, &device),
            mask: completions.mask.clone(),
        };
        let over = |losses: Tensor<2>| {
            aggregate(
                losses,
                completions.mask.clone(),
                self.objective.aggregation,
                totals,
            )
        };
        let mut losses = policy_loss(self.objective.loss, &batch);
        if let Some(weights) = &experience.weights {
            losses = losses * to_tensor(weights, rows, &device);
        }
        let surrogate = over(losses);
        let mut total = surrogate.clone();
        let (mut kl_term, mut bonus) = (None, None);
        if let Some(kl_loss) = self.objective.kl_loss {
            let kl = over(self.kl_term(
                kl_loss,
                experience,
                rows,
                &batch,
                hidden.clone(),
                &completions,
                reference,
            ));
            total = total + kl.clone() * kl_loss.coefficient.get();
            kl_term = Some(kl);
        }
        if self.objective.entropy_coefficient > 0.0 {
            let entropy =
                over(completions.spread(entropy(self.policy.logits(hidden), temperature)));
            total = total - entropy.clone() * self.objective.entropy_coefficient;
            bonus = Some(entropy);
        }
        self.gradients
            .add(&self.policy, gradients(&self.policy, total.clone() * share));
        // Read at once, when the device has its work for the backward pass.
        let [b, c] = predicted.logps.dims();
        let cells = |x: Tensor<2>| constant(x).reshape([b * c]);
        let mut tensors = vec![
            surrogate.inner(),
            total.inner(),
            cells(predicted.logps),
            cells(predicted.entropy),
        ];
        let (kl, entropy_bonus) = (kl_term.is_some(), bonus.is_some());
        tensors.extend(kl_term.into_iter().chain(bonus).map(Tensor::inner));
        let mut numbers = read_together(&tensors).into_iter();
        let mut next = || numbers.next().expect("numbers of every tensor");
        let (policy_loss, total) = (next()[0], next()[0]);
        let mut rows = || from_cells(&next(), c, &completions.lengths);
        PolicyMeasured {
            policy_loss,
            total,
            logps: rows(),
            entropy: rows(),
            kl_loss: if kl { next()[0] } else { 0.0 },
            entropy_bonus: if entropy_bonus { next()[0] } else { 0.0 },
        }
    }

    /// The KL term at each token, `[b, c]`.
    #[expect(
        clippy::too_many_arguments,
        reason = "what each of its two forms reads"
    )]
    fn kl_term(
        &self,
        kl_loss: KlLoss,
        experience: &Experience,
        rows: &[usize],
        batch: &PolicyBatch,
        hidden: Tensor<2>,
        completions: &Completions,
        reference: &CausalLm,
    ) -> Tensor<2> {
        match SampledKl::of(kl_loss.estimator) {
            Some(estimator) => {
                let logps = to_tensor(&experience.reference_logps, rows, &self.policy.device());
                kl_terms(
                    batch.logps.clone(),
                    logps,
                    estimator,
                    kl_loss.gradient,
                    KlBounds::VERL,
                )
            }
            None => {
                let reference = reference.valid();
                let theirs = reference.logits(reference.completion_hidden(completions));
                completions.spread(exact_kl(
                    self.policy.logits(hidden),
                    theirs,
                    self.objective.temperature,
                ))
            }
        }
    }

    /// Norm of the gradient accumulated so far.
    pub fn gradient_norm(&mut self) -> f64 {
        self.gradients.norm(&self.policy)
    }

    /// One optimiser update with what was accumulated.
    pub fn step(&mut self) -> Update {
        self.optimizer.step(&mut self.policy, self.gradients.take())
    }

    /// Throws away what was accumulated.
    pub fn discard(&mut self) {
        self.gradients = Accumulated::new();
    }
}

fn constant(tensor: Tensor<2>) -> Tensor<2> {
    if tensor.is_autodiff() {
        tensor.inner()
    } else {
        tensor
    }
}
