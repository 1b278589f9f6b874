//! What both sides are given: a model, a batch, token ids.

use std::path::Path;

use preflab_config::ModelSettings;
use preflab_data::TokenPair;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::lengths::Lengths;

/// The end-of-sequence token of the peers' tokenizer; ids below [`FIRST`] are special.
const EOS: u32 = 1;
/// The first id that stands for a word.
const FIRST: u32 = 4;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Task {
    /// A DPO update; the reference log-probabilities are known.
    Dpo,
    /// An update of a reward model.
    Reward,
    /// A supervised update: every token but the first is predicted.
    Sft,
    /// Sampling of completions.
    Generate,
    /// A rollout and the updates on it, with the sampler's log-probabilities as the old ones (as TRL does it).
    Ppo,
    /// The same with the old log-probabilities, and the exact KL, from one more forward pass (our default).
    PpoRecomputed,
}

/// One measurement: what a child process reads from a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Workload {
    pub(crate) task: Task,
    /// The name of the shape.
    pub(crate) shape: String,
    pub(crate) threads: usize,
    /// Steps of a round, which is timed as a whole.
    pub(crate) steps: usize,
    /// Pairs of an update, or completions of a rollout.
    pub(crate) batch: usize,
    /// Completions in one forward and backward pass of PPO.
    pub(crate) micro_batch: usize,
    /// Passes over a rollout.
    pub(crate) epochs: usize,
    /// Tokens sampled for each prompt.
    pub(crate) new: usize,
    pub(crate) vocabulary: usize,
    pub(crate) model: ModelSettings,
    /// Token ids; both completions of a pair end with the end-of-sequence token.
    pub(crate) pairs: Vec<TokenPair>,
}

impl Workload {
    /// The shape that every side-by-side figure uses: d 256, 6 blocks, 8 query and 4 key-value heads, feed-forward 688,
    /// vocabulary 4096; 8 pairs an update.
    pub(crate) fn new(task: Task, shape: &str, threads: usize, pairs: &[Lengths]) -> Self {
        let vocabulary = 4096;
        let ppo = matches!(task, Task::Ppo | Task::PpoRecomputed);
        Self {
            task,
            shape: shape.to_owned(),
            threads,
            steps: 4,
            batch: if ppo || task == Task::Generate { 16 } else { 8 },
            micro_batch: 8,
            epochs: 4,
            new: 96,
            vocabulary,
            model: model(),
            pairs: tokens(pairs, vocabulary),
        }
    }

    pub(crate) fn steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// Tokens of a step as a trainer without any sharing reads them: no padding, the prompt once for each side.
    pub(crate) fn tokens_per_step(&self) -> f64 {
        let of_pairs = |f: fn(&TokenPair) -> usize| {
            self.pairs.iter().map(f).sum::<usize>() as f64 / self.pairs.len() as f64
                * self.batch as f64
        };
        match self.task {
            Task::Dpo | Task::Reward => {
                of_pairs(|pair| 2 * pair.prompt.len() + pair.chosen.len() + pair.rejected.len())
            }
            Task::Sft => of_pairs(|pair| pair.prompt.len() + pair.chosen.len()),
            Task::Generate | Task::Ppo | Task::PpoRecomputed => (self.batch * self.new) as f64,
        }
    }

    /// Writes it where a child process finds it.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, serde_json::to_vec(self)?)
    }

    pub(crate) fn read(path: &Path) -> std::io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }
}

pub(crate) fn model() -> ModelSettings {
    toml::from_str(
        "width = 256\nlayers = 6\nheads = 8\nkv_heads = 4\nfeedforward = 688\ncontext = 4096\ntied = false",
    )
    .expect("a model's settings")
}

/// Random token ids of these lengths.
pub(crate) fn tokens(lengths: &[Lengths], vocabulary: usize) -> Vec<TokenPair> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut words = |count: usize| -> Vec<u32> {
        (0..count)
            .map(|_| random.random_range(FIRST..vocabulary as u32))
            .collect()
    };
    lengths
        .iter()
        .map(|lengths| {
            let prompt = words(lengths.prompt);
            let [chosen, rejected] = [lengths.chosen, lengths.rejected].map(|length| {
                let mut completion = words(length.max(2) - 1);
                completion.push(EOS);
                completion
            });
            TokenPair {
                prompt,
                chosen,
                rejected,
            }
        })
        .collect()
}
