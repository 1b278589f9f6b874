//! The trainer of the DPO family.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use preflab_config::{DpoSettings, Objective};
use preflab_data::{Pair, TokenPair};
use preflab_training::{Accumulated, Optimizer, Order, Work, policy_parameters};
use preflab_transformer::{CausalLm, Completions, TokenLogps};

use crate::inputs::{Context, Inputs, Logps, TokenTerms};
use crate::objectives::bco::RunningMean;
use crate::objectives::{Needs, implicit_rewards, preference_loss};
use crate::reference::{ReferenceLogps, token_rows, unrelated_completion};

/// Pairs with what is known of them before training.
#[derive(Debug, Clone, Copy)]
pub struct ScoredPairs<'p> {
    /// Prompts with both completions.
    pub pairs: &'p [TokenPair],
    /// Log-probabilities under the reference, one a pair.
    pub reference: &'p [ReferenceLogps],
    /// The judge's score of the chosen completion minus that of the rejected one; needed by ODPO alone.
    pub score_gaps: Option<&'p [f64]>,
}

/// Training on preference pairs without a reward model.
///
/// repeat for each update:
///   1  take      the next pairs of the order
///   2  predict   log pi(y+|x), log pi(y-|x), token by token
///   3  judge     the objective's loss of each pair and its slopes dl/dlog pi
///   4  descend   along sum slopes * d log pi, averaged over the pairs of the update
///
/// The loss is differentiated in two steps, first with respect to the log-probabilities and then through the model, so
/// that the slopes (the paper's gradients with respect to chosen and rejected likelihood) cost nothing.
#[derive(Debug)]
pub struct DpoTrainer {
    policy: CausalLm,
    objective: Objective,
    needs: Needs,
    optimizer: Optimizer,
    micro_batch: usize,
    order: Order,
    shift: RunningMean,
    parameters: usize,
    work: Work,
}

/// What one update measured, before it changed the policy. Vectors hold one number a pair.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// The objective.
    pub losses: Vec<f64>,
    /// Implicit rewards.
    pub rewards: Pair<Vec<f64>>,
    /// Log-probabilities under the policy, nats.
    pub logps: Pair<Vec<f64>>,
    /// Derivative of a pair's own loss with respect to the log-probability of a completion, mean over its tokens.
    pub slopes: Pair<Vec<f64>>,
    /// Sum over completion tokens of the entropy of the next-token distribution, nats.
    pub entropy: f64,
    /// Completion tokens.
    pub completion_tokens: usize,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
}

/// One micro-batch after the forward pass.
struct Predicted {
    logps: TokenLogps,
    pairs: Vec<usize>,
    collision: Option<Tensor<2>>,
}

/// Losses of a set of pairs and their slopes with respect to every token's log-probability, `[2b, c]`.
struct Judged {
    slopes: Tensor<2>,
    measured: Measured,
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
        }
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

    /// What is minimised.
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// Update number `update`, counted from 0.
    pub fn update(&mut self, update: usize, data: ScoredPairs<'_>) -> Measured {
        let taken = self.order.update(update);
        self.step(&taken, data)
    }

    /// One update on the pairs with these indices.
    pub fn step(&mut self, taken: &[usize], data: ScoredPairs<'_>) -> Measured {
        let mut measured = Measured::default();
        let mut gradients = Accumulated::new();
        let micro_batches: Vec<&[usize]> = taken.chunks(self.micro_batch).collect();
        let context = self.context(taken, data);
        let whole = (self.needs.whole_update && micro_batches.len() > 1)
            .then(|| self.slopes_of_whole(&micro_batches, data, &context));
        for (place, micro) in micro_batches.iter().enumerate() {
            let predicted = self.predict(&self.policy, micro, data);
            let slopes = match &whole {
                Some((slopes, _)) => slopes[place].clone(),
                None => {
                    let judged = self.judge(&predicted, data, &context);
                    measured.extend(judged.measured);
                    judged.slopes
                }
            };
            let slopes = slopes / taken.len() as f64;
            gradients.add(
                &self.policy,
                (predicted.logps.logps * slopes).sum().backward(),
            );
        }
        if let Some((_, all)) = whole {
            measured = all;
        }
        if self.needs.reward_shift {
            let Pair { chosen, rejected } = &measured.rewards;
            self.shift.update(&[chosen.as_slice(), rejected].concat());
        }
        let (policy, update) = self.optimizer.step(self.policy.clone(), gradients.take());
        self.policy = policy;
        measured.grad_norm = update.grad_norm();
        measured.learning_rate = update.learning_rate;
        let tokens = taken.iter().map(|&index| tokens(&data.pairs[index])).sum();
        self.work += Work {
            updates: 1,
            ..Work::training(tokens, self.parameters)
        };
        measured
    }

    /// The same figures for held-out pairs, without training.
    pub fn measure(&self, data: ScoredPairs<'_>) -> Measured {
        let policy = burn::module::Module::valid(&self.policy);
        let all: Vec<usize> = (0..data.pairs.len()).collect();
        let context = self.context(&all, data);
        let mut measured = Measured::default();
        for micro in all.chunks(self.micro_batch) {
            let predicted = self.predict(&policy, micro, data);
            measured.extend(self.judge(&predicted, data, &context).measured);
        }
        measured
    }

    /// What the objective reads of the whole update besides the pairs' own log-probabilities.
    fn context(&self, taken: &[usize], data: ScoredPairs<'_>) -> Context {
        let device = self.policy.device();
        let one = |value: f64| Tensor::<1>::from_floats([value as f32], &device);
        let lengths: usize = taken
            .iter()
            .map(|&index| data.pairs[index].chosen.len())
            .sum();
        Context {
            score_gaps: None,
            kl: self
                .needs
                .unrelated
                .then(|| one(self.unrelated_kl(taken, data))),
            reward_shift: self.needs.reward_shift.then(|| one(self.shift.mean)),
            mean_chosen_length: Some(one(lengths as f64 / taken.len() as f64)),
        }
    }

    /// `max(0, mean(log pi - log pi_ref))` over unrelated completions of the update, nats.
    fn unrelated_kl(&self, taken: &[usize], data: ScoredPairs<'_>) -> f64 {
        let policy = burn::module::Module::valid(&self.policy);
        let mut sum = 0.0;
        for micro in taken.chunks(self.micro_batch) {
            let rows: Vec<(&[u32], &[u32])> = micro
                .iter()
                .map(|&index| {
                    let prompt = data.pairs[index].prompt.as_slice();
                    (prompt, unrelated_completion(data.pairs, index))
                })
                .collect();
            let completions = Completions::right_padded(&rows, &policy.device());
            let logps = token_rows(&policy.completion_logps(&completions, 1.0));
            for (&index, policy) in micro.iter().zip(&logps) {
                sum += total(policy) - total(&data.reference[index].unrelated);
            }
        }
        (sum / taken.len() as f64).max(0.0)
    }

    /// Log-probabilities of the completions, chosen ones first.
    fn predict(&self, policy: &CausalLm, micro: &[usize], data: ScoredPairs<'_>) -> Predicted {
        let side = |pick: fn(&TokenPair) -> &[u32]| {
            micro.iter().map(move |&index| {
                let pair = &data.pairs[index];
                (pair.prompt.as_slice(), pick(pair))
            })
        };
        let rows: Vec<(&[u32], &[u32])> = side(|pair| &pair.chosen)
            .chain(side(|pair| &pair.rejected))
            .collect();
        let completions = Completions::right_padded(&rows, &policy.device());
        let collision = self.needs.collision.then(|| {
            let policy = burn::module::Module::valid(policy);
            let logps = log_softmax(policy.completion_logits(&completions), 1);
            let n = logps.dims()[0];
            completions.spread(logps.mul_scalar(2.0).exp().sum_dim(1).log().reshape([n]))
        });
        Predicted {
            logps: policy.completion_logps(&completions, 1.0),
            pairs: micro.to_vec(),
            collision,
        }
    }

    /// Losses and slopes of predicted pairs.
    fn judge(&self, predicted: &Predicted, data: ScoredPairs<'_>, context: &Context) -> Judged {
        let values = predicted.logps.logps.clone().inner_if_tracked();
        let device = values.device();
        let [rows, width] = values.dims();
        let pairs = rows / 2;
        let leaf =
            Tensor::<2>::from_data(values.into_data(), &device.clone().autodiff()).require_grad();
        let lengths = predicted.logps.counts().inner_if_tracked();
        let side = |logps: &Tensor<2>, from: usize| {
            let mut side = Logps::from_tokens(
                logps.clone().slice([from..from + pairs]),
                lengths.clone().slice([from..from + pairs]),
            );
            if let Some(collision) = &predicted.collision {
                side.tokens = side.tokens.map(|terms| TokenTerms {
                    log_collision: Some(collision.clone().slice([from..from + pairs])),
                    ..terms
                });
            }
            side
        };
        let sides = |logps: &Tensor<2>| Pair {
            chosen: side(logps, 0),
            rejected: side(logps, pairs),
        };
        let reference = reference_tensor(&predicted.pairs, data, width, &device);
        let mut context = context.clone();
        if self.needs.score_gaps {
            let gaps = data
                .score_gaps
                .expect("the judge's scores, which this objective reads");
            let gaps: Vec<f32> = predicted
                .pairs
                .iter()
                .map(|&index| gaps[index] as f32)
                .collect();
            context.score_gaps = Some(Tensor::from_data(TensorData::new(gaps, [pairs]), &device));
        }
        let inputs = Inputs {
            policy: sides(&leaf),
            reference: sides(&reference),
            context,
        };
        let losses = preference_loss(&self.objective, &inputs);
        let rewards = implicit_rewards(&self.objective, &inputs);
        let sums = inputs.policy.as_ref().map(|side| numbers(&side.sum));
        let measured_losses = numbers(&losses);
        let slopes = leaf
            .grad(&losses.sum().backward())
            .unwrap_or_else(|| Tensor::zeros([rows, width], &device));
        let per_row: Vec<f64> = {
            let means = slopes.clone().sum_dim(1).reshape([rows]) / lengths.clone().clamp_min(1.0);
            numbers(&means)
        };
        Judged {
            slopes,
            measured: Measured {
                losses: measured_losses,
                rewards: rewards.map(|side| numbers(&side)),
                logps: sums,
                slopes: Pair {
                    chosen: per_row[..pairs].to_vec(),
                    rejected: per_row[pairs..].to_vec(),
                },
                entropy: numbers(&predicted.logps.entropy.clone().sum()).iter().sum(),
                completion_tokens: predicted.logps.lengths.iter().sum(),
                ..Measured::default()
            },
        }
    }

    /// Slopes of every micro-batch under a loss that reads all pairs of the update at once.
    fn slopes_of_whole(
        &self,
        micro_batches: &[&[usize]],
        data: ScoredPairs<'_>,
        context: &Context,
    ) -> (Vec<Tensor<2>>, Measured) {
        let policy = burn::module::Module::valid(&self.policy);
        let whole: Vec<usize> = micro_batches.concat();
        let predicted = self.predict(&policy, &whole, data);
        let judged = self.judge(&predicted, data, context);
        let mut first = 0;
        let slopes = micro_batches
            .iter()
            .map(|micro| {
                let longest = micro.iter().map(|&index| {
                    let pair = &data.pairs[index];
                    pair.chosen.len().max(pair.rejected.len())
                });
                let width = longest.max().unwrap_or(0).max(1);
                let rows = |from: usize| {
                    judged
                        .slopes
                        .clone()
                        .slice([from..from + micro.len(), 0..width])
                };
                let slopes = Tensor::cat(vec![rows(first), rows(whole.len() + first)], 0);
                first += micro.len();
                slopes
            })
            .collect();
        (slopes, judged.measured)
    }
}

impl Measured {
    fn extend(&mut self, other: Self) {
        let join = |into: &mut Pair<Vec<f64>>, from: Pair<Vec<f64>>| {
            into.chosen.extend(from.chosen);
            into.rejected.extend(from.rejected);
        };
        self.losses.extend(other.losses);
        join(&mut self.rewards, other.rewards);
        join(&mut self.logps, other.logps);
        join(&mut self.slopes, other.slopes);
        self.entropy += other.entropy;
        self.completion_tokens += other.completion_tokens;
    }
}

/// Reference log-probabilities, `[2b, c]`, chosen rows first, 0 past the end.
fn reference_tensor(
    taken: &[usize],
    data: ScoredPairs<'_>,
    width: usize,
    device: &Device,
) -> Tensor<2> {
    let mut all = vec![0f32; 2 * taken.len() * width];
    let chosen = taken
        .iter()
        .map(|&index| &data.reference[index].sides.chosen);
    let rejected = taken
        .iter()
        .map(|&index| &data.reference[index].sides.rejected);
    for (row, logps) in all.chunks_mut(width).zip(chosen.chain(rejected)) {
        row[..logps.len()].copy_from_slice(logps);
    }
    Tensor::from_data(TensorData::new(all, [2 * taken.len(), width]), device)
}

fn tokens(pair: &TokenPair) -> usize {
    2 * pair.prompt.len() + pair.chosen.len() + pair.rejected.len()
}

fn total(logps: &[f32]) -> f64 {
    logps.iter().map(|&logp| f64::from(logp)).sum()
}

fn numbers(values: &Tensor<1>) -> Vec<f64> {
    values.clone().into_data().iter::<f64>().collect()
}

/// A tensor without autodiff, whether it had it or not.
trait InnerIfTracked {
    fn inner_if_tracked(self) -> Self;
}

impl<const D: usize> InnerIfTracked for Tensor<D> {
    fn inner_if_tracked(self) -> Self {
        if self.is_autodiff() {
            self.inner()
        } else {
            self
        }
    }
}
