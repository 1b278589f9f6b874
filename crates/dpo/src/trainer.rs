//! The trainer of the DPO family.

use std::io;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use preflab_config::{DpoSettings, Objective};
use preflab_data::{Pair, TokenPair};
use preflab_training::{
    Accumulated, AccuracyCurve, Optimizer, OptimizerProgress, Order, Parameters, Snapshot,
    StateError, StateReader, StateWriter, Trained, Work, policy_parameters, read_together,
};
use preflab_transformer::{CausalLm, Completions, gradients as model_gradients};
use serde::{Deserialize, Serialize};

use crate::batch::{
    Predicted, ScoredPairs, ScoredRows, TakenPairs, numbers, plain, predict, reference_tensor,
};
use crate::dynamics::Trace;
use crate::inputs::{Context, Inputs};
use crate::measured::{LogitSums, Measured};
use crate::objectives::bco::RunningMean;
use crate::objectives::{Needs, implicit_rewards, preference_loss, shifted_rewards};
use crate::reference::{ReferenceError, check_against, unrelated_completion};

/// Training on preference pairs without a reward model.
///
/// repeat for each update:
///   1  take      the next pairs of the order
///   2  predict   log π(y_w|x), log π(y_l|x), token by token
///   3  judge     the objective's loss of each pair and its slopes dl/dlog π
///   4  descend   along Σ slopes · ∇ log π, averaged over the pairs of the update
///
/// The loss is differentiated in two steps, first with respect to the log-probabilities and then through the model, so
/// that the slopes (the paper's gradients with respect to chosen and rejected likelihood) cost nothing, and an objective
/// that compares all pairs of an update does so whatever the size of a micro-batch.
#[derive(Debug)]
pub struct DpoTrainer {
    policy: CausalLm,
    objective: Objective,
    needs: Needs,
    optimizer: Optimizer,
    micro_batch: usize,
    order: Order,
    shift: RunningMean,
    parameters: Parameters,
    work: Work,
    pub(crate) accuracy: AccuracyCurve,
    trace: Trace,
}

/// Losses of a set of pairs and their slopes with respect to every token's log-probability, `[2m, c]`.
struct Judged {
    slopes: Tensor<2>,
    unread: Unread,
}

/// What a set of pairs measured, still on the device.
struct Unread {
    losses: Tensor<1>,
    rewards: Pair<Tensor<1>>,
    logps: Pair<Tensor<1>>,
    reference_logps: Pair<Tensor<1>>,
    /// Mean slope of each row's tokens, `[2m]`.
    per_token: Tensor<1>,
    /// Sum over completion tokens, `[1]`.
    entropy: Tensor<1>,
    /// Completion tokens of each row.
    lengths: Vec<usize>,
    /// Mean logit of each completion token, and whether it is the most probable one, where the logits were looked at.
    logits: Option<[Tensor<1>; 2]>,
}

impl Unread {
    fn tensors(&self) -> Vec<Tensor<1>> {
        let sides = [&self.rewards, &self.logps, &self.reference_logps]
            .into_iter()
            .flat_map(|pair| [&pair.chosen, &pair.rejected]);
        let mut tensors: Vec<&Tensor<1>> = vec![&self.losses];
        tensors.extend(sides);
        tensors.extend([&self.per_token, &self.entropy]);
        tensors.extend(self.logits.iter().flatten());
        tensors.into_iter().map(|x| plain(x.clone())).collect()
    }

    /// `numbers`: those of [`Self::tensors`], in their order.
    fn measured(self, numbers: &mut impl Iterator<Item = Vec<f64>>) -> Measured {
        let mut next = || numbers.next().expect("numbers of every tensor");
        let losses = next();
        let mut pair = || Pair {
            chosen: next(),
            rejected: next(),
        };
        let (rewards, logps, reference_logps) = (pair(), pair(), pair());
        let mut chosen = next();
        let rejected = chosen.split_off(self.lengths.len() / 2);
        let entropy = next()[0];
        let logits = self
            .logits
            .is_some()
            .then(|| LogitSums::of(&next(), &next(), &self.lengths));
        Measured {
            losses,
            rewards,
            logps,
            reference_logps,
            slopes: Pair { chosen, rejected },
            entropy,
            completion_tokens: self.lengths.iter().sum(),
            logits,
            ..Measured::default()
        }
    }
}

/// What sets of pairs measured together, and a gradient norm. Waits for the device once.
fn read(unread: Vec<Unread>, norm: Option<Tensor<1>>) -> Measured {
    let tensors = unread.iter().flat_map(Unread::tensors).chain(norm.clone());
    let mut numbers = read_together(&tensors.collect::<Vec<_>>()).into_iter();
    let mut measured = Measured::default();
    for unread in unread {
        measured.extend(unread.measured(&mut numbers));
    }
    if norm.is_some() {
        measured.grad_norm = numbers.next().expect("the norm, read last")[0];
    }
    measured
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
    accuracy: AccuracyCurve,
    #[serde(default)]
    trace: Trace,
}

impl Snapshot for DpoTrainer {
    fn save_state(&self, directory: &Path) -> Result<(), StateError> {
        let state = StateWriter(directory);
        state.learner(POLICY, &self.policy, &self.optimizer)?;
        state.values(&State {
            optimizer: self.optimizer.progress(),
            shift: self.shift,
            work: self.work,
            accuracy: self.accuracy.clone(),
            trace: self.trace.clone(),
        })
    }

    fn trained(&self) -> Trained<'_> {
        Trained::Policy(&self.policy)
    }
}

impl DpoTrainer {
    /// A trainer of `policy`, a model on an autodiff device, for `updates` updates.
    pub fn new(policy: CausalLm, settings: &DpoSettings, order: Order, updates: usize) -> Self {
        Self {
            parameters: policy_parameters(&policy),
            policy,
            needs: Needs::of(&settings.objective),
            objective: settings.objective.clone(),
            optimizer: Optimizer::new(settings.optimizer, updates),
            micro_batch: settings
                .micro_batch_size
                .map_or(settings.batch_size.get(), |micro| micro.get()),
            order,
            shift: RunningMean::default(),
            work: Work::default(),
            accuracy: AccuracyCurve::default(),
            trace: Trace::default(),
        }
    }

    /// Goes on where earlier rounds of the same training stopped: their work and their looks count.
    pub fn continuing(self, work: Work, trace: Trace) -> Self {
        Self {
            work,
            trace,
            ..self
        }
    }

    /// The policy as trained so far.
    pub fn policy(&self) -> &CausalLm {
        &self.policy
    }

    /// Updates done so far.
    pub(crate) fn updates_done(&self) -> usize {
        self.optimizer.updates()
    }

    /// Takes up the state that another trainer of the same settings left in `directory`.
    pub(crate) fn restore(&mut self, directory: &Path) -> Result<(), StateError> {
        let state = StateReader(directory);
        let State {
            optimizer,
            shift,
            work,
            accuracy,
            trace,
        } = state.values()?;
        self.optimizer.set_progress(optimizer);
        self.policy = state.learner(POLICY, self.policy.clone(), &mut self.optimizer)?;
        self.shift = shift;
        self.work = work;
        self.accuracy = accuracy;
        self.trace = trace;
        Ok(())
    }

    /// What the looks at the probes saw so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(crate) fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// The policy, training over.
    pub fn into_policy(self) -> CausalLm {
        self.policy
    }

    /// What training cost so far.
    pub fn work(&self) -> Work {
        self.work
    }

    /// How often the implicit rewards preferred the chosen completion, look by look.
    pub fn accuracy(&self) -> &AccuracyCurve {
        &self.accuracy
    }

    /// What is minimised.
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// Refuses to start from a policy that is not the reference: recomputes `rows` pairs, evenly spread, whose margins must
    /// be 0.
    ///
    /// # Errors
    /// If a log-probability differs from the reference's by more than `1e-4` of its size.
    pub fn check_start<'p>(
        &self,
        data: impl Into<ScoredRows<'p>>,
        rows: usize,
    ) -> Result<(), ReferenceError> {
        let data: ScoredRows<'_> = data.into();
        check_against(&self.policy.valid(), data.pairs, data.reference, rows)
    }

    /// The pairs of an update, in memory, and where those that are trained on stand among them.
    pub(crate) fn batch(
        &self,
        update: usize,
        data: ScoredRows<'_>,
    ) -> io::Result<(TakenPairs, Vec<usize>)> {
        let places = self.order.update(update);
        Ok(match self.needs.unrelated {
            true => (
                data.taken_with_next(&places)?,
                (0..places.len()).map(|place| 2 * place).collect(),
            ),
            false => (data.taken(&places)?, (0..places.len()).collect()),
        })
    }

    /// Update number `update`, counted from 0. `logits`: whether to measure what the logits say, too.
    pub fn update(&mut self, update: usize, data: ScoredPairs<'_>, logits: bool) -> Measured {
        let taken = self.order.update(update);
        self.step(&taken, data, logits)
    }

    /// One update on the pairs with these indices. `logits`: whether to measure what the logits say, too.
    pub fn step(&mut self, taken: &[usize], data: ScoredPairs<'_>, logits: bool) -> Measured {
        let context = self.context(taken, data);
        let micro_batches: Vec<&[usize]> = taken.chunks(self.micro_batch).collect();
        let look = logits || self.needs.collision;
        let mut gradients = Accumulated::new();
        let mut unread = Vec::new();
        let together = self.needs.whole_update || self.needs.reward_shift;
        let mut whole = if together && micro_batches.len() > 1 {
            let (slopes, all) = self.slopes_of_whole(&micro_batches, data, &context, look);
            unread.push(all);
            Some(slopes.into_iter())
        } else {
            None
        };
        for micro in micro_batches {
            let predicted = predict(&self.policy, micro, data, look && whole.is_none());
            let slopes = match whole.as_mut().and_then(Iterator::next) {
                Some(slopes) => slopes,
                None => {
                    let judged = self.learn(&predicted, data, &context);
                    unread.push(judged.unread);
                    judged.slopes
                }
            };
            let slopes = slopes * (1.0 / taken.len() as f64);
            let descent = (predicted.logps.logps.clone() * slopes).sum();
            gradients.add(&self.policy, model_gradients(&self.policy, descent));
        }
        let update = self.optimizer.step(&mut self.policy, gradients.take());
        // Read when the device has its work for the whole update.
        let mut measured = read(unread, Some(update.norm()));
        measured.learning_rate = update.learning_rate;
        let tokens = taken.iter().map(|&index| tokens(&data.pairs[index])).sum();
        self.work += Work {
            updates: 1,
            ..Work::training(tokens, self.parameters)
        };
        measured
    }

    /// The same figures for the pairs with these indices, logits included, without training.
    pub fn measure(&self, taken: &[usize], data: ScoredPairs<'_>) -> Measured {
        let policy = self.policy.valid();
        let context = self.context(taken, data);
        let all = |micro: &[usize]| {
            let predicted = predict(&policy, micro, data, true);
            read(vec![self.judge(&predicted, data, &context).unread], None)
        };
        if self.needs.whole_update {
            return all(taken);
        }
        let mut measured = Measured::default();
        for micro in taken.chunks(self.micro_batch) {
            measured.extend(all(micro));
        }
        measured
    }

    /// Chosen minus rejected implicit reward of each pair, as the policy is now; without the objective's loss.
    pub fn margins(&self, data: ScoredPairs<'_>) -> Vec<f64> {
        let policy = self.policy.valid();
        let all: Vec<usize> = (0..data.pairs.len()).collect();
        let mut margins = Vec::with_capacity(all.len());
        // Implicit rewards read nothing of the other pairs.
        let context = Context {
            score_gaps: None,
            kl: None,
            reward_shift: None,
            mean_chosen_length: None,
        };
        for micro in all.chunks(self.micro_batch) {
            let predicted = predict(&policy, micro, data, self.needs.collision);
            let inputs = self.inputs(&predicted, &predicted.values(), data, &context);
            let rewards = implicit_rewards(&self.objective, &inputs);
            let Pair { chosen, rejected } = rewards.as_ref().map(numbers);
            margins.extend(chosen.iter().zip(&rejected).map(|(c, r)| c - r));
        }
        margins
    }

    /// What the objective reads of the whole update besides the pairs' own log-probabilities.
    fn context(&self, taken: &[usize], data: ScoredPairs<'_>) -> Context {
        let device = self.policy.device();
        let one = |value: f64| Tensor::<1>::from_floats([value as f32], &device);
        let lengths = taken.iter().map(|&index| data.pairs[index].chosen.len());
        let mean_length = lengths.sum::<usize>() as f64 / taken.len() as f64;
        let unrelated = self.needs.unrelated;
        Context {
            score_gaps: None,
            kl: unrelated.then(|| one(self.unrelated_kl(taken, data))),
            reward_shift: self.needs.reward_shift.then(|| one(self.shift.mean)),
            mean_chosen_length: Some(one(mean_length)),
        }
    }

    /// `max(0, mean(log π − log π_ref))` over unrelated completions of the update, nats.
    fn unrelated_kl(&self, taken: &[usize], data: ScoredPairs<'_>) -> f64 {
        let policy = self.policy.valid();
        let mut sum = 0.0;
        for micro in taken.chunks(self.micro_batch) {
            let rows: Vec<(&[u32], &[u32])> = micro
                .iter()
                .map(|&index| {
                    let prompt = data.pairs[index].prompt.as_slice();
                    (prompt, unrelated_completion(data.pairs, index))
                })
                .collect();
            let completions = Completions::new(&rows, &policy.device());
            let sums = numbers(&policy.completion_logps(&completions, 1.0).sum());
            for (&index, policy) in micro.iter().zip(sums) {
                let reference = data.reference[index].unrelated.iter();
                sum += policy - reference.map(|&logp| f64::from(logp)).sum::<f64>();
            }
        }
        (sum / taken.len() as f64).max(0.0)
    }

    /// [`Self::judge`], taking the rewards of the update into the running mean first.
    fn learn(&mut self, predicted: &Predicted, data: ScoredPairs<'_>, context: &Context) -> Judged {
        if !self.needs.reward_shift {
            return self.judge(predicted, data, context);
        }
        let inputs = self.inputs(predicted, &predicted.values(), data, context);
        if let Some(rewards) = shifted_rewards(&self.objective, &inputs) {
            let Pair { chosen, rejected } = rewards.as_ref().map(numbers);
            self.shift.update(&[chosen, rejected].concat());
        }
        let mean = Tensor::<1>::from_floats([self.shift.mean as f32], &self.policy.device());
        let context = Context {
            reward_shift: Some(mean),
            ..context.clone()
        };
        self.judge(predicted, data, &context)
    }

    /// What the objective reads of predicted pairs, with `logps`, `[2m, c]`, for the policy's log-probabilities.
    fn inputs(
        &self,
        predicted: &Predicted,
        logps: &Tensor<2>,
        data: ScoredPairs<'_>,
        context: &Context,
    ) -> Inputs {
        let device = self.policy.device();
        let [_, width] = logps.dims();
        let reference = reference_tensor(&predicted.pairs, data, width, &device);
        let mut context = context.clone();
        if self.needs.score_gaps {
            let gaps = data.score_gaps;
            let gaps = gaps.expect("the judge's scores, which this objective reads");
            let of_pairs = predicted.pairs.iter();
            let gaps: Vec<f32> = of_pairs.map(|&index| gaps[index] as f32).collect();
            let count = gaps.len();
            let gaps = Tensor::from_data(TensorData::new(gaps, [count]), &device);
            context.score_gaps = Some(gaps);
        }
        Inputs {
            policy: predicted.sides(logps),
            reference: predicted.sides(&reference),
            context,
        }
    }

    /// Losses and slopes of predicted pairs.
    fn judge(&self, predicted: &Predicted, data: ScoredPairs<'_>, context: &Context) -> Judged {
        let values = predicted.values();
        let leaf = Tensor::from_inner(values.clone()).require_grad();
        let inputs = self.inputs(predicted, &leaf, data, context);
        let losses = preference_loss(&self.objective, &inputs);
        let rewards = implicit_rewards(&self.objective, &inputs);
        let slopes = leaf
            .grad(&losses.clone().sum().backward())
            .unwrap_or_else(|| values.zeros_like())
            * predicted.inside();
        let per_token =
            slopes.clone().sum_dim(1).squeeze_dim::<1>(1) / predicted.lengths().clamp_min(1.0);
        Judged {
            unread: Unread {
                losses,
                rewards,
                logps: inputs.policy.map(|side| side.sum),
                reference_logps: inputs.reference.map(|side| side.sum),
                per_token,
                entropy: predicted.logps.entropy.clone().sum(),
                lengths: predicted.logps.lengths.clone(),
                logits: predicted.logits(),
            },
            slopes,
        }
    }

    /// Slopes of every micro-batch under a loss that reads all pairs of the update at once.
    fn slopes_of_whole(
        &mut self,
        micro_batches: &[&[usize]],
        data: ScoredPairs<'_>,
        context: &Context,
        look: bool,
    ) -> (Vec<Tensor<2>>, Unread) {
        let whole: Vec<usize> = micro_batches.concat();
        let predicted = predict(&self.policy.valid(), &whole, data, look);
        let judged = self.learn(&predicted, data, context);
        let mut first = 0;
        let of_micro = |micro: &&[usize]| {
            let longest = micro.iter().map(|&index| {
                let pair = &data.pairs[index];
                pair.chosen.len().max(pair.rejected.len())
            });
            let width = longest.max().unwrap_or(0).max(1);
            let rows = |from: usize| {
                let rows = judged.slopes.clone().narrow(0, from, micro.len());
                rows.narrow(1, 0, width)
            };
            let slopes = Tensor::cat(vec![rows(first), rows(whole.len() + first)], 0);
            first += micro.len();
            slopes
        };
        let slopes = micro_batches.iter().map(of_micro).collect();
        (slopes, judged.unread)
    }
}

fn tokens(pair: &TokenPair) -> usize {
    2 * pair.prompt.len() + pair.chosen.len() + pair.rejected.len()
}
