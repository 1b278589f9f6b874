//! The DPO family.

use burn::module::Module;
use preflab_config::{Count, DpoSettings, Passes};
use preflab_dpo::detector::Thresholds;
use preflab_dpo::dynamics::{Dynamics, Probes};
use preflab_dpo::{AccuracyPairs, DpoTrainer, Monitoring, Needs, ScoredRows, score_rows};
use preflab_training::{Minibatches, Order, Stream};
use preflab_transformer::CausalLm;

use super::session::Model;
use super::{POLICY_ADAPTER, Run, Summary, margins, need_margins, pair_lengths, prompts_of};
use crate::memory::largest_pass;
use crate::start::{Start, Words};
use crate::{FinetuneError, reference};

/// Pairs whose log-probs are watched in detail.
const PROBES: usize = 32;

/// Pairs whose reference log-probs are computed again before training starts.
const CHECKED: usize = 4;

impl Run<'_> {
    pub(super) fn dpo(
        &self,
        settings: &DpoSettings,
        passes: &Passes,
    ) -> Result<Summary, FinetuneError> {
        let Start {
            policy,
            config,
            words,
        } = self.start()?;
        let max_length = self.max_length(policy.architecture().context)?;
        let data = self.reading(&words, max_length).pairs()?;
        let (train, held_out) = (&data.train.tokens, &data.held_out.tokens);
        let gaps = [&data.train, &data.held_out].map(|rows| margins(&rows.notes));
        let [train_gaps, held_out_gaps] = &gaps;
        if Needs::of(&settings.objective).score_gaps {
            need_margins(&[train_gaps, held_out_gaps])?;
        }
        let other = self.other_reference(&words)?;
        let policy = self.precise(policy);
        let learner = self.to_train(policy.clone(), &config, POLICY_ADAPTER)?;
        let batch = settings.batch_size.get();
        let micro = settings.micro_batch_size.map_or(batch, Count::get);
        let reference = other.as_ref().unwrap_or(&policy);
        let longest = self.read(train.longest(micro.max(reference::ROWS)))?;
        self.say_memory_beside(
            &policy,
            other.as_ref(),
            longest.iter().map(pair_lengths),
            micro,
        );
        let logps = reference::of(
            &self.directory,
            reference,
            train.into(),
            held_out.into(),
            |reference, pairs, keep| {
                score_rows(reference, pairs, reference::ROWS, keep).map(|_| ())
            },
            self.observer,
        )?;
        let is_start = other.is_none();
        drop(other);
        let scored = ScoredRows {
            pairs: train.into(),
            reference: (&logps.train).into(),
            score_gaps: train_gaps.as_deref(),
        };
        let held_out_rows = ScoredRows {
            pairs: held_out.into(),
            reference: (&logps.held_out).into(),
            score_gaps: held_out_gaps.as_deref(),
        };
        // What training is watched on is in memory.
        let first = |rows: &ScoredRows<'_>, most: usize| {
            let places: Vec<usize> = (0..most.min(rows.pairs.len())).collect();
            self.read(rows.taken(&places))
        };
        let seen = first(&scored, PROBES.max(held_out.len()))?;
        let watched = PROBES.min(train.len());
        let held_out_pairs = first(&held_out_rows, usize::MAX)?;
        let updates = passes.updates(train.len(), batch);
        let probes = Probes::new(
            &seen.scored().pairs[..watched],
            &vec![None; watched],
            0,
            words.tokenizer.vocabulary(),
            &mut self.streams().rng(Stream::Probes, 0),
        );
        let dynamics = Dynamics::new(probes, &policy.valid());
        drop(policy);
        let monitoring = Monitoring {
            held_out: held_out_pairs.scored(),
            probe_pairs: seen.scored().first(watched),
            dynamics: &dynamics,
            accuracy: AccuracyPairs {
                held_out: held_out_pairs.scored(),
                train: seen.scored().first(held_out.len()),
            },
            every: self.request().settings.evaluate_every.get(),
            answers: None,
            first: 0,
        };
        let order = Order::Shuffled(Minibatches::new(self.streams(), train.len(), batch));
        let trainer = DpoTrainer::new(learner, settings, order, updates);
        if is_start {
            trainer.check_start(scored, CHECKED).map_err(|error| {
                FinetuneError::refused(error.to_string(), "delete the run's directory")
            })?;
        }
        let prompts = self.read(prompts_of([held_out.into(), train.into()]))?;
        let answers = self.answers(&words, prompts, &[], None, None);
        let mut session = self.session(&config, &words, &answers)?;
        let trained = trainer.run(
            updates,
            scored,
            monitoring,
            &mut session.log,
            &session.keeper,
        )?;
        trained
            .trace()
            .conclude(&Thresholds::per_token(), &mut session.log)?;
        let policy = trained.into_policy();
        self.finish(session, &Model::Policy(policy), &data.report, None)
    }

    /// Says what a trained policy takes, and its reference while it is read: `other`, or the start itself.
    ///
    /// - `lengths`: tokens of each row, and those of them that are completions.
    /// - `micro`: rows of a pass of training.
    pub(super) fn say_memory_beside(
        &self,
        policy: &CausalLm,
        other: Option<&CausalLm>,
        lengths: impl Iterator<Item = (usize, usize)> + Clone,
        micro: usize,
    ) {
        let reference = other.unwrap_or(policy);
        self.say_memory(vec![
            self.way(policy.architecture()).trained(
                "policy",
                self.lora(),
                largest_pass(lengths.clone(), micro),
                true,
            ),
            self.way(reference.architecture()).read(
                "reference",
                other.is_none(),
                largest_pass(lengths, reference::ROWS),
            ),
        ]);
    }

    /// The reference, where it is another model than the start.
    pub(super) fn other_reference(&self, words: &Words) -> Result<Option<CausalLm>, FinetuneError> {
        let Some(directory) = &self.request().settings.reference_model else {
            return Ok(None);
        };
        let other = Start::load(directory, self.device)?;
        if other.words.tokenizer.to_json()? != words.tokenizer.to_json()? {
            return Err(FinetuneError::refused(
                format!(
                    "the reference `{}` has another tokenizer than the model",
                    directory.display()
                ),
                "a reference gives log-probs to the very tokens of the policy: take a model of the same family",
            ));
        }
        Ok(Some(self.precise(other.policy)))
    }
}
