//! The reward model: trained on the pairs that the DPO family trains on, from the same start.

use burn::module::Module;
use preflab_data::TokenExample;
use preflab_experiment::StageKind;
use preflab_metrics::Metric;
use preflab_reward::{Judged, Normalisation, RewardTrainer, scores};
use preflab_tasks::Split;
use preflab_training::{Minibatches, Order, Stream, Work};
use preflab_transformer::{CausalLm, ScalarModel};

use crate::artifacts::{read_rows, write_rows};
use crate::pairs::JudgedPair;
use crate::runner::{Given, HELD_OUT, PAIRS, ROWS, Run};
use crate::{StageError, TaskData, models};

/// File with the [`Normalisation`] of the scores.
const NORMALISATION: &str = "normalisation.jsonl";

/// References that scores are normalised on.
const REFERENCES: usize = 256;

/// Trains and saves the reward model.
pub(crate) fn train(run: &Run<'_>) -> Result<Given, StageError> {
    let data = run.data()?;
    let settings = &run.settings().reward;
    let device = run.device.clone().autodiff();
    let (start, config) = models::load::<CausalLm>(run.job.input(StageKind::Sft), &device)?;
    // N+ detail: the head starts at standard deviation 1 / sqrt(d + 1).
    let deviation = 1.0 / (start.architecture().width as f64 + 1.0).sqrt();
    let seed = run.streams().at(Stream::Init, 2);
    let model = ScalarModel::from_decoder(&start.decoder, deviation, seed);

    let (train, held_out) = (run.judged(PAIRS)?, run.judged(HELD_OUT)?);
    let margins = |pairs: &[JudgedPair]| -> Vec<f64> {
        pairs
            .iter()
            .map(|pair| pair.gold.chosen - pair.gold.rejected)
            .collect()
    };
    let (gold, held_out_gold) = (margins(&train), margins(&held_out));
    let tokens = |pairs: Vec<JudgedPair>| {
        pairs
            .into_iter()
            .map(|pair| pair.tokens)
            .collect::<Vec<_>>()
    };
    let (train, held_out) = (tokens(train), tokens(held_out));
    let batch = settings.batch_size.get();
    let order = Order::Shuffled(Minibatches::new(run.streams(), train.len(), batch));
    let trainer = RewardTrainer::new(model, settings, order, train.len());
    let judged = Judged {
        pairs: &train,
        gold_margins: Some(&gold),
    };
    let watched = Judged {
        pairs: &held_out,
        gold_margins: Some(&held_out_gold),
    };
    let mut log = run.log()?;
    let (model, evaluation, work) = trainer.run(judged, watched, &mut log, run)?;
    let model = model.valid();

    let mut given = Given {
        work,
        ..Given::default()
    };
    let references = references(&data)?;
    let (raw, work) = scores(&model, &references, ROWS);
    given.work += work;
    write_rows(
        &run.job.directory.join(NORMALISATION),
        &[Normalisation::of(&raw, settings.normalise)],
    )?;
    models::save(&model, &config, data.tokenizer(), run.job.directory)?;
    if let Some(evaluation) = evaluation {
        given.measure(Metric::EvalAccuracy, evaluation.accuracy);
        given.measure(Metric::EvalMargin, evaluation.margin);
        given.measure(Metric::EvalLoss, evaluation.loss);
        given.measure(Metric::EvalEce, evaluation.calibration_error);
        given.measure(Metric::EvalLengthCorrelation, evaluation.length_correlation);
    }
    Ok(given)
}

fn references(data: &TaskData) -> Result<Vec<TokenExample>, StageError> {
    let mut references = data.examples(Split::Train)?;
    references.truncate(REFERENCES);
    Ok(references)
}

/// A trained reward model with its normalisation.
pub(crate) struct TrainedReward {
    pub model: ScalarModel,
    pub normalisation: Normalisation,
}

impl TrainedReward {
    /// The reward model that the stage of the run's inputs left.
    pub fn load(run: &Run<'_>) -> Result<Self, StageError> {
        let directory = run.job.input(StageKind::RewardModel);
        let path = directory.join(NORMALISATION);
        let [normalisation]: [Normalisation; 1] =
            read_rows(&path)?
                .try_into()
                .map_err(|_| StageError::Damaged {
                    path,
                    problem: "expected one line".to_owned(),
                })?;
        let (model, _) = models::load(directory, run.device)?;
        Ok(Self {
            model,
            normalisation,
        })
    }

    /// Normalised scores of prompts with completions, and what they cost.
    pub fn rewards(&self, examples: &[TokenExample]) -> (Vec<f64>, Work) {
        let (raw, work) = scores(&self.model, examples, ROWS);
        let rewards = raw.into_iter().map(|score| self.normalisation.apply(score));
        (rewards.collect(), work)
    }
}
