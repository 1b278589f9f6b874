//! The runner of real experiments: every stage on the trainers.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Device;
use preflab_config::{LoraSettings, Method, Settings, SftSettings, WeakerModel};
use preflab_data::TokenExample;
use preflab_experiment::records::Sample;
use preflab_experiment::{Job, Ledger, Runner, RunnerError, StageKind, StageOutcome};
use preflab_metrics::{Metric, RunLog, Text};
use preflab_ppo::Recipe;
use preflab_tasks::{Split, judge::Judge};
use preflab_training::{
    DeviceChoice, DeviceError, SftTrainer, Stream, Streams, TrainError, Watch, Work,
};
use preflab_transformer::checkpoint::{Config, weights_hash};
use preflab_transformer::{CausalLm, Model, lora};

use crate::artifacts::{read_rows, write_rows};
use crate::candidates::{PromptCandidates, sample_candidates};
use crate::evaluation::{Choose, Evaluated, Evaluation, evaluate};
use crate::pairs::{JudgedPair, Pairs, Sources, brought_pairs, judge_pairs};
use crate::policy_gradient::BestOfN;
use crate::text_measures::mean;
use crate::{StageError, TaskData, iterative, models, policy_gradient, preference, reward};

/// Files of a stage's directory.
pub(crate) const CANDIDATES: &str = "candidates.jsonl";
pub(crate) const PAIRS: &str = "pairs.jsonl";
pub(crate) const HELD_OUT: &str = "held_out.jsonl";
pub(crate) const LOGPS: &str = "logps.jsonl";
pub(crate) const HELD_OUT_LOGPS: &str = "held_out_logps.jsonl";

/// Numbers of the stream of initial weights that adapters are drawn from.
pub(crate) const POLICY_ADAPTER: u64 = 3;
pub(crate) const REWARD_ADAPTER: u64 = 4;
pub(crate) const VALUE_ADAPTER: u64 = 5;

/// Updates between two log lines of supervised fine-tuning.
const SFT_LOG_EVERY: usize = 10;

/// Held-out references that supervised fine-tuning is watched on.
const SFT_HELD_OUT: usize = 64;

/// Pairs and rows in one forward pass without gradient.
pub(crate) const ROWS: usize = 128;

/// Runs stages in this process, on one device.
#[derive(Debug)]
pub struct LocalRunner {
    device: Device,
}

impl LocalRunner {
    /// A runner on a device.
    ///
    /// # Errors
    /// If the build or the machine has no such device.
    pub fn new(choice: DeviceChoice) -> Result<Self, DeviceError> {
        Ok(Self {
            device: choice.open()?,
        })
    }

    fn stage(&self, job: &Job<'_>) -> Result<StageOutcome, RunnerError> {
        let run = Run {
            job,
            device: &self.device,
        };
        let given = match job.stage.kind {
            StageKind::TaskData => run.task_data(),
            StageKind::Sft => run.sft(),
            StageKind::WeakerModel => run.weaker_model(),
            StageKind::Candidates => run.candidates(StageKind::Sft, Stream::Candidates),
            StageKind::WeakerCandidates => {
                run.candidates(StageKind::WeakerModel, Stream::WeakerCandidates)
            }
            StageKind::Pairs => run.pairs(),
            StageKind::ReferenceLogps => run.reference_logps(),
            StageKind::RewardModel => run.reward_model(),
            StageKind::Training => run.training(),
            StageKind::Evaluation => run.evaluation(),
        };
        match given {
            Ok(given) => Ok(outcome(given)),
            Err(StageError::Train(TrainError::Stopped)) => Err(RunnerError::Interrupted),
            Err(error) => Err(RunnerError::failed(error)),
        }
    }
}

/// A stage while it runs: the job with the runner's device.
pub(crate) struct Run<'a> {
    pub job: &'a Job<'a>,
    pub device: &'a Device,
}

/// What a stage gives besides its files.
#[derive(Default)]
pub(crate) struct Given {
    pub measures: BTreeMap<String, f64>,
    pub per_prompt: BTreeMap<String, Vec<f64>>,
    pub samples: Vec<Sample>,
    pub fingerprints: BTreeMap<String, String>,
    pub work: Work,
}

impl Given {
    /// Notes a figure.
    pub fn measure(&mut self, metric: Metric, value: f64) {
        self.measures.insert(metric.tag().to_owned(), value);
    }
}

impl Runner for LocalRunner {
    /// A stage runs inside a thread pool of its own. Its operations share out work many times a millisecond: from outside
    /// a pool each would wake a thread and wait for it, half as much time again for a small model.
    fn run(&self, job: &Job<'_>) -> Result<StageOutcome, RunnerError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(job.threads.get())
            .build()
            .map_err(RunnerError::failed)?;
        pool.install(|| self.stage(job))
    }
}

fn outcome(given: Given) -> StageOutcome {
    let Work {
        updates,
        trained_tokens,
        generated_tokens,
        reward_calls,
        flops,
    } = given.work;
    StageOutcome {
        measures: given.measures,
        per_prompt: given.per_prompt,
        ledger: Ledger {
            updates,
            trained_tokens,
            generated_tokens,
            reward_calls,
            flops,
            seconds: 0.0,
        },
        samples: given.samples,
        fingerprints: given.fingerprints,
    }
}

impl Watch for Run<'_> {
    fn stop(&self) -> bool {
        self.job.interrupted()
    }

    fn progress(&self, done: u64, total: u64, note: &str) {
        self.job.progress(done, total, note);
    }
}

impl Run<'_> {
    pub(crate) fn settings(&self) -> &Settings {
        self.job.settings()
    }

    pub(crate) fn streams(&self) -> Streams {
        Streams::new(self.job.seed())
    }

    pub(crate) fn log(&self) -> Result<RunLog, StageError> {
        Ok(RunLog::create(self.job.logs)?)
    }

    pub(crate) fn data(&self) -> Result<TaskData, StageError> {
        TaskData::load(self.settings(), self.job.input(StageKind::TaskData))
    }

    /// The policy that the stage of a kind left, for inference.
    pub(crate) fn policy(&self, kind: StageKind) -> Result<CausalLm, StageError> {
        Ok(self.load(kind, self.device)?.0)
    }

    /// The model that the stage of a kind left, computing in the numbers that the settings ask for.
    pub(crate) fn load<M: Model>(
        &self,
        kind: StageKind,
        device: &Device,
    ) -> Result<(M, Config), StageError> {
        let (model, config) = models::load::<M>(self.job.input(kind), device)?;
        Ok((model.with_precision(self.settings().precision), config))
    }

    /// `model` as it is to be trained: with the settings' savings of memory, and with adapters where `lora` asks for them,
    /// drawn from number `init` of the stream of initial weights.
    pub(crate) fn to_train<M: Model>(
        &self,
        model: M,
        config: &Config,
        lora: Option<&LoraSettings>,
        init: u64,
    ) -> Result<M, StageError> {
        let model = model.with_memory(self.settings().memory);
        match lora {
            Some(lora) => {
                let seed = self.streams().at(Stream::Init, init);
                Ok(lora::attach(model, config.family(), lora, seed)?)
            }
            None => Ok(model),
        }
    }

    fn task_data(&self) -> Result<Given, StageError> {
        let data = TaskData::new(self.settings())?;
        data.save(self.job.directory)?;
        let mut given = Given::default();
        if data.task().has_gold() {
            let prompts = data.task().prompts(Split::Test);
            let gold = prompts
                .iter()
                .map(|prompt| data.task().score(prompt, &prompt.reference).gold);
            given.measure(Metric::TaskGold, mean(gold));
        }
        Ok(given)
    }

    fn sft(&self) -> Result<Given, StageError> {
        let data = self.data()?;
        let fresh = models::initial(
            &self.settings().model,
            data.tokenizer(),
            self.streams().at(Stream::Init, 0),
            &self.device.clone().autodiff(),
        )?;
        self.fine_tune(fresh, &data, &self.settings().sft)
    }

    /// A model of the same family that is smaller, or trained for a share of the updates.
    fn weaker_model(&self) -> Result<Given, StageError> {
        let data = self.data()?;
        let sft = &self.settings().sft;
        let all = SftTrainer::updates_of(sft, data.task().prompts(Split::Train).len());
        let (source, sft) = match &self.settings().preferences.weaker {
            WeakerModel::Shorter { share } => {
                let updates = ((all as f64 * share.get()).round() as usize).max(1);
                let max_updates = Some(preflab_config::Count::of(updates));
                let shorter = SftSettings {
                    max_updates,
                    ..sft.clone()
                };
                (&self.settings().model, shorter)
            }
            WeakerModel::Smaller { model } => (model, sft.clone()),
        };
        let seed = self.streams().at(Stream::Init, 1);
        let fresh = models::initial(
            source,
            data.tokenizer(),
            seed,
            &self.device.clone().autodiff(),
        )?;
        self.fine_tune(fresh, &data, &sft)
    }

    fn fine_tune(
        &self,
        fresh: (CausalLm, Config),
        data: &TaskData,
        settings: &SftSettings,
    ) -> Result<Given, StageError> {
        let (fresh, config) = fresh;
        let fresh = fresh.with_precision(self.settings().precision);
        let fresh = self.to_train(fresh, &config, None, 0)?;
        let mut given = Given::default();
        given
            .fingerprints
            .insert("initial-weights".to_owned(), weights_hash(&fresh));
        let examples = |split| -> Result<Vec<TokenExample>, StageError> {
            let examples = data.examples(split)?.into_iter();
            Ok(if settings.on_prompts {
                examples.map(TokenExample::whole).collect()
            } else {
                examples.collect()
            })
        };
        let mut held_out = examples(Split::Validation)?;
        let examples = examples(Split::Train)?;
        held_out.truncate(SFT_HELD_OUT);
        let order = SftTrainer::shuffled(settings, self.streams(), examples.len());
        let mut log = self.log()?;
        let trainer = SftTrainer::new(fresh, settings, order, examples.len());
        let (policy, work) = trainer.run(&examples, &held_out, SFT_LOG_EVERY, &mut log, self)?;
        given.work = work;
        let policy = policy.valid();
        if !held_out.is_empty() {
            let loss = preflab_training::mean_nll(&policy, &held_out, ROWS);
            given.measure(Metric::EvalLoss, loss);
        }
        models::save(&policy, &config, data.tokenizer(), self.job.directory)?;
        Ok(given)
    }

    fn candidates(&self, of: StageKind, stream: Stream) -> Result<Given, StageError> {
        let data = self.data()?;
        let policy = self.policy(of)?;
        let settings = &self.settings().preferences;
        let (sampled, work) =
            sample_candidates(&policy, &data, settings, stream, self.streams(), self)?;
        write_rows(&self.job.directory.join(CANDIDATES), &sampled)?;
        let mut given = Given {
            work,
            ..Given::default()
        };
        let golds = sampled.iter().flat_map(|prompt| &prompt.candidates);
        given.measure(
            Metric::PairsGoldCandidates,
            mean(golds.map(|candidate| candidate.score.gold)),
        );
        Ok(given)
    }

    fn pairs(&self) -> Result<Given, StageError> {
        let data = self.data()?;
        let settings = &self.settings().preferences;
        if self.settings().task.brings_pairs() {
            let pairs = brought_pairs(&data, settings)?;
            let dropped = pairs.dropped as f64;
            let mut given = self.write_pairs(pairs)?;
            given.measure(Metric::PairsDroppedBroken, dropped);
            return Ok(given);
        }
        let candidates = |kind| -> Result<Option<Vec<PromptCandidates>>, StageError> {
            let found = self.job.find(kind);
            found
                .map(|input| read_rows(&input.directory.join(CANDIDATES)))
                .transpose()
        };
        let (policy, weaker) = (
            candidates(StageKind::Candidates)?,
            candidates(StageKind::WeakerCandidates)?,
        );
        let judge = Judge::new(settings.judge, self.streams().at(Stream::Judge, 0));
        let sources = Sources {
            policy: policy.as_deref(),
            weaker: weaker.as_deref(),
        };
        let pairs = judge_pairs(&data, settings, &judge, sources)?;
        let dropped = pairs.dropped as f64;
        let mut given = self.write_pairs(pairs)?;
        given.measure(Metric::PairsDroppedUniform, dropped);
        Ok(given)
    }

    /// Writes pairs into the stage's directory and says what they are like.
    fn write_pairs(&self, pairs: Pairs) -> Result<Given, StageError> {
        let Pairs {
            train, held_out, ..
        } = pairs;
        write_rows(&self.job.directory.join(PAIRS), &train)?;
        write_rows(&self.job.directory.join(HELD_OUT), &held_out)?;
        let mut given = Given::default();
        let gold: Option<Vec<_>> = train.iter().map(|pair| pair.gold).collect();
        if let Some(gold) = gold {
            let chosen = mean(gold.iter().map(|gold| gold.chosen));
            let rejected = mean(gold.iter().map(|gold| gold.rejected));
            given.measure(Metric::PairsGoldChosen, chosen);
            given.measure(Metric::PairsGoldRejected, rejected);
            given.measure(Metric::PairsGoldMargin, chosen - rejected);
            let flipped = gold.iter().map(|gold| gold.chosen < gold.rejected);
            let flipped = mean(flipped.map(|flipped| f64::from(u8::from(flipped))));
            given.measure(Metric::PairsFlipped, flipped);
        }
        let average = |of: fn(&JudgedPair) -> f64| mean(train.iter().map(of));
        for (metric, value) in [
            (Metric::PairsKept, train.len() as f64),
            (
                Metric::PairsLengthChosen,
                average(|pair| pair.tokens.chosen.len() as f64),
            ),
            (
                Metric::PairsLengthRejected,
                average(|pair| pair.tokens.rejected.len() as f64),
            ),
        ] {
            given.measure(metric, value);
        }
        Ok(given)
    }

    pub(crate) fn judged(&self, file: &str) -> Result<Vec<JudgedPair>, StageError> {
        read_rows(&self.job.input(StageKind::Pairs).join(file))
    }

    fn reference_logps(&self) -> Result<Given, StageError> {
        let reference = self.policy(StageKind::Sft)?;
        let mut given = Given::default();
        for (pairs, file) in [(PAIRS, LOGPS), (HELD_OUT, HELD_OUT_LOGPS)] {
            let pairs: Vec<_> = self
                .judged(pairs)?
                .into_iter()
                .map(|pair| pair.tokens)
                .collect();
            let (scored, work) = preflab_dpo::reference_logps(&reference, &pairs, ROWS);
            given.work += work;
            if file == LOGPS {
                let per_token = |logps: &Vec<f32>| mean(logps.iter().map(|&logp| f64::from(logp)));
                let sides = |of: fn(&preflab_dpo::ReferenceLogps) -> &Vec<f32>| {
                    mean(scored.iter().map(of).map(per_token))
                };
                given.measure(Metric::PairsLogpChosen, sides(|pair| &pair.sides.chosen));
                given.measure(
                    Metric::PairsLogpRejected,
                    sides(|pair| &pair.sides.rejected),
                );
            }
            write_rows(&self.job.directory.join(file), &scored)?;
        }
        Ok(given)
    }

    fn reward_model(&self) -> Result<Given, StageError> {
        reward::train(self)
    }

    fn training(&self) -> Result<Given, StageError> {
        let settings = self.settings();
        let mut log = self.log()?;
        let text = toml::to_string(settings).unwrap_or_else(|error| error.to_string());
        preflab_metrics::Sink::text(&mut log, 0, Text::Settings, &format!("```toml\n{text}```"))?;
        match &settings.method {
            Method::Dpo(method) => preference::train(self, method, &mut log),
            Method::Reward(method) => reward::train_arm(self, method, &mut log),
            Method::IterativeDpo(method) => iterative::train(self, method, &mut log),
            Method::Ppo(method) => policy_gradient::train_ppo(self, method, &mut log),
            Method::Rloo(method) => {
                let recipe = Recipe::rloo(method, settings.sampling);
                policy_gradient::train_critic_free(self, recipe, &mut log)
            }
            Method::Grpo(method) => {
                let recipe = Recipe::grpo(method, settings.sampling);
                policy_gradient::train_critic_free(self, recipe, &mut log)
            }
            Method::RejectionSampling(method) => {
                policy_gradient::train_rejection(self, method, &mut log)
            }
            Method::BestOfN(_) | Method::Sft(_) => {
                unreachable!("a method without training has no such stage")
            }
        }
    }

    fn evaluation(&self) -> Result<Given, StageError> {
        if let Method::Reward(method) = &self.settings().method {
            return reward::evaluate_arm(self, method);
        }
        let data = self.data()?;
        let reference = self.policy(StageKind::Sft)?;
        let trained = match self.job.find(StageKind::Training) {
            Some(_) => Some(self.policy(StageKind::Training)?),
            None => None,
        };
        let best_of_n = match &self.settings().method {
            Method::BestOfN(settings) => Some(BestOfN::new(self, settings.n.get())?),
            Method::Ppo(_)
            | Method::Dpo(_)
            | Method::Reward(_)
            | Method::IterativeDpo(_)
            | Method::Rloo(_)
            | Method::Grpo(_)
            | Method::RejectionSampling(_)
            | Method::Sft(_) => None,
        };
        let evaluated = Evaluated {
            policy: trained.as_ref().unwrap_or(&reference),
            reference: &reference,
            choose: best_of_n.as_ref().map(|best| best as &dyn Choose),
        };
        let Evaluation {
            measures,
            per_prompt,
            samples,
            work,
        } = evaluate(evaluated, &data, self.settings(), self.streams(), self)?;
        Ok(Given {
            measures,
            per_prompt,
            samples: samples
                .into_iter()
                .map(|(prompt, completion, scores)| Sample {
                    prompt,
                    completion,
                    scores,
                })
                .collect(),
            work,
            ..Given::default()
        })
    }
}
