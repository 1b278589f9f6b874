//! `preflab train`: one model, one data set, one directory.

mod dpo;
mod kto;
mod on_policy;
mod reward;
mod session;
mod sft;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;
use std::{fs, io};

use burn::tensor::Device;
use preflab_config::{
    Count, LoraSettings, ModelSource, SamplingSettings, TokenizerSettings, TrainMethod,
};
use preflab_data::{Pair, Rows, TokenPair, Tokenizer, Units};
use preflab_experiment::{Interrupt, RoleMemory, StageMemory, Way, hash_file};
use preflab_ppo::{Recipe, Scorer};
use preflab_training::{DeviceChoice, Stream, Streams};
use preflab_transformer::checkpoint::{self, Config};
use preflab_transformer::lora;
use serde::{Deserialize, Serialize};

use crate::data::{DataReport, Reading, Tokens, texts};
use crate::looks::Answers;
use crate::memory::sizes;
use crate::reward_model::NORMALISATION;
use crate::run_directory::{METRICS, RunDirectory, Standing, read_json};
use crate::start::{Start, Words, checkpoint_of, kind};
use crate::{FinetuneError, Observer, TrainRequest};

/// Tokens of the tokenizer that is made for a fresh model, where nothing is said.
const VOCABULARY: usize = 2048;

/// Numbers of the stream of initial weights that adapters are drawn from.
const POLICY_ADAPTER: u64 = 3;
const REWARD_ADAPTER: u64 = 4;
const VALUE_ADAPTER: u64 = 5;

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
        scratch: directory.checkpoints(),
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
    /// Where the rows are kept while the run lasts.
    scratch: PathBuf,
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
            scratch: &self.scratch,
            observer: self.observer,
        }
    }

    /// How a model of the run computes.
    fn way(&self, architecture: &preflab_transformer::Architecture) -> Way {
        let settings = &self.request().settings;
        let on_cpu = matches!(self.job.device, DeviceChoice::Cpu);
        Way::new(
            sizes(architecture),
            settings.precision,
            settings.memory,
            on_cpu,
        )
    }

    /// The adapters that are trained.
    fn lora(&self) -> Option<&LoraSettings> {
        self.request().settings.lora.as_ref()
    }

    fn say_memory(&self, roles: Vec<RoleMemory>) {
        for line in StageMemory::of(roles).lines() {
            self.observer.note(&line);
        }
    }

    /// What was read from the file that rows are kept in.
    fn read<T>(&self, result: io::Result<T>) -> Result<T, FinetuneError> {
        result.map_err(FinetuneError::io("read a row again in", &self.scratch))
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
}

/// The margins of pairs; none where that of a single one is unknown.
fn margins(notes: &[Option<f64>]) -> Option<Vec<f64>> {
    notes.iter().copied().collect()
}

/// Refuses pairs whose preference has no strength, where the objective reads it.
fn need_margins(margins: &[&Option<Vec<f64>>]) -> Result<(), FinetuneError> {
    match margins.iter().all(|margins| margins.is_some()) {
        true => Ok(()),
        false => Err(FinetuneError::refused(
            "the objective reads by how much the chosen completion is better, and not every row says so",
            "add a column `margin`, or `score_chosen` and `score_rejected`",
        )),
    }
}

/// Tokens of a pair in one pass, which computes its prompt once, and those of them that are predicted.
fn pair_lengths(pair: &TokenPair) -> (usize, usize) {
    let Pair { chosen, rejected } = pair.completions().map(<[u32]>::len);
    (pair.prompt.len() + chosen + rejected, chosen + rejected)
}

/// The first distinct prompts, a few of them.
fn prompts_of<T: Tokens>(rows: [Rows<'_, T>; 2]) -> io::Result<Vec<Vec<u32>>> {
    const MOST: usize = 64;
    let mut prompts: Vec<Vec<u32>> = Vec::new();
    for rows in rows {
        for index in 0..rows.len() {
            let row = rows.row(index)?;
            if !prompts.iter().any(|prompt| prompt == row.prompt()) {
                prompts.push(row.prompt().to_vec());
            }
            if prompts.len() == MOST {
                return Ok(prompts);
            }
        }
    }
    Ok(prompts)
}
