//! PPO, RLOO and GRPO.

use preflab_config::{BudgetSettings, Count, PpoSettings, Rollouts, SamplingSettings, ValueInit};
use preflab_ppo::{PolicyGradient, Recipe};
use preflab_transformer::ScalarModel;

use super::session::Model;
use super::{POLICY_ADAPTER, Run, Summary, VALUE_ADAPTER, prompts_of};
use crate::FinetuneError;
use crate::memory::largest_pass;
use crate::reward_model::{self, RewardModel};
use crate::start::{RewardStart, Start};

impl Run<'_> {
    pub(super) fn ppo(
        &self,
        settings: &PpoSettings,
        rollouts: &Rollouts,
    ) -> Result<Summary, FinetuneError> {
        let recipe = Recipe::ppo(settings, SamplingSettings::default());
        self.policy_gradient(recipe, rollouts, Some(settings.value_init))
    }

    pub(super) fn policy_gradient(
        &self,
        recipe: Recipe,
        rollouts: &Rollouts,
        value: Option<ValueInit>,
    ) -> Result<Summary, FinetuneError> {
        let Start {
            policy,
            config,
            words,
        } = self.start()?;
        let reward_directory = self.request().settings.reward_model.as_deref();
        let reward_directory = reward_directory.expect("checked when the settings were read");
        let mut reward = RewardModel::load(reward_directory, self.device)?;
        reward.start.model = self.precise(reward.start.model);
        reward.check_words(&words, reward_directory)?;
        let room = recipe.sampling.max_tokens.get();
        let context = policy
            .architecture()
            .context
            .min(reward.start.model.architecture().context);
        let max_length = self.max_length(context)?;
        if room >= max_length {
            return Err(FinetuneError::refused(
                format!(
                    "`sampling.max_tokens` ({room}) leaves no room for a prompt in {max_length} tokens"
                ),
                "lower `sampling.max_tokens`",
            ));
        }
        let data = self.reading(&words, max_length).prompts(room)?;
        let train = self.read(data.train.to_vec())?;
        let held_out = self.read(data.held_out.to_vec())?;
        let value = value.map(|init| match init {
            ValueInit::RewardModel => {
                let device = self.device.clone().autodiff();
                RewardStart::load(reward_directory, &device).map(|start| start.model)
            }
            ValueInit::Sft => Ok(ScalarModel::from_decoder(&policy.decoder, 0.0, 0)),
        });
        let value = value
            .transpose()?
            .map(|value| self.to_train(value, &config, VALUE_ADAPTER))
            .transpose()?;
        let policy = self.to_train(policy, &config, POLICY_ADAPTER)?;
        let lengths = || train.iter().map(|prompt| (prompt.len() + room, room));
        let trained = largest_pass(lengths(), recipe.micro_batch);
        let read = largest_pass(lengths(), reward_model::ROWS);
        let way = self.way(policy.architecture());
        let (lora, rows) = (self.lora(), recipe.batch_size);
        let sampled = largest_pass(lengths(), rows);
        let mut roles = vec![
            way.sampling(
                way.trained("policy", lora, trained, true),
                rows as f64,
                sampled.tokens,
                lora,
            ),
            way.read("reference", lora.is_some(), read),
            self.way(reward.start.model.architecture())
                .read("reward model", false, read),
        ];
        roles.extend(value.iter().map(|value| {
            let way = self.way(value.architecture());
            way.trained("value model", lora, trained, false)
        }));
        self.say_memory(roles);
        let budget = rollouts.budget.unwrap_or_else(|| {
            let each = recipe.prompts();
            let count = (train.len() * rollouts.passes.get()).div_ceil(each);
            BudgetSettings::Updates(Count::of((count * recipe.updates_each()).max(1)))
        });
        let prompts = self.read(prompts_of([(&held_out).into(), (&train).into()]))?;
        let answers = self.answers(
            &words,
            prompts,
            &held_out,
            Some(&reward),
            Some(recipe.sampling),
        );
        let stop = words.stop.clone();
        let trainer =
            PolicyGradient::new(recipe, policy, value, &reward, stop, self.streams(), budget);
        let mut session = self.session(&config, &words, &answers)?;
        let (policy, _) = trainer.run(&train, &mut session.log, &session.keeper)?;
        self.finish(session, &Model::Policy(policy), &data.report, None)
    }
}
