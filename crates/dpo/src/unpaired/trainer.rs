//! The trainer on single completions.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use preflab_config::DpoSettings;
use preflab_training::{
    Accumulated, Optimizer, OptimizerProgress, Order, Parameters, Snapshot, StateError,
    StateReader, StateWriter, Trained, Work, policy_parameters,
};
use preflab_transformer::{CausalLm, Completions, TokenLogps, gradients as model_gradients};
use serde::{Deserialize, Serialize};

use super::loss::{Baselines, Unpaired, UnpairedError};
use super::reference::{mismatched, own};
use super::{JudgedExamples, UnpairedMeasured};
use crate::batch::{numbers, plain};
use crate::objectives::bco::RunningMean;
use crate::reference::token_rows;

/// Training on completions that are wanted or unwanted, without a reward model.
///
/// repeat for each update:
///   1  take      the next examples of the order
///   2  predict   log pi(y|x) of each, and without gradient of an unrelated completion after each prompt
///   3  judge     the loss of each completion and its slope dl/dlog pi
///   4  descend   along the sum of slopes · grad log pi, averaged over the examples of the update
///
/// The baseline of KTO is estimated over the whole update, whatever the size of a micro-batch.
#[derive(Debug)]
pub struct UnpairedTrainer {
    policy: CausalLm,
    objective: Unpaired,
    optimizer: Optimizer,
    batch: usize,
    micro_batch: usize,
    order: Order,
    shift: RunningMean,
    parameters: Parameters,
    work: Work,
}

/// Name of the policy in a state.
const POLICY: &str = "policy";

/// What a state holds besides tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    optimizer: OptimizerProgress,
    shift: RunningMean,
    work: Work,
}

impl Snapshot for UnpairedTrainer {
    fn save_state(&self, directory: &Path) -> Result<(), StateError> {
        let state = StateWriter(directory);
        state.learner(POLICY, &self.policy, &self.optimizer)?;
        state.values(&State {
            optimizer: self.optimizer.progress(),
            shift: self.shift,
            work: self.work,
        })
    }

    fn trained(&self) -> Trained<'_> {
        Trained::Policy(&self.policy)
    }
}

impl UnpairedTrainer {
    /// A trainer of `policy`, a model on an autodiff device, for `updates` updates.
    ///
    /// # Errors
    /// If the objective of `settings` reads pairs.
    pub fn new(
        policy: CausalLm,
        settings: &DpoSettings,
        order: Order,
        updates: usize,
    ) -> Result<Self, UnpairedError> {
        let batch = settings.batch_size.get();
        Ok(Self {
            parameters: policy_parameters(&policy),
            policy,
            objective: Unpaired::of(&settings.objective)?,
            optimizer: Optimizer::new(settings.optimizer, updates),
            batch,
            micro_batch: settings.micro_batch_size.map_or(batch, |micro| micro.get()),
            order,
            shift: RunningMean::default(),
            work: Work::default(),
        })
    }

    /// The policy as trained so far.
    pub fn policy(&self) -> &CausalLm {
        &self.policy
    }

    /// The policy, training over.
    pub fn into_policy(self) -> CausalLm {
        self.policy
    }

    /// What training cost so far.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Updates done so far.
    pub(super) fn updates_done(&self) -> usize {
        self.optimizer.updates()
    }

    /// Takes up the state that another trainer of the same settings left in `directory`.
    pub(super) fn restore(&mut self, directory: &Path) -> Result<(), StateError> {
        let state = StateReader(directory);
        let State {
            optimizer,
            shift,
            work,
        } = state.values()?;
        self.optimizer.set_progress(optimizer);
        self.policy = state.learner(POLICY, self.policy.clone(), &mut self.optimizer)?;
        self.shift = shift;
        self.work = work;
        Ok(())
    }

    /// Update number `update`, counted from 0.
    pub fn update(&mut self, update: usize, data: JudgedExamples<'_>) -> UnpairedMeasured {
        let taken = self.order.update(update);
        self.step(&taken, data)
    }

    /// One update on the examples with these indices.
    pub fn step(&mut self, taken: &[usize], data: JudgedExamples<'_>) -> UnpairedMeasured {
        let kl = self.kl(taken, data);
        if self.objective.reads_shift() {
            let rewards = self.shifted_rewards(taken, data);
            self.shift.update(&rewards);
        }
        let baselines = self.baselines(kl);
        let mut gradients = Accumulated::new();
        let mut measured = UnpairedMeasured::default();
        for micro in taken.chunks(self.micro_batch) {
            let predicted = predict(&self.policy, micro, data);
            let (slopes, judged) = self.judge(&predicted, micro, data, baselines);
            let descent = (predicted.sum() * slopes).sum() * (1.0 / taken.len() as f64);
            gradients.add(&self.policy, model_gradients(&self.policy, descent));
            measured.extend(judged);
        }
        let update = self.optimizer.step(&mut self.policy, gradients.take());
        measured.kl = kl;
        measured.grad_norm = update.grad_norm();
        measured.learning_rate = update.learning_rate;
        let tokens = taken.iter().map(|&index| data.examples[index].tokens());
        self.work += Work {
            updates: 1,
            ..Work::training(tokens.sum(), self.parameters)
        };
        measured
    }

    /// The same figures for the examples with these indices, without training.
    pub fn measure(&self, taken: &[usize], data: JudgedExamples<'_>) -> UnpairedMeasured {
        let kl = self.kl(taken, data);
        let baselines = self.baselines(kl);
        let policy = self.policy.valid();
        let mut measured = UnpairedMeasured::default();
        for micro in taken.chunks(self.micro_batch) {
            let predicted = predict(&policy, micro, data);
            measured.extend(self.judge(&predicted, micro, data, baselines).1);
        }
        UnpairedMeasured { kl, ..measured }
    }

    fn baselines(&self, kl: Option<f64>) -> Baselines {
        Baselines {
            kl: kl.unwrap_or(0.0),
            shift: match self.objective.reads_shift() {
                true => self.shift.mean,
                false => 0.0,
            },
        }
    }

    /// `max(0, mean(log pi - log pi_ref))` over unrelated completions, nats; where the objective reads it.
    fn kl(&self, taken: &[usize], data: JudgedExamples<'_>) -> Option<f64> {
        if !self.objective.reads_unrelated() {
            return None;
        }
        let policy = self.policy.valid();
        let mut sum = 0.0;
        for micro in taken.chunks(self.micro_batch) {
            let rows: Vec<(&[u32], &[u32])> = micro
                .iter()
                .map(|&index| mismatched(data.examples, index, self.batch))
                .collect();
            let completions = Completions::new(&rows, &policy.device());
            let logps = token_rows(&policy.completion_logps(&completions, 1.0));
            for (&index, logps) in micro.iter().zip(logps) {
                let tokens = logps.iter().zip(&data.reference[index].unrelated);
                sum += tokens
                    .map(|(&policy, &reference)| f64::from(policy) - f64::from(reference))
                    .sum::<f64>();
            }
        }
        Some((sum / taken.len() as f64).max(0.0))
    }

    /// The rewards of an update that the running mean takes in.
    fn shifted_rewards(&self, taken: &[usize], data: JudgedExamples<'_>) -> Vec<f64> {
        let policy = self.policy.valid();
        let micros = taken.chunks(self.micro_batch);
        micros
            .flat_map(|micro| {
                let predicted = predict(&policy, micro, data);
                let ratios = predicted.sum() - self.reference(&predicted, micro, data);
                numbers(&self.objective.shifted_reward(ratios))
            })
            .collect()
    }

    /// Slopes of the losses with respect to the log-probabilities, `[m]`, and figures.
    fn judge(
        &self,
        predicted: &TokenLogps,
        micro: &[usize],
        data: JudgedExamples<'_>,
        baselines: Baselines,
    ) -> (Tensor<1>, UnpairedMeasured) {
        let sums = plain(predicted.sum());
        let reference = self.reference(predicted, micro, data);
        let wanted: Vec<f32> = micro
            .iter()
            .map(|&index| f32::from(u8::from(data.wanted[index])))
            .collect();
        let shape = [wanted.len()];
        let wanted = Tensor::from_data(TensorData::new(wanted, shape), &self.policy.device());
        let leaf = Tensor::from_inner(sums.clone()).require_grad();
        let ratios = leaf.clone() - Tensor::from_inner(reference.clone());
        let wanted = Tensor::from_inner(wanted);
        let losses = self.objective.losses(ratios, &wanted, baselines);
        let slopes = leaf
            .grad(&losses.clone().sum().backward())
            .unwrap_or_else(|| sums.zeros_like());
        let rewards = (sums.clone() - reference.clone()) * self.objective.beta();
        let measured = UnpairedMeasured {
            wanted: micro.iter().map(|&index| data.wanted[index]).collect(),
            losses: numbers(&losses),
            rewards: numbers(&rewards),
            logps: numbers(&sums),
            reference_logps: numbers(&reference),
            entropy: numbers(&plain(predicted.entropy.clone()).sum())[0],
            completion_tokens: predicted.lengths.iter().sum(),
            ..UnpairedMeasured::default()
        };
        (slopes, measured)
    }

    /// Log-probability of each completion under the reference, `[m]`, summed as the policy's are: equal where these are.
    fn reference(
        &self,
        predicted: &TokenLogps,
        micro: &[usize],
        data: JudgedExamples<'_>,
    ) -> Tensor<1> {
        let [rows, width] = predicted.logps.dims();
        let mut all = vec![0f32; rows * width];
        for (row, &index) in all.chunks_mut(width).zip(micro) {
            let logps = &data.reference[index].own;
            row[..logps.len()].copy_from_slice(logps);
        }
        let all = TensorData::new(all, [rows, width]);
        Tensor::<2>::from_data(all, &self.policy.device())
            .sum_dim(1)
            .squeeze_dim(1)
    }
}

/// What a policy says to the completions of some examples.
fn predict(policy: &CausalLm, micro: &[usize], data: JudgedExamples<'_>) -> TokenLogps {
    let rows: Vec<(&[u32], &[u32])> = micro
        .iter()
        .map(|&index| own(data.examples, index))
        .collect();
    let completions = Completions::new(&rows, &policy.device());
    policy.completion_logps(&completions, 1.0)
}
