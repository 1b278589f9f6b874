//! The trainer of reward models.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{DType, Tensor, TensorData};
use preflab_config::{RewardObjective, RewardSettings};
use preflab_data::{Pair, Rows, TokenPair};
use preflab_metrics::{Metric, Sink};
use preflab_stats::mean;
use preflab_training::{
    Accumulated, AccuracyCurve, Optimizer, OptimizerProgress, Order, PairMargins, Parameters,
    Snapshot, StateError, StateReader, StateWriter, TrainError, Trained, Watch, Work,
    read_together, scalar_parameters,
};
use preflab_transformer::{Completions, ScalarModel, gradients as model_gradients};
use serde::{Deserialize, Serialize};

use crate::evaluation::Evaluation;
use crate::losses::pair_losses;

/// Pairs, and how much better the chosen completions are.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'p> {
    /// Prompts with both completions.
    pub pairs: &'p [TokenPair],
    /// Gold score of the chosen completion less that of the rejected one, where it is known: the margin of `per-pair`, and
    /// the buckets of the evaluation.
    pub gold_margins: Option<&'p [f64]>,
}

/// The same where the pairs may stand in a file.
#[derive(Debug, Clone, Copy)]
pub struct JudgedRows<'p> {
    /// Prompts with both completions.
    pub pairs: Rows<'p, TokenPair>,
    /// As [`Judged::gold_margins`].
    pub gold_margins: Option<&'p [f64]>,
}

impl<'p> From<Judged<'p>> for JudgedRows<'p> {
    fn from(data: Judged<'p>) -> Self {
        Self {
            pairs: Rows::Memory(data.pairs),
            gold_margins: data.gold_margins,
        }
    }
}

impl JudgedRows<'_> {
    /// The pairs at some places, with their margins.
    fn batch(&self, indices: &[usize]) -> io::Result<(Vec<TokenPair>, Option<Vec<f64>>)> {
        let pairs = self.pairs.rows(indices)?;
        let margins = |all: &[f64]| indices.iter().map(|&index| all[index]).collect();
        Ok((
            pairs.into_iter().map(Cow::into_owned).collect(),
            self.gold_margins.map(margins),
        ))
    }
}

/// What one update measured, before it changed the model. Vectors hold one number for each pair.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RewardUpdate {
    /// The objective.
    pub losses: Vec<f64>,
    /// Raw scores.
    pub scores: Pair<Vec<f64>>,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
}

/// Training a scalar model on preference pairs.
///
/// repeat for each update:
///   1  take      the next pairs of the order
///   2  score     r(x, y+), r(x, y-) at the last token
///   3  descend   minimise the mean loss over the pairs of the update
///
/// How an update is cut into micro-batches changes nothing beyond rounding.
#[derive(Debug)]
pub struct RewardTrainer {
    model: ScalarModel,
    objective: RewardObjective,
    optimizer: Optimizer,
    micro_batch: usize,
    order: Order,
    updates: usize,
    batch: usize,
    pairs: usize,
    evaluate_every: usize,
    watched: usize,
    parameters: Parameters,
    work: Work,
    accuracy: AccuracyCurve,
}

/// What a whole training run gives.
#[derive(Debug)]
pub struct RewardRun {
    /// The model, on the autodiff device.
    pub model: ScalarModel,
    /// The last evaluation; none without held-out pairs.
    pub evaluation: Option<Evaluation>,
    /// Accuracy on held-out and on training pairs, look by look; empty unless [`RewardTrainer::watching`] asked for it.
    pub accuracy: AccuracyCurve,
    /// What training cost.
    pub work: Work,
}

/// Name of the model in a state.
const MODEL: &str = "model";

/// What a state holds besides tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    optimizer: OptimizerProgress,
    work: Work,
    accuracy: AccuracyCurve,
}

impl Snapshot for RewardTrainer {
    fn save_state(&self, directory: &Path) -> Result<(), StateError> {
        let state = StateWriter(directory);
        state.learner(MODEL, &self.model, &self.optimizer)?;
        state.values(&State {
            optimizer: self.optimizer.progress(),
            work: self.work,
            accuracy: self.accuracy.clone(),
        })
    }

    fn trained(&self) -> Trained<'_> {
        Trained::Scalar(&self.model)
    }
}

impl RewardTrainer {
    /// A trainer of `model`, on an autodiff device, over `pairs` pairs in `order`.
    pub fn new(model: ScalarModel, settings: &RewardSettings, order: Order, pairs: usize) -> Self {
        let batch = settings.batch_size.get();
        let all = (pairs * settings.epochs.get()).div_ceil(batch);
        let updates = settings.max_updates.map_or(all, |most| all.min(most.get()));
        Self::for_updates(model, settings, order, pairs, updates)
    }

    /// A trainer that does exactly so many updates, whatever `epochs` and `max_updates` say.
    pub fn for_updates(
        model: ScalarModel,
        settings: &RewardSettings,
        order: Order,
        pairs: usize,
        updates: usize,
    ) -> Self {
        let batch = settings.batch_size.get();
        Self {
            parameters: scalar_parameters(&model),
            model,
            objective: settings.objective,
            optimizer: Optimizer::new(settings.optimizer, updates),
            micro_batch: settings.micro_batch_size.map_or(batch, |micro| micro.get()),
            order,
            updates,
            batch,
            pairs,
            evaluate_every: settings.evaluate_every.get(),
            watched: 0,
            work: Work::default(),
            accuracy: AccuracyCurve::default(),
        }
    }

    /// Follows the accuracy on the first `pairs` training pairs too, beside that on the held-out ones.
    #[must_use]
    pub fn watching(self, pairs: usize) -> Self {
        Self {
            watched: pairs,
            ..self
        }
    }

    /// Updates that will be done in all.
    pub fn updates(&self) -> usize {
        self.updates
    }

    /// The model as trained so far.
    pub fn model(&self) -> &ScalarModel {
        &self.model
    }

    /// All updates, with evaluations on `held_out` before the first, every so many, and after the last one.
    ///
    /// # Errors
    /// If the log cannot be written, a pair cannot be read, `watch` asked to stop, or a loss or score is no longer a number.
    pub fn run<'r>(
        mut self,
        data: impl Into<JudgedRows<'r>>,
        held_out: Judged<'_>,
        log: &mut dyn Sink,
        watch: &dyn Watch,
    ) -> Result<RewardRun, TrainError> {
        let data: JudgedRows<'_> = data.into();
        let first: Vec<usize> = (0..self.watched.min(data.pairs.len())).collect();
        let (watched, _) = data.batch(&first)?;
        let mut evaluation = match watch.resume_from() {
            Some(state) => {
                self.restore(&state)?;
                self.evaluate(held_out)?
            }
            None => self.look(0, &watched, held_out, log)?,
        };
        for update in self.optimizer.updates()..self.updates {
            if watch.stop() {
                return Err(TrainError::Stopped);
            }
            let (pairs, margins) = data.batch(&self.order.update(update))?;
            let taken: Vec<usize> = (0..pairs.len()).collect();
            let batch = Judged {
                pairs: &pairs,
                gold_margins: margins.as_deref(),
            };
            let measured = self.step(&taken, batch);
            self.record(update, &measured, log)?;
            let (done, loss) = (update + 1, mean(&measured.losses));
            if !loss.is_finite() {
                return Err(TrainError::Diverged {
                    update,
                    quantity: Metric::Loss.tag(),
                    value: loss,
                });
            }
            if done % self.evaluate_every == 0 || done == self.updates {
                evaluation = self.look(done, &watched, held_out, log)?;
                let note = format!("loss {loss:.3} accuracy {:.2}", accuracy(&measured.scores));
                watch.progress(done as u64, self.updates as u64, &note);
            }
            if watch.between(done as u64, &self, log)?.is_break() {
                break;
            }
        }
        log.flush()?;
        Ok(RewardRun {
            model: self.model,
            evaluation,
            accuracy: self.accuracy,
            work: self.work,
        })
    }

    fn restore(&mut self, directory: &Path) -> Result<(), StateError> {
        let state = StateReader(directory);
        let State {
            optimizer,
            work,
            accuracy,
        } = state.values()?;
        self.optimizer.set_progress(optimizer);
        self.model = state.learner(MODEL, self.model.clone(), &mut self.optimizer)?;
        self.work = work;
        self.accuracy = accuracy;
        Ok(())
    }

    /// One update on the pairs with these indices.
    ///
    /// # Panics
    /// If the objective has a margin for each pair and the data has none.
    pub fn step(&mut self, taken: &[usize], data: Judged<'_>) -> RewardUpdate {
        let mut gradients = Accumulated::new();
        let mut unread = Vec::new();
        for micro in taken.chunks(self.micro_batch) {
            let (losses, scores) = losses(&self.model, &self.objective, micro, data);
            let loss = losses.clone().sum() / taken.len() as f64;
            gradients.add(&self.model, model_gradients(&self.model, loss));
            unread.extend([losses, scores.chosen, scores.rejected].map(Tensor::inner));
        }
        let update = self.optimizer.step(&mut self.model, gradients.take());
        unread.push(update.norm());
        // Read when the device has its work for the whole update.
        let mut numbers = read_together(&unread);
        let norm = numbers.pop().expect("the norm, read last");
        let mut measured = RewardUpdate {
            grad_norm: norm[0],
            ..RewardUpdate::default()
        };
        measured.extend(numbers);
        measured.learning_rate = update.learning_rate;
        let tokens = taken.iter().map(|&index| tokens(&data.pairs[index])).sum();
        self.work += Work {
            updates: 1,
            ..Work::training(tokens, self.parameters)
        };
        measured
    }

    /// The model as it is now, on pairs it does not train on; `None` if there are none.
    ///
    /// # Errors
    /// If a score is no longer a number.
    pub fn evaluate(&self, held_out: Judged<'_>) -> Result<Option<Evaluation>, TrainError> {
        let model = self.model.valid();
        let evaluated = measure(&model, &self.objective, held_out, self.micro_batch);
        evaluated.map_err(|loss| TrainError::Diverged {
            update: self.optimizer.updates(),
            quantity: Metric::EvalLoss.tag(),
            value: loss,
        })
    }

    fn look(
        &mut self,
        done: usize,
        watched: &[TokenPair],
        held_out: Judged<'_>,
        log: &mut dyn Sink,
    ) -> Result<Option<Evaluation>, TrainError> {
        let evaluation = self.evaluate(held_out)?;
        if let Some(evaluation) = &evaluation {
            evaluation.record(done as u64, log)?;
            let train = self.margins(watched);
            let margins = PairMargins {
                held_out: &evaluation.margins(),
                train: &train,
            };
            let passes = self.passes(done);
            self.accuracy.look(done as u64, passes, margins, log)?;
        }
        Ok(evaluation)
    }

    /// Chosen minus rejected score of each pair, as the model is now.
    fn margins(&self, pairs: &[TokenPair]) -> Vec<f64> {
        let model = self.model.valid();
        let numbers = |scores: Tensor<1>| scores.into_data().iter::<f64>().collect::<Vec<_>>();
        let all: Vec<usize> = (0..pairs.len()).collect();
        let mut margins = Vec::with_capacity(pairs.len());
        for micro in all.chunks(self.micro_batch) {
            let Pair { chosen, rejected } = scores_of(&model, micro, pairs).map(numbers);
            margins.extend(chosen.iter().zip(&rejected).map(|(c, r)| c - r));
        }
        margins
    }

    /// Passes over the pairs after `done` updates.
    fn passes(&self, done: usize) -> f64 {
        (done * self.batch) as f64 / self.pairs as f64
    }

    fn record(
        &self,
        update: usize,
        measured: &RewardUpdate,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let Pair { chosen, rejected } = &measured.scores;
        let all = [chosen.as_slice(), rejected].concat();
        let centre: Vec<f64> = chosen
            .iter()
            .zip(rejected)
            .map(|(c, r)| (c + r) * (c + r))
            .collect();
        let done = update + 1;
        log.scalars(
            done as u64,
            &[
                (Metric::Loss, mean(&measured.losses)),
                (Metric::Accuracy, accuracy(&measured.scores)),
                (Metric::Margin, mean(chosen) - mean(rejected)),
                (
                    Metric::MinReward,
                    all.iter().copied().fold(f64::INFINITY, f64::min),
                ),
                (Metric::MeanReward, mean(&all)),
                (
                    Metric::MaxReward,
                    all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                ),
                (Metric::ChosenReward, mean(chosen)),
                (Metric::RejectReward, mean(rejected)),
                (Metric::CenterLoss, mean(&centre)),
                (Metric::GradNorm, measured.grad_norm),
                (Metric::LearningRate, measured.learning_rate),
                (Metric::NumTokens, self.work.trained_tokens as f64),
                (Metric::Epoch, self.passes(done)),
            ],
        )?;
        Ok(())
    }
}

impl RewardUpdate {
    /// `numbers`: losses, chosen and rejected scores of each micro-batch.
    fn extend(&mut self, numbers: Vec<Vec<f64>>) {
        let mut sides = [
            &mut self.losses,
            &mut self.scores.chosen,
            &mut self.scores.rejected,
        ];
        for of_micro in numbers.chunks_exact(sides.len()) {
            for (side, numbers) in sides.iter_mut().zip(of_micro) {
                side.extend(numbers);
            }
        }
    }
}

fn accuracy(scores: &Pair<Vec<f64>>) -> f64 {
    let right = scores
        .chosen
        .iter()
        .zip(&scores.rejected)
        .filter(|(chosen, rejected)| chosen > rejected);
    right.count() as f64 / scores.chosen.len() as f64
}

/// A trained model on pairs, `rows` of them at a time, and what that cost; no evaluation without pairs.
///
/// # Errors
/// If a score is not a number.
///
/// # Panics
/// If the objective has a margin for each pair and the data has none.
pub fn evaluate(
    model: &ScalarModel,
    objective: &RewardObjective,
    pairs: Judged<'_>,
    rows: usize,
) -> Result<(Option<Evaluation>, Work), TrainError> {
    let read = pairs.pairs.iter().map(tokens).sum();
    let evaluation = measure(model, objective, pairs, rows);
    let evaluation = evaluation.map_err(|loss| TrainError::Diverged {
        update: 0,
        quantity: Metric::EvalLoss.tag(),
        value: loss,
    })?;
    Ok((evaluation, Work::forward(read, scalar_parameters(model))))
}

/// The evaluation of a model without autodiff on pairs; the mean loss where a score is not a number.
fn measure(
    model: &ScalarModel,
    objective: &RewardObjective,
    pairs: Judged<'_>,
    rows: usize,
) -> Result<Option<Evaluation>, f64> {
    if pairs.pairs.is_empty() {
        return Ok(None);
    }
    let all: Vec<usize> = (0..pairs.pairs.len()).collect();
    let mut measured = RewardUpdate::default();
    for micro in all.chunks(rows) {
        let (losses, scores) = losses(model, objective, micro, pairs);
        measured.extend(read_together(&[losses, scores.chosen, scores.rejected]));
    }
    let lengths = |of: fn(&TokenPair) -> usize| pairs.pairs.iter().map(of).collect();
    let lengths = Pair {
        chosen: lengths(|pair| pair.chosen.len()),
        rejected: lengths(|pair| pair.rejected.len()),
    };
    let loss = mean(&measured.losses);
    Evaluation::of(
        measured.scores,
        &lengths,
        &measured.losses,
        pairs.gold_margins,
    )
    .map(Some)
    .map_err(|_| loss)
}

/// Losses and scores of some pairs, `[b]` each.
fn losses(
    model: &ScalarModel,
    objective: &RewardObjective,
    taken: &[usize],
    data: Judged<'_>,
) -> (Tensor<1>, Pair<Tensor<1>>) {
    let scores = scores_of(model, taken, data.pairs);
    let strengths = objective.needs_strengths().then(|| {
        let margins = data.gold_margins.expect("the strength of each preference");
        let strengths: Vec<f32> = taken.iter().map(|&index| margins[index] as f32).collect();
        let data = TensorData::new(strengths, [taken.len()]);
        Tensor::<1>::from_data(data, (&model.device(), DType::F32))
    });
    (pair_losses(objective, &scores, strengths.as_ref()), scores)
}

/// Scores of some pairs, `[b]` each: one pass over both sides, in which they share their prompts.
fn scores_of(model: &ScalarModel, taken: &[usize], pairs: &[TokenPair]) -> Pair<Tensor<1>> {
    let side = |pick: fn(&TokenPair) -> &[u32]| {
        taken.iter().map(move |&index| {
            let pair = &pairs[index];
            (pair.prompt.as_slice(), pick(pair))
        })
    };
    let rows: Vec<(&[u32], &[u32])> = side(|pair| &pair.chosen)
        .chain(side(|pair| &pair.rejected))
        .collect();
    let both = model.completion_scores(&Completions::new(&rows, &model.device()));
    let b = taken.len();
    Pair {
        chosen: both.clone().narrow(0, 0, b),
        rejected: both.narrow(0, b, b),
    }
}

/// Tokens that training reads: the prompt once for each side.
fn tokens(pair: &TokenPair) -> usize {
    2 * pair.prompt.len() + pair.chosen.len() + pair.rejected.len()
}
