//! The trainer of reward models.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{DType, Tensor, TensorData};
use preflab_config::{RewardMargin, RewardObjective, RewardSettings};
use preflab_data::{Pair, TokenPair};
use preflab_metrics::{Metric, Sink};
use preflab_stats::mean;
use preflab_training::{
    Accumulated, Optimizer, OptimizerProgress, Order, Snapshot, StateError, StateReader,
    StateWriter, TrainError, Trained, Watch, Work, scalar_parameters,
};
use preflab_transformer::{Completions, ScalarModel};
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
    parameters: usize,
    work: Work,
}

/// Name of the model in a state.
const MODEL: &str = "model";

/// What a state holds besides tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    optimizer: OptimizerProgress,
    work: Work,
}

impl Snapshot for RewardTrainer {
    fn save_state(&self, directory: &Path) -> Result<(), StateError> {
        let state = StateWriter(directory);
        state.learner(MODEL, &self.model, &self.optimizer)?;
        state.values(&State {
            optimizer: self.optimizer.progress(),
            work: self.work,
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
            work: Work::default(),
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
    /// Returns the model, the last evaluation (none without held-out pairs) and what training cost.
    ///
    /// # Errors
    /// If the log cannot be written, `watch` asked to stop, or a loss or score is no longer a number.
    pub fn run(
        mut self,
        data: Judged<'_>,
        held_out: Judged<'_>,
        log: &mut dyn Sink,
        watch: &dyn Watch,
    ) -> Result<(ScalarModel, Option<Evaluation>, Work), TrainError> {
        let mut evaluation = match watch.resume_from() {
            Some(state) => {
                self.restore(&state)?;
                self.evaluate(held_out)?
            }
            None => self.look(0, held_out, log)?,
        };
        for update in self.optimizer.updates()..self.updates {
            if watch.stop() {
                return Err(TrainError::Stopped);
            }
            let taken = self.order.update(update);
            let measured = self.step(&taken, data);
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
                evaluation = self.look(done, held_out, log)?;
                let note = format!("loss {loss:.3} accuracy {:.2}", accuracy(&measured.scores));
                watch.progress(done as u64, self.updates as u64, &note);
            }
            if watch.between(done as u64, &self, log)?.is_break() {
                break;
            }
        }
        log.flush()?;
        Ok((self.model, evaluation, self.work))
    }

    fn restore(&mut self, directory: &Path) -> Result<(), StateError> {
        let state = StateReader(directory);
        let State { optimizer, work } = state.values()?;
        self.optimizer.set_progress(optimizer);
        self.model = state.learner(MODEL, self.model.clone(), &mut self.optimizer)?;
        self.work = work;
        Ok(())
    }

    /// One update on the pairs with these indices.
    ///
    /// # Panics
    /// If the objective has a margin for each pair and the data has none.
    pub fn step(&mut self, taken: &[usize], data: Judged<'_>) -> RewardUpdate {
        let mut gradients = Accumulated::new();
        let mut measured = RewardUpdate::default();
        for micro in taken.chunks(self.micro_batch) {
            let (losses, scores) = self.losses(&self.model, micro, data);
            measured.extend(&losses, &scores);
            gradients.add(&self.model, (losses.sum() / taken.len() as f64).backward());
        }
        let (model, update) = self.optimizer.step(self.model.clone(), gradients.take());
        self.model = model;
        measured.grad_norm = update.grad_norm();
        measured.learning_rate = update.learning_rate;
        let tokens = taken.iter().map(|&index| tokens(&data.pairs[index])).sum();
        self.work += Work {
            updates: 1,
            ..Work::training(tokens, self.parameters)
        };
        measured
    }

    /// Losses and scores of some pairs, `[b]` each.
    fn losses(
        &self,
        model: &ScalarModel,
        taken: &[usize],
        data: Judged<'_>,
    ) -> (Tensor<1>, Pair<Tensor<1>>) {
        let side = |pick: fn(&TokenPair) -> &[u32]| {
            taken.iter().map(move |&index| {
                let pair = &data.pairs[index];
                (pair.prompt.as_slice(), pick(pair))
            })
        };
        let rows: Vec<(&[u32], &[u32])> = side(|pair| &pair.chosen)
            .chain(side(|pair| &pair.rejected))
            .collect();
        let device = model.device();
        let both = model.completion_scores(&Completions::new(&rows, &device));
        let b = taken.len();
        let scores = Pair {
            chosen: both.clone().narrow(0, 0, b),
            rejected: both.narrow(0, b, b),
        };
        let strengths = self.strengths(taken, data).map(|strengths| {
            Tensor::<1>::from_data(TensorData::new(strengths, [b]), (&device, DType::F32))
        });
        (
            pair_losses(&self.objective, &scores, strengths.as_ref()),
            scores,
        )
    }

    /// The strength of each preference, where the objective has a margin for each pair.
    fn strengths(&self, taken: &[usize], data: Judged<'_>) -> Option<Vec<f32>> {
        match &self.objective {
            RewardObjective::BradleyTerry(settings) => match settings.margin {
                RewardMargin::PerPair(_) => {
                    let margins = data.gold_margins.expect("the strength of each preference");
                    Some(taken.iter().map(|&index| margins[index] as f32).collect())
                }
                RewardMargin::None | RewardMargin::Constant(_) => None,
            },
            RewardObjective::LogExp | RewardObjective::PlackettLuce => None,
        }
    }

    /// The model as it is now, on pairs it does not train on; `None` if there are none.
    ///
    /// # Errors
    /// If a score is no longer a number.
    pub fn evaluate(&self, held_out: Judged<'_>) -> Result<Option<Evaluation>, TrainError> {
        if held_out.pairs.is_empty() {
            return Ok(None);
        }
        let model = self.model.valid();
        let all: Vec<usize> = (0..held_out.pairs.len()).collect();
        let mut measured = RewardUpdate::default();
        for micro in all.chunks(self.micro_batch) {
            let (losses, scores) = self.losses(&model, micro, held_out);
            measured.extend(&losses, &scores);
        }
        let lengths = Pair {
            chosen: held_out
                .pairs
                .iter()
                .map(|pair| pair.chosen.len())
                .collect(),
            rejected: held_out
                .pairs
                .iter()
                .map(|pair| pair.rejected.len())
                .collect(),
        };
        let loss = mean(&measured.losses);
        Evaluation::of(
            measured.scores,
            &lengths,
            &measured.losses,
            held_out.gold_margins,
        )
        .map(Some)
        .map_err(|_| TrainError::Diverged {
            update: self.optimizer.updates(),
            quantity: Metric::EvalLoss.tag(),
            value: loss,
        })
    }

    fn look(
        &self,
        done: usize,
        held_out: Judged<'_>,
        log: &mut dyn Sink,
    ) -> Result<Option<Evaluation>, TrainError> {
        let evaluation = self.evaluate(held_out)?;
        if let Some(evaluation) = &evaluation {
            evaluation.record(done as u64, log)?;
        }
        Ok(evaluation)
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
                (
                    Metric::Epoch,
                    (done * self.batch) as f64 / self.pairs as f64,
                ),
            ],
        )?;
        Ok(())
    }
}

impl RewardUpdate {
    fn extend(&mut self, losses: &Tensor<1>, scores: &Pair<Tensor<1>>) {
        let numbers =
            |tensor: &Tensor<1>| tensor.clone().into_data().iter::<f64>().collect::<Vec<_>>();
        self.losses.extend(numbers(losses));
        self.scores.chosen.extend(numbers(&scores.chosen));
        self.scores.rejected.extend(numbers(&scores.rejected));
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

/// Tokens that training reads: the prompt once for each side.
fn tokens(pair: &TokenPair) -> usize {
    2 * pair.prompt.len() + pair.chosen.len() + pair.rejected.len()
}
