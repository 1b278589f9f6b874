//! Supervised fine-tuning.

use preflab_config::{Count, SftSettings};
use preflab_data::TokenExample;
use preflab_training::SftTrainer;

use super::session::Model;
use super::{POLICY_ADAPTER, Run, Summary, prompts_of};
use crate::FinetuneError;
use crate::memory::largest_pass;
use crate::start::Start;

impl Run<'_> {
    pub(super) fn sft(&self, settings: &SftSettings) -> Result<Summary, FinetuneError> {
        let Start {
            policy,
            config,
            words,
        } = self.start()?;
        let policy = self.to_train(policy, &config, POLICY_ADAPTER)?;
        let max_length = self.max_length(policy.architecture().context)?;
        let data = self.reading(&words, max_length).examples()?;
        let batch = settings.batch_size.get();
        let micro = settings.micro_batch_size.map_or(batch, Count::get);
        let predicted = |row: &TokenExample| match settings.on_prompts {
            true => row.tokens() - 1,
            false => row.completion.len(),
        };
        let longest = self.read(data.train.tokens.longest(micro))?;
        let lengths = longest.iter().map(|row| (row.tokens(), predicted(row)));
        let way = self.way(policy.architecture());
        self.say_memory(vec![way.trained(
            "policy",
            self.lora(),
            largest_pass(lengths, micro),
            true,
        )]);
        let (train, held_out) = (data.train.tokens, data.held_out.tokens);
        let prompts = self.read(prompts_of([(&held_out).into(), (&train).into()]))?;
        let answers = self.answers(&words, prompts, &[], None, None);
        let [train, held_out] = [train, held_out].map(|rows| match settings.on_prompts {
            true => rows.mapped(TokenExample::whole),
            false => rows,
        });
        let order = SftTrainer::shuffled(settings, self.streams(), train.len());
        let trainer = SftTrainer::new(policy, settings, order, train.len())
            .evaluating_every(self.request().settings.evaluate_every.get());
        let mut session = self.session(&config, &words, &answers)?;
        let (policy, _) = trainer.run(&train, &held_out, 1, &mut session.log, &session.keeper)?;
        self.finish(session, &Model::Policy(policy), &data.report, None)
    }
}
