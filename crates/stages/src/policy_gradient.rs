//! Training an arm that follows the reward model: PPO, RLOO, GRPO, rejection sampling, and best-of-n without training.

use burn::module::Module;
use preflab_config::{
    BudgetSettings, Keep, PpoSettings, RejectionSamplingSettings, SftSettings, ValueInit,
};
use preflab_data::TokenExample;
use preflab_experiment::StageKind;
use preflab_metrics::Sink;
use preflab_ppo::{PolicyGradient, Recipe, Scored, Scorer, best, best_of_n_kl, kept_samples};
use preflab_tasks::Split;
use preflab_training::{SftTrainer, Stream, TrainError, Watch, Work};
use preflab_transformer::checkpoint::Config;
use preflab_transformer::{CausalLm, Generation, ScalarModel};

use crate::candidates::sample;
use crate::evaluation::Choose;
use crate::reward::TrainedReward;
use crate::runner::{Given, POLICY_ADAPTER, Run, VALUE_ADAPTER};
use crate::{StageError, TaskData, models};

/// Rows sampled together.
const ROWS: usize = 256;

/// Updates between two log lines of a round of rejection sampling.
const LOG_EVERY: usize = 10;

/// The learned reward, with the gold score beside it for the log alone.
struct LearnedReward<'d> {
    reward: &'d TrainedReward,
    data: &'d TaskData,
}

impl Scorer for LearnedReward<'_> {
    fn score(&self, prompts: &[usize], rows: &[TokenExample]) -> Scored {
        let (rewards, work) = self.reward.rewards(rows);
        let of_task = self.data.task().prompts(Split::Train);
        let gold = prompts.iter().zip(rows).map(|(&prompt, row)| {
            let scored = self.data.score(&of_task[prompt], &row.completion);
            scored.map_or(f64::NAN, |(_, score)| score.gold)
        });
        Scored {
            rewards,
            gold: self.data.task().has_gold().then(|| gold.collect()),
            work,
        }
    }
}

/// Where a policy-gradient arm starts.
struct Start {
    data: TaskData,
    policy: CausalLm,
    config: Config,
    reward: TrainedReward,
    prompts: Vec<Vec<u32>>,
}

impl Start {
    fn new(run: &Run<'_>) -> Result<Self, StageError> {
        let data = run.data()?;
        let device = run.device.clone().autodiff();
        let (policy, config) = run.load(StageKind::Sft, &device)?;
        let prompts = data.task().prompts(Split::Train);
        Ok(Self {
            policy,
            config,
            reward: TrainedReward::load(run)?,
            prompts: prompts
                .iter()
                .map(|prompt| data.prompt(prompt))
                .collect::<Result<_, _>>()?,
            data,
        })
    }

    /// The value model: a trainable copy of the reward model, or of the start under a head of zeros.
    fn value_model(
        &self,
        run: &Run<'_>,
        settings: &PpoSettings,
    ) -> Result<ScalarModel, StageError> {
        let model = match settings.value_init {
            ValueInit::RewardModel => {
                let device = run.device.clone().autodiff();
                run.load(StageKind::RewardModel, &device)?.0
            }
            ValueInit::Sft => ScalarModel::from_decoder(&self.policy.decoder, 0.0, 0),
        };
        let lora = run.settings().lora.as_ref();
        run.to_train(model, &self.config, lora, VALUE_ADAPTER)
    }

    /// The start as it is to be trained.
    fn into_training(self, run: &Run<'_>) -> Result<Self, StageError> {
        let lora = run.settings().lora.as_ref();
        Ok(Self {
            policy: run.to_train(self.policy, &self.config, lora, POLICY_ADAPTER)?,
            ..self
        })
    }
}

/// Trains an arm by PPO and saves its policy.
pub(crate) fn train_ppo(
    run: &Run<'_>,
    settings: &PpoSettings,
    log: &mut dyn Sink,
) -> Result<Given, StageError> {
    let start = Start::new(run)?;
    let value = start.value_model(run, settings)?;
    train(
        run,
        start,
        Recipe::ppo(settings, run.settings().sampling),
        Some(value),
        log,
    )
}

/// Trains an arm by a critic-free recipe and saves its policy.
pub(crate) fn train_critic_free(
    run: &Run<'_>,
    recipe: Recipe,
    log: &mut dyn Sink,
) -> Result<Given, StageError> {
    train(run, Start::new(run)?, recipe, None, log)
}

fn train(
    run: &Run<'_>,
    start: Start,
    recipe: Recipe,
    value: Option<ScalarModel>,
    log: &mut dyn Sink,
) -> Result<Given, StageError> {
    let budget = run.settings().budget;
    if let BudgetSettings::Seconds(_) = budget {
        return Err(crate::budget::seconds());
    }
    let Start {
        data,
        policy,
        config,
        reward,
        prompts,
    } = start.into_training(run)?;
    let scorer = LearnedReward {
        reward: &reward,
        data: &data,
    };
    let stop = vec![data.tokenizer().eos()];
    let trainer = PolicyGradient::new(recipe, policy, value, &scorer, stop, run.streams(), budget);
    let (policy, work) = trainer.run(&prompts, log, run)?;
    models::save(&policy, &config, data.tokenizer(), run.job.directory)?;
    Ok(Given {
        work,
        ..Given::default()
    })
}

/// Rounds of sampling, keeping the best by the reward model, and fine-tuning on them.
pub(crate) fn train_rejection(
    run: &Run<'_>,
    settings: &RejectionSamplingSettings,
    log: &mut dyn Sink,
) -> Result<Given, StageError> {
    let Start {
        data,
        mut policy,
        config,
        reward,
        prompts,
    } = Start::new(run)?.into_training(run)?;
    let mut work = Work::default();
    let each = settings.candidates.get();
    let rounds = settings.rounds.get();
    let BudgetSettings::Updates(updates) = run.settings().budget else {
        return Err(StageError::Nothing {
            problem: "rejection sampling is matched on updates alone".to_owned(),
            hint: "set `budget.updates`".to_owned(),
        });
    };
    let updates = updates.get().div_ceil(rounds);
    let sft = SftSettings {
        max_updates: Some(preflab_config::Count::of(updates)),
        epochs: preflab_config::Count::of(usize::MAX >> 32),
        ..settings.sft.clone()
    };
    for round in 0..rounds {
        let frozen = policy.valid();
        let (mut examples, mut scores, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        // As many prompts as the round's updates can take once.
        let wanted = (updates * sft.batch_size.get()).min(prompts.len());
        for first in (0..wanted).step_by((ROWS / each).max(1)) {
            if run.stop() {
                return Err(TrainError::Stopped.into());
            }
            let indices: Vec<usize> = (first..wanted.min(first + (ROWS / each).max(1))).collect();
            let rows: Vec<Vec<u32>> = indices
                .iter()
                .flat_map(|&index| std::iter::repeat_n(prompts[index].clone(), each))
                .collect();
            let step = (round * prompts.len() + first) as u64;
            let seeds = run.streams().rows(Stream::Sampling, step, rows.len());
            let sampled = sample(
                &frozen,
                &data,
                &rows,
                &seeds,
                &run.settings().sampling,
                &mut work,
            );
            for (row, (prompt, sampled)) in rows.into_iter().zip(sampled).enumerate() {
                groups.push(indices[row / each]);
                examples.push(TokenExample {
                    prompt,
                    completion: sampled.tokens,
                });
            }
        }
        let (rewards, cost) = reward.rewards(&examples);
        work += cost;
        scores.extend(rewards);
        let keep: Keep = settings.keep;
        let kept: Vec<TokenExample> = kept_samples(&scores, &groups, keep)
            .into_iter()
            .map(|row| examples[row].clone())
            .collect();
        let order = SftTrainer::shuffled(&sft, run.streams(), kept.len());
        let trainer = SftTrainer::new(policy, &sft, order, kept.len());
        let trained = trainer.run(&kept, &[], LOG_EVERY, log, run)?;
        policy = trained.0;
        work += trained.1;
    }
    models::save(&policy, &config, data.tokenizer(), run.job.directory)?;
    Ok(Given {
        work,
        ..Given::default()
    })
}

/// Best of `n` samples by the reward model.
pub(crate) struct BestOfN {
    reward: TrainedReward,
    n: usize,
}

impl BestOfN {
    pub fn new(run: &Run<'_>, n: usize) -> Result<Self, StageError> {
        Ok(Self {
            reward: TrainedReward::load(run)?,
            n,
        })
    }

    fn rewards(&self, prompt: &[u32], samples: &[Generation]) -> (Vec<f64>, Work) {
        let rows: Vec<TokenExample> = samples
            .iter()
            .map(|sample| TokenExample {
                prompt: prompt.to_vec(),
                completion: sample.tokens.clone(),
            })
            .collect();
        self.reward.rewards(&rows)
    }
}

impl Choose for BestOfN {
    fn samples(&self) -> usize {
        self.n
    }

    fn choose(&self, prompt: &[u32], samples: &[Generation]) -> (usize, f64, Work) {
        let (rewards, work) = self.rewards(prompt, samples);
        (best(&rewards), best_of_n_kl(self.n), work)
    }
}
