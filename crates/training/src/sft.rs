//! Supervised fine-tuning: the start of every arm.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use preflab_config::SftSettings;
use preflab_data::{Rows, TokenExample};
use preflab_metrics::{Metric, Sink};
use preflab_transformer::{CausalLm, Completions, TokenLogps, gradients as model_gradients};
use serde::{Deserialize, Serialize};

use crate::{
    Accumulated, Minibatches, Optimizer, OptimizerProgress, Order, Parameters, Snapshot,
    StateError, StateReader, StateWriter, TrainError, Trained, Update, Watch, Work,
    policy_parameters,
};

/// Supervised fine-tuning on prompts with reference completions.
///
/// repeat for each update:
///   1  take      the next examples of the order
///   2  predict   log pi(y|x) of every completion token
///   3  descend   minimise -sum log pi(y|x) / completion tokens of the update
///
/// The loss counts completion tokens only and weighs every token of an update alike, whatever micro-batch it is in.
#[derive(Debug)]
pub struct SftTrainer {
    policy: CausalLm,
    optimizer: Optimizer,
    micro_batch: usize,
    order: Order,
    updates: usize,
    evaluate_every: Option<usize>,
    parameters: Parameters,
    trained: Work,
}

/// Name of the policy in a state.
const POLICY: &str = "policy";

/// What a state holds besides tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    optimizer: OptimizerProgress,
    trained: Work,
}

impl Snapshot for SftTrainer {
    fn save_state(&self, directory: &Path) -> Result<(), StateError> {
        let state = StateWriter(directory);
        state.learner(POLICY, &self.policy, &self.optimizer)?;
        state.values(&State {
            optimizer: self.optimizer.progress(),
            trained: self.trained,
        })
    }

    fn trained(&self) -> Trained<'_> {
        Trained::Policy(&self.policy)
    }
}

/// What one update measured, before it changed the policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SftUpdate {
    /// Mean negative log-likelihood per completion token, nats.
    pub loss: f64,
    /// Mean entropy per completion token, nats.
    pub entropy: f64,
    /// Share of completion tokens that were the policy's most likely token; only where it was asked for.
    pub accuracy: Option<f64>,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
}

impl SftTrainer {
    /// A trainer of `policy`, a model on an autodiff device, over `examples` in `order`.
    pub fn new(policy: CausalLm, settings: &SftSettings, order: Order, examples: usize) -> Self {
        let batch = settings.batch_size.get();
        let updates = Self::updates_of(settings, examples);
        Self {
            parameters: policy_parameters(&policy),
            policy,
            optimizer: Optimizer::new(settings.optimizer, updates),
            micro_batch: settings.micro_batch_size.map_or(batch, |micro| micro.get()),
            order,
            updates,
            evaluate_every: None,
            trained: Work::default(),
        }
    }

    /// Looks at held-out examples and at token accuracy every so many updates and after the last one, and not whenever it
    /// logs.
    #[must_use]
    pub fn evaluating_every(self, updates: usize) -> Self {
        Self {
            evaluate_every: Some(updates),
            ..self
        }
    }

    /// An order over `examples` as the settings and the random streams of a seed give it.
    pub fn shuffled(settings: &SftSettings, streams: crate::Streams, examples: usize) -> Order {
        Order::Shuffled(Minibatches::new(
            streams,
            examples,
            settings.batch_size.get(),
        ))
    }

    /// Updates that the settings ask for over `examples` examples.
    pub fn updates_of(settings: &SftSettings, examples: usize) -> usize {
        let all = (examples * settings.epochs.get()).div_ceil(settings.batch_size.get());
        settings.max_updates.map_or(all, |most| all.min(most.get()))
    }

    /// Updates that will be done in all.
    pub fn updates(&self) -> usize {
        self.updates
    }

    /// All updates, logged every `log_every` of them.
    ///
    /// # Errors
    /// If the log cannot be written, a row cannot be read, `watch` asked to stop, or the loss is no longer a number.
    pub fn run<'r>(
        mut self,
        examples: impl Into<Rows<'r, TokenExample>>,
        held_out: impl Into<Rows<'r, TokenExample>>,
        log_every: usize,
        log: &mut dyn Sink,
        watch: &dyn Watch,
    ) -> Result<(CausalLm, Work), TrainError> {
        let (examples, held_out) = (examples.into(), held_out.into());
        if let Some(state) = watch.resume_from() {
            self.restore(&state)?;
        }
        for update in self.optimizer.updates()..self.updates {
            if watch.stop() {
                return Err(TrainError::Stopped);
            }
            let last = update + 1 == self.updates;
            let logged = update % log_every == 0 || last;
            let looked_at = match self.evaluate_every {
                Some(every) => (update + 1) % every == 0 || last,
                None => logged,
            };
            let rows = examples.rows(&self.order.update(update))?;
            let batch: Vec<&TokenExample> = rows.iter().map(Cow::as_ref).collect();
            let unread = self.advance(&batch, looked_at);
            if logged || looked_at {
                let measured = unread.read();
                if !measured.loss.is_finite() {
                    return Err(TrainError::Diverged {
                        update,
                        quantity: "loss",
                        value: measured.loss,
                    });
                }
                self.record(update, &measured, looked_at.then_some(held_out), log)?;
                let note = format!("loss {:.3}", measured.loss);
                watch.progress(update as u64 + 1, self.updates as u64, &note);
            }
            if watch.between(update as u64 + 1, &self, log)?.is_break() {
                break;
            }
        }
        log.flush()?;
        Ok((self.policy, self.trained))
    }

    fn restore(&mut self, directory: &Path) -> Result<(), StateError> {
        let state = StateReader(directory);
        let State { optimizer, trained } = state.values()?;
        self.optimizer.set_progress(optimizer);
        self.policy = state.learner(POLICY, self.policy.clone(), &mut self.optimizer)?;
        self.trained = trained;
        Ok(())
    }

    /// One update on `batch`.
    pub fn step(&mut self, batch: &[&TokenExample], accuracy: bool) -> SftUpdate {
        self.advance(batch, accuracy).read()
    }

    /// One update on `batch`, without waiting for the device.
    fn advance(&mut self, batch: &[&TokenExample], accuracy: bool) -> Unread {
        let device = self.policy.device();
        let tokens: usize = batch.iter().map(|example| example.completion.len()).sum();
        let mut gradients = Accumulated::new();
        let (mut sums, mut correct) = (Vec::new(), 0.0);
        for micro in by_length(batch, self.micro_batch) {
            let completions = Completions::new(&micro, &device);
            if accuracy {
                correct += correct_tokens(&self.policy, &completions);
            }
            let predicted = self.policy.completion_logps(&completions, 1.0);
            let sum = predicted.logps.clone().sum();
            sums.push([sum.clone(), predicted.entropy.sum()].map(Tensor::inner));
            let loss = sum.neg() / tokens as f64;
            gradients.add(&self.policy, model_gradients(&self.policy, loss));
        }
        let update = self.optimizer.step(&mut self.policy, gradients.take());
        let read = batch.iter().map(|example| example.tokens()).sum();
        self.trained += Work {
            updates: 1,
            ..Work::training(read, self.parameters)
        };
        Unread {
            sums,
            tokens,
            accuracy: accuracy.then(|| correct / tokens as f64),
            update,
        }
    }

    /// The policy as trained so far.
    pub fn policy(&self) -> &CausalLm {
        &self.policy
    }

    fn record(
        &self,
        update: usize,
        measured: &SftUpdate,
        held_out: Option<Rows<'_, TokenExample>>,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let step = update as u64 + 1;
        log.scalars(
            step,
            &[
                (Metric::Loss, measured.loss),
                (Metric::Perplexity, measured.loss.exp()),
                (Metric::Entropy, measured.entropy),
                (Metric::GradNorm, measured.grad_norm),
                (Metric::LearningRate, measured.learning_rate),
                (Metric::NumTokens, self.trained.trained_tokens as f64),
            ],
        )?;
        if let Some(accuracy) = measured.accuracy {
            log.scalar(step, Metric::MeanTokenAccuracy, accuracy)?;
        }
        if let Some(held_out) = held_out.filter(|rows| !rows.is_empty()) {
            let loss = nll(&self.policy.valid(), held_out, self.micro_batch)?;
            log.scalar(step, Metric::EvalLoss, loss)?;
            log.scalar(step, Metric::EvalPerplexity, loss.exp())?;
        }
        Ok(())
    }
}

/// What one update measured, still on the device.
struct Unread {
    /// Sums of log-probs and of entropies, of each micro-batch.
    sums: Vec<[Tensor<1>; 2]>,
    tokens: usize,
    accuracy: Option<f64>,
    update: Update,
}

impl Unread {
    /// Waits for the device.
    fn read(&self) -> SftUpdate {
        let mean = |which: usize| {
            let sums = self.sums.iter().map(|sums| scalar(&sums[which]));
            sums.sum::<f64>() / self.tokens as f64
        };
        SftUpdate {
            loss: -mean(0),
            entropy: mean(1),
            accuracy: self.accuracy,
            grad_norm: self.update.grad_norm(),
            learning_rate: self.update.learning_rate,
        }
    }
}

/// Mean negative log-likelihood per completion token of `examples`, nats.
pub fn mean_nll(policy: &CausalLm, examples: &[TokenExample], micro_batch: usize) -> f64 {
    nll(policy, Rows::Memory(examples), micro_batch).expect("rows in memory are read")
}

/// The same of rows that may stand in a file, of which no more than a micro-batch is in memory.
fn nll(policy: &CausalLm, rows: Rows<'_, TokenExample>, micro_batch: usize) -> io::Result<f64> {
    let (mut lengths, mut tokens) = (Vec::with_capacity(rows.len()), 0);
    for index in 0..rows.len() {
        let row = rows.row(index)?;
        lengths.push(row.tokens());
        tokens += row.completion.len();
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    let mut sum = 0.0;
    for micro in order.chunks(micro_batch) {
        let rows = rows.rows(micro)?;
        let micro: Vec<(&[u32], &[u32])> = rows
            .iter()
            .map(|row| (row.prompt.as_slice(), row.completion.as_slice()))
            .collect();
        let completions = Completions::new(&micro, &policy.device());
        let TokenLogps { logps, .. } = policy.completion_logps(&completions, 1.0);
        sum += scalar(&logps.sum());
    }
    Ok(-sum / tokens as f64)
}

/// The examples in micro-batches of similar length, so that little is padded.
fn by_length<'e>(
    batch: &[&'e TokenExample],
    micro_batch: usize,
) -> impl Iterator<Item = Vec<(&'e [u32], &'e [u32])>> {
    let mut rows = batch.to_vec();
    rows.sort_by_key(|example| std::cmp::Reverse(example.tokens()));
    let micro: Vec<Vec<_>> = rows
        .chunks(micro_batch)
        .map(|rows| {
            rows.iter()
                .map(|e| (e.prompt.as_slice(), e.completion.as_slice()))
                .collect()
        })
        .collect();
    micro.into_iter()
}

fn correct_tokens(policy: &CausalLm, completions: &Completions) -> f64 {
    let logits: Tensor<2> = policy.valid().completion_logits(completions);
    let n = logits.dims()[0];
    let best: Tensor<1, Int> = logits.argmax(1).reshape([n]);
    f64::from(
        best.equal(completions.targets())
            .float()
            .sum()
            .into_scalar::<f32>(),
    )
}

fn scalar(value: &Tensor<1>) -> f64 {
    f64::from(value.clone().into_scalar::<f32>())
}
