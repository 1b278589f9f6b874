//! Training an arm of the DPO family.

use burn::module::Module;
use preflab_config::DpoSettings;
use preflab_data::TokenPair;
use preflab_dpo::detector::Thresholds;
use preflab_dpo::dynamics::{Dynamics, Probes};
use preflab_dpo::{AccuracyPairs, DpoTrainer, Monitoring, Needs, ReferenceLogps, ScoredPairs};
use preflab_experiment::StageKind;
use preflab_metrics::Sink;
use preflab_training::{Minibatches, Order, Stream, policy_parameters};
use preflab_transformer::CausalLm;

use crate::answers::ValidationAnswers;
use crate::artifacts::read_rows;
use crate::budget::{tokens_of_update, updates};
use crate::pairs::{JudgedPair, gold_margins};
use crate::runner::{Given, HELD_OUT, HELD_OUT_LOGPS, LOGPS, PAIRS, POLICY_ADAPTER, Run};
use crate::{StageError, TaskData, models};

/// Pairs whose reference log-probabilities are computed again before training starts.
const CHECKED: usize = 4;

/// Pairs with their reference log-probabilities, read back.
struct Read {
    tokens: Vec<TokenPair>,
    gaps: Option<Vec<f64>>,
    reference: Vec<ReferenceLogps>,
    unseen: Vec<Option<Vec<u32>>>,
}

impl Read {
    fn new(run: &Run<'_>, pairs: &str, logps: &str) -> Result<Self, StageError> {
        let judged: Vec<JudgedPair> = run.judged(pairs)?;
        let reference = read_rows(&run.job.input(StageKind::ReferenceLogps).join(logps))?;
        Ok(Self {
            gaps: gold_margins(&judged),
            unseen: judged.iter().map(|pair| pair.unseen.clone()).collect(),
            tokens: judged.into_iter().map(|pair| pair.tokens).collect(),
            reference,
        })
    }

    fn first(&self, count: usize) -> ScoredPairs<'_> {
        let count = count.min(self.tokens.len());
        ScoredPairs {
            pairs: &self.tokens[..count],
            reference: &self.reference[..count],
            score_gaps: self.gaps.as_ref().map(|gaps| &gaps[..count]),
        }
    }
}

/// Trains the arm from the supervised start and saves its policy.
pub(crate) fn train(
    run: &Run<'_>,
    settings: &DpoSettings,
    log: &mut dyn Sink,
) -> Result<Given, StageError> {
    let data = run.data()?;
    let device = run.device.clone().autodiff();
    let (start, config) = run.load(StageKind::Sft, &device)?;
    let lora = run.settings().lora.as_ref();
    let start: CausalLm = run.to_train(start, &config, lora, POLICY_ADAPTER)?;
    let pairs = Read::new(run, PAIRS, LOGPS)?;
    let held_out = Read::new(run, HELD_OUT, HELD_OUT_LOGPS)?;
    if Needs::of(&settings.objective).score_gaps
        && (pairs.gaps.is_none() || held_out.gaps.is_none())
    {
        return Err(without_strengths());
    }

    let batch = settings.batch_size.get();
    let updates = updates(
        &run.settings().budget,
        tokens_of_update(&pairs.tokens, batch),
        policy_parameters(&start),
    )?;
    let order = Order::Shuffled(Minibatches::new(run.streams(), pairs.tokens.len(), batch));
    let monitoring = run.settings().monitoring;
    let watched = monitoring.probes.get().min(pairs.tokens.len());
    let probes = probes(
        &pairs.tokens[..watched],
        &pairs.unseen[..watched],
        &data,
        run,
    );
    let dynamics = Dynamics::new(probes, &start.valid());
    let answers = ValidationAnswers::new(&data, run)?;
    let watch = Monitoring {
        held_out: held_out.first(watched),
        probe_pairs: pairs.first(watched),
        dynamics: &dynamics,
        accuracy: AccuracyPairs {
            held_out: held_out.first(monitoring.accuracy_pairs()),
            train: pairs.first(monitoring.accuracy_pairs()),
        },
        every: monitoring.every.get(),
        answers: Some(&answers),
        first: 0,
    };
    let trainer = DpoTrainer::new(start, settings, order, updates);
    trainer.check_start(pairs.first(usize::MAX), CHECKED)?;
    let trained = trainer.run(updates, pairs.first(usize::MAX), watch, log, run)?;
    let mut given = Given {
        work: trained.work(),
        ..Given::default()
    };
    let verdict = trained.trace().conclude(&Thresholds::per_token(), log)?;
    for (metric, value) in verdict.into_iter().chain(trained.accuracy().summary()) {
        given.measure(metric, value);
    }
    let policy = trained.into_policy();
    models::save(&policy, &config, data.tokenizer(), run.job.directory)?;
    Ok(given)
}

/// Why an objective that reads how strong each preference is cannot be trained on these pairs.
pub(crate) fn without_strengths() -> StageError {
    StageError::Nothing {
        problem: "the objective reads how much better each chosen answer is, which the pairs do not tell".to_owned(),
        hint: "use data with a column `margin` (or `score_chosen` and `score_rejected`), or another objective".to_owned(),
    }
}

/// Probe rows of `pairs`, each with a sample of the start that no pair holds, where there is one.
pub(crate) fn probes(
    pairs: &[TokenPair],
    unseen: &[Option<Vec<u32>>],
    data: &TaskData,
    run: &Run<'_>,
) -> Probes {
    let mut random = run.streams().rng(Stream::Probes, 0);
    Probes::new(pairs, unseen, 0, data.tokenizer().vocabulary(), &mut random)
}
