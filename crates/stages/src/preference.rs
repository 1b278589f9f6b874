//! Training an arm of the DPO family.

use burn::module::Module;
use preflab_config::DpoSettings;
use preflab_data::TokenPair;
use preflab_dpo::dynamics::Probes;
use preflab_dpo::{DpoTrainer, Monitoring, ReferenceLogps, ScoredPairs};
use preflab_experiment::StageKind;
use preflab_metrics::Sink;
use preflab_training::{Minibatches, Order, Stream, policy_parameters};

use crate::artifacts::read_rows;
use crate::budget::updates;
use crate::pairs::JudgedPair;
use crate::runner::{Given, HELD_OUT, HELD_OUT_LOGPS, LOGPS, PAIRS, Run};
use crate::{StageError, models};

/// Pairs whose reference log-probabilities are computed again before training starts.
const CHECKED: usize = 4;

/// Pairs with their reference log-probabilities, read back.
struct Read {
    tokens: Vec<TokenPair>,
    gaps: Vec<f64>,
    reference: Vec<ReferenceLogps>,
    unseen: Vec<Option<Vec<u32>>>,
}

impl Read {
    fn new(run: &Run<'_>, pairs: &str, logps: &str) -> Result<Self, StageError> {
        let judged: Vec<JudgedPair> = run.judged(pairs)?;
        let reference = read_rows(&run.job.input(StageKind::ReferenceLogps).join(logps))?;
        Ok(Self {
            gaps: judged
                .iter()
                .map(|pair| pair.gold.chosen - pair.gold.rejected)
                .collect(),
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
            score_gaps: Some(&self.gaps[..count]),
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
    let (start, config) = models::load(run.job.input(StageKind::Sft), &device)?;
    let pairs = Read::new(run, PAIRS, LOGPS)?;
    let held_out = Read::new(run, HELD_OUT, HELD_OUT_LOGPS)?;

    let batch = settings.batch_size.get();
    let tokens: usize = pairs
        .tokens
        .iter()
        .map(|pair| 2 * pair.prompt.len() + pair.chosen.len() + pair.rejected.len())
        .sum();
    let per_update = tokens as f64 / pairs.tokens.len() as f64 * batch as f64;
    let updates = updates(
        &run.settings().budget,
        per_update,
        policy_parameters(&start),
    )?;
    let order = Order::Shuffled(Minibatches::new(run.streams(), pairs.tokens.len(), batch));
    let monitoring = run.settings().monitoring;
    let watched = monitoring.probes.get().min(pairs.tokens.len());
    let probes = Probes::new(
        &pairs.tokens[..watched],
        &pairs.unseen[..watched],
        0,
        data.tokenizer().vocabulary(),
        &mut run.streams().rng(Stream::Probes, 0),
    );
    let watch = Monitoring {
        held_out: held_out.first(watched),
        probe_pairs: pairs.first(watched),
        probes: &probes,
        every: monitoring.every.get(),
    };
    let trainer = DpoTrainer::new(start, settings, order, updates);
    trainer.check_start(pairs.first(usize::MAX), CHECKED)?;
    let trained = trainer.run(updates, pairs.first(usize::MAX), watch, log, run)?;
    let work = trained.work();
    let policy = trained.into_policy().valid();
    models::save(&policy, &config, data.tokenizer(), run.job.directory)?;
    Ok(Given {
        work,
        ..Given::default()
    })
}
