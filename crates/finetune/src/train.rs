//! `preflab train`: one model, one data set, one directory.

mod kto;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use preflab_config::{
    BudgetSettings, Count, DpoSettings, ModelSource, OutputModel, Passes, PpoSettings,
    RewardMargin, RewardObjective, RewardSettings, Rollouts, SamplingSettings, SftSettings,
    TokenizerSettings, TrainMethod, ValueInit,
};
use preflab_data::{Pair, TokenExample, TokenPair, Tokenizer, Units};
use preflab_dpo::detector::Thresholds;
use preflab_dpo::dynamics::{Dynamics, Probes};
use preflab_dpo::{
    AccuracyPairs, DpoTrainer, Monitoring, Needs, ReferenceLogps, ScoredPairs, reference_logps,
};
use preflab_experiment::{Interrupt, hash_file};
use preflab_metrics::{RunLog, SCALARS_FILE, Sink, Text, read_scalars};
use preflab_ppo::{PolicyGradient, Recipe, Scorer};
use preflab_reward::{Judged, RewardRun, RewardTrainer};
use preflab_training::{DeviceChoice, Minibatches, Order, SftTrainer, Stream, Streams, Trained};
use preflab_transformer::checkpoint::{self, Config, SpecialTokens};
use preflab_transformer::{CausalLm, ScalarModel, lora};
use serde::{Deserialize, Serialize};

use crate::card::Card;
use crate::checkpoints::{Early, Keeper, Look, Progress, Remembering, finish, model_of, newest};
use crate::data::{DataReport, Prepared, PreparedPair, Reading, texts};
use crate::looks::Answers;
use crate::memory::{self, Role};
use crate::reward_model::{NORMALISATION, RewardModel, normalisation_on};
use crate::run_directory::{METRICS, RunDirectory, Standing, read_json};
use crate::saved::{Saving, copy_model, move_into};
use crate::start::{Kind, RewardStart, Start, Words, checkpoint_of, kind};
use crate::{FinetuneError, Observer, TrainRequest, reference};

/// Tokens of the tokenizer that is made for a fresh model, where nothing is said.
const VOCABULARY: usize = 2048;

/// Numbers of the stream of initial weights that adapters are drawn from.
const POLICY_ADAPTER: u64 = 3;
const REWARD_ADAPTER: u64 = 4;
const VALUE_ADAPTER: u64 = 5;

/// Pairs whose log-probs are watched in detail.
const PROBES: usize = 32;

/// Pairs whose reference log-probs are computed again before training starts.
const CHECKED: usize = 4;

/// A request, and where and on what it is done.
#[derive(Debug)]
pub struct TrainJob {
    /// What is trained.
    pub request: TrainRequest,
    /// The directory the model ends up in.
    pub out: PathBuf,
    /// On what it is computed.
    pub device: DeviceChoice,
    /// The command, for the model card.
    pub command: String,
    /// preflab's version.
    pub version: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The method.
    pub method: String,
    /// Updates done.
    pub updates: u64,
    /// Whether training ended before its last update.
    pub stopped_early: bool,
    /// The update whose weights were saved.
    pub output_update: u64,
    /// The best value of the metric by which checkpoints are judged, where they were.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub best: Option<Best>,
    /// What became of the data.
    pub data: DataReport,
    /// The last value of every metric that a second run would repeat.
    pub metrics: BTreeMap<String, f64>,
}

/// The best of what was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Tag of the metric.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// After how many updates.
    pub update: u64,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// How it ended.
    pub summary: Summary,
    /// Whether it had been finished before.
    pub already: bool,
}

/// Trains, or goes on training, and saves the model with its card.
///
/// # Errors
/// If the request is wrong, training fails, or `interrupt` is set; see [`FinetuneError::is_request`].
pub fn train(
    job: &TrainJob,
    observer: &(dyn Observer + Sync),
    interrupt: &Interrupt,
) -> Result<Finished, FinetuneError> {
    let device = job.device.open()?;
    let request = &job.request;
    let inputs = inputs(request)?;
    let (directory, standing) = RunDirectory::claim(&job.out, &request.to_table(), &inputs)?;
    if standing == Standing::Finished {
        observer.note("this run is finished: nothing is left to do");
        return Ok(Finished {
            summary: read_json(&job.out.join(METRICS))?,
            already: true,
        });
    }
    let run = Run {
        job,
        device: &device,
        directory,
        inputs,
        observer,
        interrupt,
        begun: Instant::now(),
    };
    let done = match &request.method {
        TrainMethod::Sft(settings) => run.sft(settings),
        TrainMethod::Reward(settings) => run.reward(settings),
        TrainMethod::Dpo(settings, passes) => run.dpo(settings, passes),
        TrainMethod::Kto(settings, passes) => run.kto(settings, passes),
        TrainMethod::Ppo(settings, rollouts) => run.ppo(settings, rollouts),
        TrainMethod::Rloo(settings, rollouts) => {
            let recipe = Recipe::rloo(settings, SamplingSettings::default());
            run.policy_gradient(recipe, rollouts, None)
        }
        TrainMethod::Grpo(settings, rollouts) => {
            let recipe = Recipe::grpo(settings, SamplingSettings::default());
            run.policy_gradient(recipe, rollouts, None)
        }
    };
    match done {
        Ok(summary) => Ok(Finished {
            summary,
            already: false,
        }),
        Err(error) => {
            if error.is_request() && standing == Standing::New {
                run.directory.give_up()?;
            }
            Err(error)
        }
    }
}

/// Hashes of all files that a run reads, by what they are.
fn inputs(request: &TrainRequest) -> Result<BTreeMap<String, String>, FinetuneError> {
    let settings = &request.settings;
    let mut hashes = BTreeMap::new();
    let files = settings.data.0.iter();
    for file in files.chain(settings.eval.iter().flat_map(|files| &files.0)) {
        let hash = hash_file(file).map_err(|source| {
            FinetuneError::refused(
                format!(
                    "the data file `{}` cannot be read: {source}",
                    file.display()
                ),
                "paths are relative to the current directory",
            )
        })?;
        hashes.insert(format!("`{}`", file.display()), hash);
    }
    let models = [
        checkpoint_of(&settings.model),
        settings.reference_model.as_deref(),
        settings.reward_model.as_deref(),
    ];
    for directory in models.into_iter().flatten() {
        kind(directory)?;
        let entries = fs::read_dir(directory).map_err(FinetuneError::io("read", directory))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let counts = name.ends_with(".safetensors")
                || [
                    "config.json",
                    "tokenizer.json",
                    "tokenizer_config.json",
                    "chat_template.jinja",
                    NORMALISATION,
                ]
                .contains(&name.as_ref());
            if counts && path.is_file() {
                let hash = hash_file(&path).map_err(FinetuneError::io("read", &path))?;
                hashes.insert(format!("`{}`", path.display()), hash);
            }
        }
    }
    Ok(hashes)
}

/// A run at work.
struct Run<'r> {
    job: &'r TrainJob,
    device: &'r Device,
    directory: RunDirectory,
    inputs: BTreeMap<String, String>,
    observer: &'r (dyn Observer + Sync),
    interrupt: &'r Interrupt,
    begun: Instant,
}

impl Run<'_> {
    fn request(&self) -> &TrainRequest {
        &self.job.request
    }

    fn streams(&self) -> Streams {
        Streams::new(self.request().settings.seed)
    }

    /// The language model that training starts from, on an autodiff device.
    fn start(&self) -> Result<Start, FinetuneError> {
        let device = self.device.clone().autodiff();
        let settings = &self.request().settings;
        match &settings.model {
            ModelSource::Named(directory) => Start::load(directory, &device),
            ModelSource::Shape(shape) => {
                let units = match &settings.tokenizer {
                    TokenizerSettings::Auto => Units::Bpe {
                        vocabulary: VOCABULARY,
                    },
                    TokenizerSettings::Characters => Units::Characters { min_count: 1 },
                    TokenizerSettings::Bpe(pairs) => Units::Bpe {
                        vocabulary: pairs.vocabulary.get(),
                    },
                };
                let words = Words::of_tokenizer(Tokenizer::train(texts(settings)?, &units)?);
                let seed = self.streams().at(Stream::Init, 0);
                Ok(Start::fresh(shape, words, seed, &device))
            }
        }
    }

    /// A model that computes in the numbers asked for.
    fn precise<M: checkpoint::Model>(&self, model: M) -> M {
        model.with_precision(self.request().settings.precision)
    }

    /// A model as it is to be trained: with adapters and savings of memory, where they are asked for. Adapters are drawn from
    /// number `init` of the stream of initial weights.
    fn to_train<M: checkpoint::Model>(
        &self,
        model: M,
        config: &Config,
        init: u64,
    ) -> Result<M, FinetuneError> {
        let settings = &self.request().settings;
        let model = self.precise(model).with_memory(settings.memory);
        match &settings.lora {
            Some(lora) => {
                let seed = self.streams().at(Stream::Init, init);
                Ok(lora::attach(model, config.family(), lora, seed)?)
            }
            None => Ok(model),
        }
    }

    /// Longest sequence for a model of this context.
    fn max_length(&self, context: usize) -> Result<usize, FinetuneError> {
        match self.request().settings.max_length.map(Count::get) {
            None => Ok(context),
            Some(length) if length <= context => Ok(length),
            Some(length) => Err(FinetuneError::refused(
                format!("`max_length` is {length}, and the model's context {context} tokens"),
                format!("set `max_length` to {context} or less"),
            )),
        }
    }

    fn reading<'a>(&'a self, words: &'a Words, max_length: usize) -> Reading<'a> {
        Reading {
            words,
            settings: &self.request().settings,
            max_length,
            observer: self.observer,
        }
    }

    fn sft(&self, settings: &SftSettings) -> Result<Summary, FinetuneError> {
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
        self.say_memory(
            &[role("policy", &policy, true)],
            policy.architecture(),
            longest(data.train.iter().map(TokenExample::tokens), micro),
        );
        let prompts = prompts_of(data.held_out.iter().chain(&data.train), |row| &row.prompt);
        let answers = self.answers(&words, prompts, &[], None, None);
        let counted = |rows: Vec<TokenExample>| -> Vec<TokenExample> {
            if settings.on_prompts {
                rows.into_iter().map(TokenExample::whole).collect()
            } else {
                rows
            }
        };
        let (train, held_out) = (counted(data.train), counted(data.held_out));
        let order = SftTrainer::shuffled(settings, self.streams(), train.len());
        let trainer = SftTrainer::new(policy, settings, order, train.len())
            .evaluating_every(self.request().settings.evaluate_every.get());
        let mut session = self.session(&config, &words, &answers)?;
        let (policy, _) = trainer.run(&train, &held_out, 1, &mut session.log, &session.keeper)?;
        self.finish(session, &Model::Policy(policy), &data.report, None)
    }

    fn reward(&self, settings: &RewardSettings) -> Result<Summary, FinetuneError> {
        let device = self.device.clone().autodiff();
        let directory = checkpoint_of(&self.request().settings.model);
        let classifier = directory
            .map(|directory| Ok::<_, FinetuneError>((directory, kind(directory)?)))
            .transpose()?
            .filter(|(_, kind)| *kind == Kind::Classifier);
        let RewardStart {
            model,
            config,
            words,
        } = match classifier {
            Some((directory, _)) => RewardStart::load(directory, &device)?,
            None => {
                let start = self.start()?;
                // N+ detail: the head starts at standard deviation 1 / sqrt(d + 1).
                let deviation = 1.0 / (start.policy.architecture().width as f64 + 1.0).sqrt();
                let seed = self.streams().at(Stream::Init, 2);
                RewardStart {
                    model: ScalarModel::from_decoder(&start.policy.decoder, deviation, seed),
                    config: start.config,
                    words: start.words,
                }
            }
        };
        let config = with_padding(config, &words);
        let model = self.to_train(model, &config, REWARD_ADAPTER)?;
        let max_length = self.max_length(model.architecture().context)?;
        let data = self.reading(&words, max_length).pairs()?;
        let train = Pairs::new(&data.train);
        let held_out = Pairs::new(&data.held_out);
        let margined = matches!(&settings.objective, RewardObjective::BradleyTerry(own)
            if matches!(own.margin, RewardMargin::PerPair(_)));
        if margined {
            need_margins(&train, &held_out)?;
        }
        let batch = settings.batch_size.get();
        let micro = settings.micro_batch_size.map_or(batch, Count::get);
        self.say_memory(
            &[role("reward model", &model, true)],
            model.architecture(),
            longest(train.tokens.iter().map(pair_tokens), micro),
        );
        let order = Order::Shuffled(Minibatches::new(self.streams(), train.tokens.len(), batch));
        let trainer = RewardTrainer::new(model, settings, order, train.tokens.len())
            .watching(held_out.tokens.len());
        let answers = self.answers(&words, Vec::new(), &[], None, None);
        let mut session = self.session(&config, &words, &answers)?;
        let RewardRun { model, .. } = trainer.run(
            train.judged(),
            held_out.judged(),
            &mut session.log,
            &session.keeper,
        )?;
        let chosen: Vec<TokenExample> = train
            .tokens
            .iter()
            .map(|pair| pair.examples().chosen)
            .collect();
        let normalise = |model: &ScalarModel| normalisation_on(model, &chosen, settings.normalise);
        self.finish(
            session,
            &Model::Scalar(model),
            &data.report,
            Some(&normalise),
        )
    }

    fn dpo(&self, settings: &DpoSettings, passes: &Passes) -> Result<Summary, FinetuneError> {
        let Start {
            policy,
            config,
            words,
        } = self.start()?;
        let max_length = self.max_length(policy.architecture().context)?;
        let data = self.reading(&words, max_length).pairs()?;
        let train = Pairs::new(&data.train);
        let held_out = Pairs::new(&data.held_out);
        if Needs::of(&settings.objective).score_gaps {
            need_margins(&train, &held_out)?;
        }
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
            longest(train.tokens.iter().map(pair_tokens), micro),
        );
        let reference = other.as_ref().unwrap_or(&policy);
        let logps = reference::of(
            &self.directory,
            reference,
            &train.tokens,
            &held_out.tokens,
            |reference, pairs| reference_logps(reference, pairs, reference::ROWS).0,
            self.observer,
        )?;
        let is_start = other.is_none();
        drop(other);
        let updates = passes.updates(train.tokens.len(), batch);
        let watched = PROBES.min(train.tokens.len());
        let probes = Probes::new(
            &train.tokens[..watched],
            &vec![None; watched],
            0,
            words.tokenizer.vocabulary(),
            &mut self.streams().rng(Stream::Probes, 0),
        );
        let dynamics = Dynamics::new(probes, &policy.valid());
        drop(policy);
        let scored = train.scored(&logps.train);
        let monitoring = Monitoring {
            held_out: held_out.scored(&logps.held_out),
            probe_pairs: first(scored, watched),
            dynamics: &dynamics,
            accuracy: AccuracyPairs {
                held_out: held_out.scored(&logps.held_out),
                train: first(scored, held_out.tokens.len()),
            },
            every: self.request().settings.evaluate_every.get(),
            answers: None,
            first: 0,
        };
        let order = Order::Shuffled(Minibatches::new(self.streams(), train.tokens.len(), batch));
        let trainer = DpoTrainer::new(learner, settings, order, updates);
        if is_start {
            trainer.check_start(scored, CHECKED).map_err(|error| {
                FinetuneError::refused(error.to_string(), "delete the run's directory")
            })?;
        }
        let prompts = prompts_of(held_out.tokens.iter().chain(&train.tokens), |pair| {
            &pair.prompt
        });
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

    /// The reference, where it is another model than the start.
    fn other_reference(&self, words: &Words) -> Result<Option<CausalLm>, FinetuneError> {
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

    fn ppo(&self, settings: &PpoSettings, rollouts: &Rollouts) -> Result<Summary, FinetuneError> {
        let recipe = Recipe::ppo(settings, SamplingSettings::default());
        self.policy_gradient(recipe, rollouts, Some(settings.value_init))
    }

    fn policy_gradient(
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
        let data: Prepared<Vec<u32>> = self.reading(&words, max_length).prompts(room)?;
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
        let mut roles = vec![
            role("policy", &policy, true),
            role("reference", &policy, false),
            role("reward model", &reward.start.model, false),
        ];
        roles.extend(value.iter().map(|value| role("value model", value, true)));
        let lengths = data.train.iter().map(|prompt| prompt.len() + room);
        self.say_memory(
            &roles,
            policy.architecture(),
            longest(lengths, recipe.micro_batch),
        );
        let budget = rollouts.budget.unwrap_or_else(|| {
            let each = recipe.prompts();
            let count = (data.train.len() * rollouts.passes.get()).div_ceil(each);
            BudgetSettings::Updates(Count::of((count * recipe.updates_each()).max(1)))
        });
        let prompts = prompts_of(data.held_out.iter().chain(&data.train), |prompt| prompt);
        let answers = self.answers(
            &words,
            prompts,
            &data.held_out,
            Some(&reward),
            Some(recipe.sampling),
        );
        let stop = words.stop.clone();
        let trainer =
            PolicyGradient::new(recipe, policy, value, &reward, stop, self.streams(), budget);
        let mut session = self.session(&config, &words, &answers)?;
        let (policy, _) = trainer.run(&data.train, &mut session.log, &session.keeper)?;
        self.finish(session, &Model::Policy(policy), &data.report, None)
    }

    fn say_memory(
        &self,
        roles: &[Role],
        architecture: &preflab_transformer::Architecture,
        tokens: usize,
    ) {
        self.observer
            .note(&memory::line(roles, architecture, tokens));
    }

    /// What is asked of the policy while it trains.
    fn answers<'a>(
        &self,
        words: &'a Words,
        mut prompts: Vec<Vec<u32>>,
        scored: &'a [Vec<u32>],
        scorer: Option<&'a dyn Scorer>,
        sampling: Option<SamplingSettings>,
    ) -> Answers<'a> {
        let samples = &self.request().settings.samples;
        prompts.truncate(samples.prompts);
        Answers {
            words,
            shown: prompts,
            scored,
            scorer,
            sampling: sampling.unwrap_or(samples.sampling),
            streams: self.streams(),
        }
    }

    /// Opens the log and takes up the newest checkpoint.
    fn session<'s>(
        &'s self,
        config: &'s Config,
        words: &'s Words,
        answers: &'s Answers<'s>,
    ) -> Result<Session<'s>, FinetuneError> {
        let request = self.request();
        let settings = &request.settings;
        let resumed = newest(&self.directory.checkpoints())?;
        let path = self.directory.path();
        let begun = path.join(SCALARS_FILE).is_file();
        let log = match &resumed {
            Some(newest) => {
                self.observer.note(&format!(
                    "going on after {} updates",
                    newest.progress.update
                ));
                RunLog::resume(path, newest.progress.update + 1)?
            }
            None if begun => RunLog::resume(path, 0)?,
            None => RunLog::create(path)?,
        };
        let mut log = Remembering::new(log);
        if resumed.is_none() {
            let text = format!("```toml\n{}```", request.to_toml());
            log.text(0, Text::Settings, &text)?;
        }
        let samples = &settings.samples;
        let judges = settings.checkpoints.output == OutputModel::Best;
        let keeper = Keeper {
            directory: self.directory.checkpoints(),
            settings: &settings.checkpoints,
            saving: Saving {
                config,
                words,
                number: settings.save_as,
                base: checkpoint_of(&settings.model),
            },
            best: request.best_metric(),
            keep_best: settings.checkpoints.keep_best.max(usize::from(judges)),
            early: settings.early_stop.as_ref().and_then(|early| {
                Some(Early {
                    metric: request.stop_metric()?,
                    patience: early.patience.get(),
                    min_delta: early.min_delta.get(),
                })
            }),
            look: Some(answers as &dyn Look),
            look_every: samples.every.unwrap_or(settings.evaluate_every).get() as u64,
            latest: log.latest(),
            interrupt: self.interrupt,
            observer: self.observer,
            progress: RefCell::new(match &resumed {
                Some(newest) => newest.progress.clone(),
                None => Progress::default(),
            }),
            resumed,
        };
        Ok(Session { log, keeper })
    }

    /// Saves the model, its card and its figures.
    fn finish(
        &self,
        session: Session<'_>,
        last: &Model,
        data: &DataReport,
        normalise: Option<&dyn Fn(&ScalarModel) -> preflab_reward::Normalisation>,
    ) -> Result<Summary, FinetuneError> {
        let Session { mut log, keeper } = session;
        log.flush()?;
        drop(log);
        let progress = keeper.progress.borrow().clone();
        let request = self.request();
        let out = self.directory.path();
        let partial = out.join(".model.partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(FinetuneError::io("delete", &partial))?;
        }
        let best = progress.best.first().copied();
        let takes_best = request.settings.checkpoints.output == OutputModel::Best;
        let (output_update, scale) = match best.filter(|_| takes_best) {
            Some((_, update)) => {
                let directory = model_of(&self.directory.checkpoints(), update);
                copy_model(&directory, &partial)?;
                let scale = normalise
                    .map(|normalise| {
                        checkpoint::load::<ScalarModel>(&directory, self.device)
                            .map(|(model, _)| normalise(&model))
                            .map_err(FinetuneError::Load)
                    })
                    .transpose()?;
                (update, scale)
            }
            None => {
                keeper.saving.save(last.trained(), &partial)?;
                let scale = match (normalise, last) {
                    (Some(normalise), Model::Scalar(model)) => Some(normalise(model)),
                    (_, _) => None,
                };
                (progress.update, scale)
            }
        };
        if let Some(scale) = scale {
            let text = serde_json::to_vec_pretty(&scale).expect("plain data");
            let path = partial.join(NORMALISATION);
            fs::write(&path, text).map_err(FinetuneError::io("write", &path))?;
        }
        let curves = read_scalars(&out.join(SCALARS_FILE))?;
        let metrics = curves
            .metrics()
            .filter(|metric| metric.reproducible())
            .filter_map(|metric| Some((metric, curves.last(metric)?)))
            .filter(|(_, value)| value.is_finite())
            .map(|(metric, value)| (metric.tag().to_owned(), value))
            .collect();
        let summary = Summary {
            method: request.name().to_owned(),
            updates: progress.update,
            stopped_early: progress.stopped_early,
            output_update,
            best: best.map(|(value, update)| Best {
                metric: keeper.best.tag().to_owned(),
                value,
                update,
            }),
            data: data.clone(),
            metrics,
        };
        let base = checkpoint_of(&request.settings.model).map(|path| path.display().to_string());
        let card = Card {
            method: request.name(),
            base: base.as_deref(),
            is_reward_model: matches!(last, Model::Scalar(_)),
            data,
            metrics: &summary.metrics,
            updates: summary.updates,
            output: match takes_best {
                true => "of the best evaluation",
                false => "after the last update",
            },
            settings: &request.to_toml(),
            inputs: &self.inputs,
            command: &self.job.command,
            version: &self.job.version,
        };
        let path = partial.join("README.md");
        fs::write(&path, card.text()).map_err(FinetuneError::io("write", &path))?;
        move_into(&partial, out)?;
        finish(&self.directory.checkpoints())?;
        self.directory.write_json(METRICS, &summary)?;
        self.observer.note(&format!(
            "{} updates in {:.0} s; the model is in `{}`",
            summary.updates,
            self.begun.elapsed().as_secs_f64(),
            out.display()
        ));
        Ok(summary)
    }
}

/// The log and the keeper of a trainer at work.
struct Session<'s> {
    log: Remembering<RunLog>,
    keeper: Keeper<'s>,
}

/// A trained model.
enum Model {
    Policy(CausalLm),
    Scalar(ScalarModel),
}

impl Model {
    fn trained(&self) -> Trained<'_> {
        match self {
            Self::Policy(policy) => Trained::Policy(policy),
            Self::Scalar(model) => Trained::Scalar(model),
        }
    }
}

/// Pairs and margins side by side, as trainers take them.
struct Pairs {
    tokens: Vec<TokenPair>,
    /// None where the margin of a single pair is unknown.
    margins: Option<Vec<f64>>,
}

impl Pairs {
    fn new(pairs: &[PreparedPair]) -> Self {
        let margins = pairs.iter().map(|pair| pair.margin);
        Self {
            tokens: pairs.iter().map(|pair| pair.tokens.clone()).collect(),
            margins: margins.collect::<Option<Vec<f64>>>(),
        }
    }

    fn judged(&self) -> Judged<'_> {
        Judged {
            pairs: &self.tokens,
            gold_margins: self.margins.as_deref(),
        }
    }

    fn scored<'p>(&'p self, reference: &'p [ReferenceLogps]) -> ScoredPairs<'p> {
        ScoredPairs {
            pairs: &self.tokens,
            reference,
            score_gaps: self.margins.as_deref(),
        }
    }
}

/// The first `count` pairs.
fn first(scored: ScoredPairs<'_>, count: usize) -> ScoredPairs<'_> {
    let count = count.min(scored.pairs.len());
    ScoredPairs {
        pairs: &scored.pairs[..count],
        reference: &scored.reference[..count],
        score_gaps: scored.score_gaps.map(|gaps| &gaps[..count]),
    }
}

/// Refuses pairs whose preference has no strength, where the objective reads it.
fn need_margins(train: &Pairs, held_out: &Pairs) -> Result<(), FinetuneError> {
    match train.margins.is_some() && held_out.margins.is_some() {
        true => Ok(()),
        false => Err(FinetuneError::refused(
            "the objective reads by how much the chosen completion is better, and not every row says so",
            "add a column `margin`, or `score_chosen` and `score_rejected`",
        )),
    }
}

/// The configuration with the tokenizer's padding token, where it names none: transformers needs it to score a batch. One
/// that also ends completions would hide their last token, and is not named.
fn with_padding(config: Config, words: &Words) -> Config {
    let tokens = config.special_tokens();
    let padding = words.tokenizer.pad();
    if tokens.padding.is_some() || words.stop.contains(&padding) {
        return config;
    }
    config.with_special_tokens(&SpecialTokens {
        padding: Some(padding),
        ..tokens
    })
}

fn role<M: Module>(name: &'static str, model: &M, trained: bool) -> Role {
    Role {
        name,
        parameters: model.num_params(),
        trained: if trained {
            lora::trained_parameters(model)
        } else {
            0
        },
    }
}

fn pair_tokens(pair: &TokenPair) -> usize {
    let Pair { chosen, rejected } = pair.completions().map(<[u32]>::len);
    pair.prompt.len() + chosen + rejected
}

/// Tokens of the `rows` longest sequences: the most a pass may take.
fn longest(lengths: impl Iterator<Item = usize>, rows: usize) -> usize {
    let mut lengths: Vec<usize> = lengths.collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    lengths.iter().take(rows).sum()
}

/// The first distinct prompts, a few of them.
fn prompts_of<'t, T: 't>(
    rows: impl Iterator<Item = &'t T>,
    prompt: fn(&T) -> &Vec<u32>,
) -> Vec<Vec<u32>> {
    const MOST: usize = 64;
    let mut prompts: Vec<Vec<u32>> = Vec::new();
    for row in rows {
        let prompt = prompt(row);
        if !prompts.contains(prompt) {
            prompts.push(prompt.clone());
        }
        if prompts.len() == MOST {
            break;
        }
    }
    prompts
}
