//! The reward model: trained on the pairs that the DPO family trains on, from the same start.

use preflab_config::{LoraSettings, RewardArmSettings, RewardObjective, RewardSettings};
use preflab_data::{TokenExample, TokenPair};
use preflab_experiment::StageKind;
use preflab_metrics::{Metric, Sink};
use preflab_reward::{
    Evaluation, Judged, Normalisation, RewardRun, RewardTrainer, evaluate, scores,
};
use preflab_tasks::Split;
use preflab_training::{Minibatches, Order, Stream, Work, scalar_parameters};
use preflab_transformer::checkpoint::Config;
use preflab_transformer::lora::merged;
use preflab_transformer::{CausalLm, ScalarModel};

use crate::artifacts::{read_rows, write_rows};
use crate::budget::{tokens_of_update, updates};
use crate::pairs::{JudgedPair, gold_margins};
use crate::preference::without_strengths;
use crate::runner::{Given, HELD_OUT, PAIRS, REWARD_ADAPTER, ROWS, Run};
use crate::{StageError, TaskData, models};

/// File with the [`Normalisation`] of the scores.
const NORMALISATION: &str = "normalisation.jsonl";

/// References that scores are normalised on.
const REFERENCES: usize = 256;

/// A reward model before training, with the pairs it is trained on and watched on.
struct Start {
    data: TaskData,
    model: ScalarModel,
    config: Config,
    train: Known,
    held_out: Known,
}

/// Pairs, and how much better their chosen sides are where that is known.
struct Known {
    pairs: Vec<TokenPair>,
    gold: Option<Vec<f64>>,
}

impl Known {
    fn new(judged: Vec<JudgedPair>) -> Self {
        Self {
            gold: gold_margins(&judged),
            pairs: judged.into_iter().map(|pair| pair.tokens).collect(),
        }
    }

    /// The first `count` of them.
    fn first(&self, count: usize) -> Judged<'_> {
        let count = count.min(self.pairs.len());
        Judged {
            pairs: &self.pairs[..count],
            gold_margins: self.gold.as_ref().map(|gold| &gold[..count]),
        }
    }
}

impl Start {
    fn new(
        run: &Run<'_>,
        objective: &RewardObjective,
        lora: Option<&LoraSettings>,
    ) -> Result<Self, StageError> {
        let device = run.device.clone().autodiff();
        let (start, config) = run.load::<CausalLm>(StageKind::Sft, &device)?;
        // N+ detail: the head starts at standard deviation 1 / sqrt(d + 1).
        let deviation = 1.0 / (start.architecture().width as f64 + 1.0).sqrt();
        let seed = run.streams().at(Stream::Init, 2);
        let model = ScalarModel::from_decoder(&start.decoder, deviation, seed);
        let model = run.to_train(model, &config, lora, REWARD_ADAPTER)?;
        let (train, held_out) = (
            Known::new(run.judged(PAIRS)?),
            Known::new(run.judged(HELD_OUT)?),
        );
        if objective.needs_strengths() && (train.gold.is_none() || held_out.gold.is_none()) {
            return Err(without_strengths());
        }
        Ok(Self {
            data: run.data()?,
            model,
            config,
            train,
            held_out,
        })
    }
}

/// Trains and saves the reward model that arms share.
pub(crate) fn train(run: &Run<'_>) -> Result<Given, StageError> {
    let settings = &run.settings().reward;
    let start = Start::new(run, &settings.objective, settings.lora.as_ref())?;
    let pairs = start.train.pairs.len();
    let batch = settings.batch_size.get();
    let order = Order::Shuffled(Minibatches::new(run.streams(), pairs, batch));
    let trainer = RewardTrainer::new(start.model, settings, order, pairs);
    let mut log = run.log()?;
    let RewardRun {
        model,
        evaluation,
        work,
        ..
    } = trainer.run(
        start.train.first(usize::MAX),
        start.held_out.first(usize::MAX),
        &mut log,
        run,
    )?;
    let model = merged(&model);

    let mut given = Given {
        work,
        ..Given::default()
    };
    let references = references(&start.data)?;
    let (raw, work) = scores(&model, &references, ROWS);
    given.work += work;
    write_rows(
        &run.job.directory.join(NORMALISATION),
        &[Normalisation::of(&raw, settings.normalise)],
    )?;
    models::save(
        &model,
        &start.config,
        start.data.tokenizer(),
        run.job.directory,
    )?;
    if let Some(evaluation) = &evaluation {
        measure(&mut given, evaluation);
    }
    Ok(given)
}

fn measure(given: &mut Given, evaluation: &Evaluation) {
    given.measure(Metric::EvalAccuracy, evaluation.accuracy);
    given.measure(Metric::EvalMargin, evaluation.margin);
    given.measure(Metric::EvalLoss, evaluation.loss);
    given.measure(Metric::EvalEce, evaluation.calibration_error);
    given.measure(Metric::EvalLengthCorrelation, evaluation.length_correlation);
}

/// Trains and saves the reward model of an arm that is one: as long as the budget says, with its accuracy followed at the
/// updates at which the DPO family's is.
pub(crate) fn train_arm(
    run: &Run<'_>,
    method: &RewardArmSettings,
    log: &mut dyn Sink,
) -> Result<Given, StageError> {
    let start = Start::new(run, &method.objective, run.settings().lora.as_ref())?;
    let monitoring = run.settings().monitoring;
    let settings = RewardSettings {
        objective: method.objective,
        batch_size: method.batch_size,
        micro_batch_size: method.micro_batch_size,
        optimizer: method.optimizer,
        evaluate_every: monitoring.every,
        ..RewardSettings::default()
    };
    let pairs = start.train.pairs.len();
    let batch = settings.batch_size.get();
    let budget = &run.settings().budget;
    let updates = updates(
        budget,
        tokens_of_update(&start.train.pairs, batch),
        scalar_parameters(&start.model),
    )?;
    let order = Order::Shuffled(Minibatches::new(run.streams(), pairs, batch));
    let watched = monitoring.accuracy_pairs();
    let trainer =
        RewardTrainer::for_updates(start.model, &settings, order, pairs, updates).watching(watched);
    let trained = trainer.run(
        start.train.first(usize::MAX),
        start.held_out.first(watched),
        log,
        run,
    )?;
    models::save(
        &trained.model,
        &start.config,
        start.data.tokenizer(),
        run.job.directory,
    )?;
    let mut given = Given {
        work: trained.work,
        ..Given::default()
    };
    for (metric, value) in trained.accuracy.summary() {
        given.measure(metric, value);
    }
    Ok(given)
}

/// The trained reward model of an arm, on every held-out pair.
pub(crate) fn evaluate_arm(run: &Run<'_>, method: &RewardArmSettings) -> Result<Given, StageError> {
    let held_out = Known::new(run.judged(HELD_OUT)?);
    let (model, _) = run.load::<ScalarModel>(StageKind::Training, run.device)?;
    let (evaluation, work) = evaluate(&model, &method.objective, held_out.first(usize::MAX), ROWS)?;
    let mut given = Given {
        work,
        ..Given::default()
    };
    let Some(evaluation) = evaluation else {
        return Ok(given);
    };
    measure(&mut given, &evaluation);
    let right = evaluation.margins().into_iter();
    let right = right.map(|margin| f64::from(u8::from(margin > 0.0)));
    given
        .per_prompt
        .insert(Metric::EvalAccuracy.tag().to_owned(), right.collect());
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
        let (model, _) = run.load(StageKind::RewardModel, run.device)?;
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
