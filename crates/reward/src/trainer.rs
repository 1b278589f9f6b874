//! The trainer of reward models.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use preflab_config::{
    BradleyTerry, RewardMargin, RewardObjective, RewardSettings, ScoreNormalisation,
};
use preflab_data::{Pair, TokenExample, TokenPair};
use preflab_metrics::{Metric, Sink};
use preflab_training::{Accumulated, Optimizer, Order, TrainError, Watch, Work, scalar_parameters};
use preflab_transformer::{Completions, ScalarModel};
use serde::{Deserialize, Serialize};

use crate::evaluation::{Evaluation, evaluate};
use crate::losses::{bradley_terry, centring, log_exp, plackett_luce};

/// Pairs with the strength of each preference.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'p> {
    /// Prompts with both completions.
    pub pairs: &'p [TokenPair],
    /// Gold score of chosen minus rejected, where there is one: the margin of `per-pair`, and buckets of the evaluation.
    pub gold_margins: Option<&'p [f64]>,
}

/// Training a reward model on preference pairs.
///
/// repeat for each update:
///   1  take      the next pairs of the order
///   2  score     r(x, y+), r(x, y-)
///   3  descend   minimise the objective, averaged over the pairs of the update
#[derive(Debug)]
pub struct RewardTrainer {
    model: ScalarModel,
    objective: RewardObjective,
    optimizer: Optimizer,
    micro_batch: usize,
    order: Order,
    updates: usize,
    evaluate_every: usize,
    parameters: usize,
    work: Work,
}

/// What one update measured, before it changed the model. Vectors hold one number a pair.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RewardUpdate {
    /// The objective, centring included.
    pub losses: Vec<f64>,
    /// Scores.
    pub scores: Pair<Vec<f64>>,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
}

/// What turns raw scores into rewards: `(score - mean) / deviation`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Subtracted.
    pub mean: f64,
    /// Divided by.
    pub deviation: f64,
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
            evaluate_every: settings.evaluate_every.get(),
            work: Work::default(),
        }
    }

    /// The model as trained so far.
    pub fn model(&self) -> &ScalarModel {
        &self.model
    }

    /// Updates that will be done in all.
    pub fn updates(&self) -> usize {
        self.updates
    }

    /// All updates, logged, with an evaluation on `held_out` before the first, every so many, and after the last.
    ///
    /// # Errors
    /// If the log cannot be written, `watch` asked to stop, or the loss is no longer a number.
    pub fn run(
        mut self,
        data: Judged<'_>,
        held_out: Judged<'_>,
        log: &mut dyn Sink,
        watch: &dyn Watch,
    ) -> Result<(ScalarModel, Option<Evaluation>, Work), TrainError> {
        let mut last = self.look(0, held_out, log)?;
        for update in 0..self.updates {
            if watch.stop() {
                return Err(TrainError::Stopped);
            }
            let taken = self.order.update(update);
            let measured = self.step(&taken, data);
            let step = update as u64 + 1;
            let loss = mean(&measured.losses);
            self.record(step, &measured, log)?;
            if !loss.is_finite() {
                let quantity = Metric::Loss.tag();
                return Err(TrainError::Diverged {
                    update,
                    quantity,
                    value: loss,
                });
            }
            if (update + 1) % self.evaluate_every == 0 || update + 1 == self.updates {
                last = self.look(step, held_out, log)?;
                let accuracy = last.as_ref().map_or(f64::NAN, |last| last.accuracy);
                let note = format!("loss {loss:.3} held-out accuracy {accuracy:.3}");
                watch.progress(step, self.updates as u64, &note);
            }
        }
        log.flush()?;
        Ok((self.model, last, self.work))
    }

    /// One update on the pairs with these indices.
    pub fn step(&mut self, taken: &[usize], data: Judged<'_>) -> RewardUpdate {
        let mut measured = RewardUpdate::default();
        let mut gradients = Accumulated::new();
        for micro in taken.chunks(self.micro_batch) {
            let scores = self.score(&self.model, micro, data.pairs);
            let losses = self.losses(&scores, micro, data);
            measured.losses.extend(numbers(&losses));
            let Pair { chosen, rejected } = scores.as_ref().map(numbers);
            measured.scores.chosen.extend(chosen);
            measured.scores.rejected.extend(rejected);
            gradients.add(&self.model, (losses.sum() / taken.len() as f64).backward());
        }
        let (model, update) = self.optimizer.step(self.model.clone(), gradients.take());
        self.model = model;
        measured.grad_norm = update.grad_norm();
        measured.learning_rate = update.learning_rate;
        let tokens = taken.iter().map(|&index| {
            let pair = &data.pairs[index];
            2 * pair.prompt.len() + pair.chosen.len() + pair.rejected.len()
        });
        self.work += Work {
            updates: 1,
            ..Work::training(tokens.sum(), self.parameters)
        };
        measured
    }

    fn score(&self, model: &ScalarModel, taken: &[usize], pairs: &[TokenPair]) -> Pair<Tensor<1>> {
        let side = |pick: fn(&TokenPair) -> &Vec<u32>| {
            taken.iter().map(move |&index| {
                let pair = &pairs[index];
                (pair.prompt.as_slice(), pick(pair).as_slice())
            })
        };
        let rows: Vec<(&[u32], &[u32])> = side(|pair| &pair.chosen)
            .chain(side(|pair| &pair.rejected))
            .collect();
        let completions = Completions::right_padded(&rows, &model.device());
        let scores = model.completion_scores(&completions);
        let pairs = taken.len();
        Pair {
            chosen: scores.clone().slice([0..pairs]),
            rejected: scores.slice([pairs..2 * pairs]),
        }
    }

    fn losses(&self, scores: &Pair<Tensor<1>>, taken: &[usize], data: Judged<'_>) -> Tensor<1> {
        match self.objective {
            RewardObjective::BradleyTerry(BradleyTerry {
                margin,
                centre,
                label_smoothing,
            }) => {
                let margins = self.margins(margin, taken, data);
                let losses = bradley_terry(scores, margins, label_smoothing.get());
                match centre.get() {
                    0.0 => losses,
                    weight => losses + centring(scores) * weight,
                }
            }
            RewardObjective::LogExp => log_exp(scores),
            RewardObjective::PlackettLuce => {
                let ranked = vec![scores.chosen.clone(), scores.rejected.clone()];
                plackett_luce(Tensor::stack::<2>(ranked, 1))
            }
        }
    }

    fn margins(
        &self,
        margin: RewardMargin,
        taken: &[usize],
        data: Judged<'_>,
    ) -> Option<Tensor<1>> {
        let tensor = |values: Vec<f32>| {
            let count = values.len();
            Tensor::from_data(TensorData::new(values, [count]), &self.model.device())
        };
        match margin {
            RewardMargin::None => None,
            RewardMargin::Constant(margin) => Some(tensor(vec![margin.get() as f32; taken.len()])),
            RewardMargin::PerPair(scale) => {
                let gold = data.gold_margins.expect("the strength of each preference");
                let margin = |&index: &usize| (gold[index] * scale.get()) as f32;
                Some(tensor(taken.iter().map(margin).collect()))
            }
        }
    }

    fn record(
        &self,
        step: u64,
        measured: &RewardUpdate,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let Pair { chosen, rejected } = &measured.scores;
        let all = || chosen.iter().chain(rejected).copied();
        let right = chosen
            .iter()
            .zip(rejected)
            .filter(|(chosen, rejected)| chosen > rejected);
        log.scalars(
            step,
            &[
                (Metric::Loss, mean(&measured.losses)),
                (Metric::Accuracy, right.count() as f64 / chosen.len() as f64),
                (Metric::Margin, mean(chosen) - mean(rejected)),
                (Metric::ChosenReward, mean(chosen)),
                (Metric::RejectReward, mean(rejected)),
                (Metric::MinReward, all().fold(f64::INFINITY, f64::min)),
                (Metric::MeanReward, (mean(chosen) + mean(rejected)) / 2.0),
                (Metric::MaxReward, all().fold(f64::NEG_INFINITY, f64::max)),
                (Metric::GradNorm, measured.grad_norm),
                (Metric::LearningRate, measured.learning_rate),
                (Metric::NumTokens, self.work.trained_tokens as f64),
            ],
        )?;
        Ok(())
    }

    fn look(
        &self,
        step: u64,
        held_out: Judged<'_>,
        log: &mut dyn Sink,
    ) -> Result<Option<Evaluation>, TrainError> {
        if held_out.pairs.is_empty() {
            return Ok(None);
        }
        let model = self.model.valid();
        let all: Vec<usize> = (0..held_out.pairs.len()).collect();
        let mut scores = Pair::<Vec<f64>>::default();
        for micro in all.chunks(self.micro_batch) {
            let Pair { chosen, rejected } = self
                .score(&model, micro, held_out.pairs)
                .as_ref()
                .map(numbers);
            scores.chosen.extend(chosen);
            scores.rejected.extend(rejected);
        }
        let lengths = |pick: fn(&TokenPair) -> &Vec<u32>| {
            held_out.pairs.iter().map(|pair| pick(pair).len()).collect()
        };
        let lengths = Pair {
            chosen: lengths(|pair| &pair.chosen),
            rejected: lengths(|pair| &pair.rejected),
        };
        let evaluation = evaluate(&scores, &lengths, held_out.gold_margins);
        log.scalars(
            step,
            &[
                (Metric::EvalLoss, evaluation.loss),
                (Metric::EvalAccuracy, evaluation.accuracy),
                (Metric::EvalMargin, evaluation.margin),
                (Metric::EvalChosenReward, evaluation.scores.chosen),
                (Metric::EvalRejectReward, evaluation.scores.rejected),
                (Metric::EvalRewardStd, evaluation.deviation),
                (Metric::EvalEce, evaluation.calibration_error),
                (Metric::EvalBrier, evaluation.brier),
                (Metric::EvalLengthCorrelation, evaluation.length_correlation),
            ],
        )?;
        let buckets = [
            Metric::EvalAccuracySmallMargin,
            Metric::EvalAccuracyMediumMargin,
            Metric::EvalAccuracyLargeMargin,
        ];
        for (metric, bucket) in buckets.into_iter().zip(&evaluation.by_margin) {
            log.scalar(step, metric, bucket.accuracy())?;
        }
        Ok(Some(evaluation))
    }
}

/// Scores of prompts with completions under `model`, `rows` at a time, and what they cost.
pub fn scores(model: &ScalarModel, examples: &[TokenExample], rows: usize) -> (Vec<f64>, Work) {
    let mut work = Work::default();
    let parameters = scalar_parameters(model);
    let mut all = Vec::with_capacity(examples.len());
    for chunk in examples.chunks(rows) {
        let batch: Vec<(&[u32], &[u32])> = chunk
            .iter()
            .map(|example| (example.prompt.as_slice(), example.completion.as_slice()))
            .collect();
        let completions = Completions::right_padded(&batch, &model.device());
        all.extend(numbers(&model.completion_scores(&completions)));
        let tokens = chunk.iter().map(TokenExample::tokens).sum();
        work += Work {
            reward_calls: chunk.len() as u64,
            ..Work::forward(tokens, parameters)
        };
    }
    (all, work)
}

impl Normalisation {
    /// What makes `scores` of reference completions as `how` wants them.
    pub fn of(scores: &[f64], how: ScoreNormalisation) -> Self {
        match how {
            ScoreNormalisation::Off => Self {
                mean: 0.0,
                deviation: 1.0,
            },
            ScoreNormalisation::Centre => Self {
                mean: mean(scores),
                deviation: 1.0,
            },
            ScoreNormalisation::Standardise => {
                let deviation = preflab_stats::sd(scores);
                let deviation = if deviation > 0.0 { deviation } else { 1.0 };
                Self {
                    mean: mean(scores),
                    deviation,
                }
            }
        }
    }

    /// A raw score as a reward.
    pub fn apply(&self, score: f64) -> f64 {
        (score - self.mean) / self.deviation
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn numbers(values: &Tensor<1>) -> Vec<f64> {
    values.clone().into_data().iter::<f64>().collect()
}
