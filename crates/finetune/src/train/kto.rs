//! Completions that are wanted or not, each by itself.

use std::borrow::Cow;
use std::io;

use preflab_config::{Count, DpoSettings, Passes};
use preflab_data::{Rows, TokenExample};
use preflab_dpo::{ExampleLogps, JudgedExamples, Unpaired, UnpairedTrainer, example_logps};
use preflab_training::{Minibatches, Order};

use super::session::Model;
use super::{POLICY_ADAPTER, Run, Summary, prompts_of};
use crate::data::Stored;
use crate::start::Start;
use crate::{FinetuneError, reference};

/// How much heavier all wanted completions together may weigh than all unwanted ones: Ethayarajh et al. 2024,
/// arXiv:2402.01306, eq. 8.
const BALANCE: [f64; 2] = [1.0, 4.0 / 3.0];

/// Completions and labels side by side, as the trainer takes them.
struct Examples {
    tokens: Vec<TokenExample>,
    wanted: Vec<bool>,
}

impl Examples {
    fn new(examples: Stored<TokenExample, bool>) -> io::Result<Self> {
        Ok(Self {
            tokens: examples.to_vec()?,
            wanted: examples.notes,
        })
    }

    fn judged<'e>(&'e self, reference: &'e [ExampleLogps]) -> JudgedExamples<'e> {
        JudgedExamples {
            examples: &self.tokens,
            wanted: &self.wanted,
            reference,
        }
    }
}

impl Run<'_> {
    pub(super) fn kto(
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
        let data = self.reading(&words, max_length).judged()?;
        let train = self.read(Examples::new(data.train))?;
        let held_out = self.read(Examples::new(data.held_out))?;
        self.say_balance(settings, &train.wanted);
        let other = self.other_reference(&words)?;
        let policy = self.precise(policy);
        let learner = self.to_train(policy.clone(), &config, POLICY_ADAPTER)?;
        let batch = settings.batch_size.get();
        let micro = settings.micro_batch_size.map_or(batch, Count::get);
        let reference = other.as_ref().unwrap_or(&policy);
        let lengths = train.tokens.iter();
        let lengths = lengths.map(|row| (row.tokens(), row.completion.len()));
        self.say_memory_beside(&policy, other.as_ref(), lengths, micro);
        let logps = reference::of(
            &self.directory,
            reference,
            (&train.tokens).into(),
            (&held_out.tokens).into(),
            |reference, rows: Rows<'_, TokenExample>, keep| {
                let all: Vec<usize> = (0..rows.len()).collect();
                let rows = rows.rows(&all)?;
                let rows: Vec<TokenExample> = rows.into_iter().map(Cow::into_owned).collect();
                let (logps, _) = example_logps(reference, &rows, batch, reference::ROWS);
                logps.into_iter().try_for_each(keep)
            },
            self.observer,
        )?;
        let of_train = self.read(logps.train.iter().collect::<io::Result<Vec<_>>>())?;
        let of_held_out = self.read(logps.held_out.iter().collect::<io::Result<Vec<_>>>())?;
        drop((other, policy));
        let updates = passes.updates(train.tokens.len(), batch);
        let order = Order::Shuffled(Minibatches::new(self.streams(), train.tokens.len(), batch));
        let trainer = UnpairedTrainer::new(learner, settings, order, updates)
            .expect("checked when the settings were read");
        let rows = [(&held_out.tokens).into(), (&train.tokens).into()];
        let prompts = self.read(prompts_of(rows))?;
        let answers = self.answers(&words, prompts, &[], None, None);
        let mut session = self.session(&config, &words, &answers)?;
        let trained = trainer.run(
            updates,
            train.judged(&of_train),
            held_out.judged(&of_held_out),
            self.request().settings.evaluate_every.get(),
            &mut session.log,
            &session.keeper,
        )?;
        let policy = trained.into_policy();
        self.finish(session, &Model::Policy(policy), &data.report, None)
    }

    /// Says how many completions are wanted, and warns where one kind outweighs the other.
    fn say_balance(&self, settings: &DpoSettings, wanted: &[bool]) {
        let desirable = wanted.iter().filter(|wanted| **wanted).count();
        let undesirable = wanted.len() - desirable;
        self.observer
            .note(&format!("data: {desirable} wanted, {undesirable} unwanted"));
        if desirable == 0 || undesirable == 0 {
            self.observer
                .warn("all completions have one label: nothing tells good answers from bad ones");
            return;
        }
        let Ok(Unpaired::Kto(kto)) = Unpaired::of(&settings.objective) else {
            return;
        };
        let weighs = kto.desirable_weight.get() * desirable as f64;
        let against = kto.undesirable_weight.get() * undesirable as f64;
        let [low, high] = BALANCE;
        if !(low * 0.995..=high * 1.005).contains(&(weighs / against)) && desirable != undesirable {
            let per_wanted = against / desirable as f64;
            self.observer.warn(&format!(
                "wanted completions weigh {:.2} times as much as unwanted ones; KTO's authors advise 1 to 4/3: `objective.kto.desirable_weight` from {:.2} to {:.2} gives that",
                weighs / against,
                low * per_wanted,
                high * per_wanted,
            ));
        }
    }
}
