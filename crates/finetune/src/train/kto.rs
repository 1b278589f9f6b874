//! Completions that are wanted or not, each by itself.

use preflab_config::{Count, DpoSettings, Passes};
use preflab_data::TokenExample;
use preflab_dpo::{ExampleLogps, JudgedExamples, Unpaired, UnpairedTrainer, example_logps};
use preflab_training::{Minibatches, Order};

use super::{Model, POLICY_ADAPTER, Run, Summary, longest, prompts_of, role};
use crate::data::PreparedExample;
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
    fn new(examples: Vec<PreparedExample>) -> Self {
        let (tokens, wanted) = examples
            .into_iter()
            .map(|example| (example.tokens, example.wanted))
            .unzip();
        Self { tokens, wanted }
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
        let train = Examples::new(data.train);
        let held_out = Examples::new(data.held_out);
        self.say_balance(settings, &train.wanted);
        let other = self.other_reference(&words)?;
        let policy = self.precise(policy);
        let learner = self.to_train(policy.clone(), &config, POLICY_ADAPTER)?;
        let batch = settings.batch_size.get();
        let micro = settings.micro_batch_size.map_or(batch, Count::get);
        let mut roles = vec![role("policy", &learner, true)];
        roles.extend(other.iter().map(|other| role("reference", other, false)));
        self.say_memory(
            &roles,
            policy.architecture(),
            longest(train.tokens.iter().map(TokenExample::tokens), micro),
        );
        let logps = reference::of(
            &self.directory,
            other.as_ref().unwrap_or(&policy),
            &train.tokens,
            &held_out.tokens,
            |reference, examples| example_logps(reference, examples, batch, reference::ROWS).0,
            self.observer,
        )?;
        drop((other, policy));
        let updates = passes.updates(train.tokens.len(), batch);
        let order = Order::Shuffled(Minibatches::new(self.streams(), train.tokens.len(), batch));
        let trainer = UnpairedTrainer::new(learner, settings, order, updates)
            .expect("checked when the settings were read");
        let prompts = prompts_of(held_out.tokens.iter().chain(&train.tokens), |example| {
            &example.prompt
        });
        let answers = self.answers(&words, prompts, &[], None, None);
        let mut session = self.session(&config, &words, &answers)?;
        let trained = trainer.run(
            updates,
            train.judged(&logps.train),
            held_out.judged(&logps.held_out),
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
