//! Training one model on one's own data: what goes in, what is kept, when it ends.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::{
    BudgetSettings, Count, DpoSettings, Fraction, GrpoSettings, LoraSettings, MemorySettings,
    ModelSource, NonNegative, PpoSettings, Precision, RewardSettings, RlooSettings, RowFilter,
    SamplingSettings, SftSettings, TokenizerSettings,
};

/// What every trainer of `preflab train` is told, whatever its method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// The start: a Hugging Face checkpoint directory, or a shape (fresh weights).
    pub model: ModelSource,
    /// Tokenizer of a fresh model; a checkpoint brings its own.
    #[serde(default)]
    pub tokenizer: TokenizerSettings,
    /// Data file, or several: JSON lines, a JSON array, CSV or Parquet, gzip or plain.
    pub data: Files,
    /// Held-out data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval: Option<Files>,
    /// Share of the data's rows that are held out, where there is no `eval`; rows of one prompt stay together.
    #[serde(default = "nothing")]
    pub eval_share: Fraction,
    /// Names of the file's columns: `prompt = "question"` reads `question` where `prompt` is meant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// The rows of `data` that are trained on; absent: all.
    #[serde(default, skip_serializing_if = "RowFilter::is_empty")]
    pub rows: RowFilter,
    /// The rows that are held out, of `eval`, or of `data` where there is no `eval`; absent: all of `eval`.
    #[serde(default, skip_serializing_if = "RowFilter::is_empty")]
    pub eval_rows: RowFilter,
    /// Longest sequence, tokens; absent: the context of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<Count>,
    /// What becomes of a longer one.
    #[serde(default)]
    pub over_long: OverLong,
    /// DPO family and KTO: the checkpoint directory of the reference; absent: the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_model: Option<PathBuf>,
    /// PPO, RLOO and GRPO: the checkpoint directory of the reward model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_model: Option<PathBuf>,
    /// Adapters that are trained in place of all weights (of PPO's value model, too); absent: all weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSettings>,
    /// What training trades for memory.
    #[serde(default, skip_serializing_if = "MemorySettings::is_default")]
    pub memory: MemorySettings,
    /// The numbers that every model computes in.
    #[serde(default, skip_serializing_if = "Precision::is_default")]
    pub precision: Precision,
    /// Seed of every random number.
    #[serde(default)]
    pub seed: u64,
    /// Updates between two evaluations on the held-out rows.
    #[serde(default = "evaluate_every")]
    pub evaluate_every: Count,
    /// Completions sampled while training, to be read.
    #[serde(default)]
    pub samples: SampleSettings,
    /// What is kept while training.
    #[serde(default)]
    pub checkpoints: CheckpointSettings,
    /// When training ends before its last update; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<EarlyStopSettings>,
    /// Numbers that the finished model is saved in.
    #[serde(default)]
    pub save_as: SavedNumber,
}

impl TrainSettings {
    /// The files of held-out rows: `eval`, or those of `data` where only the rows are told.
    pub fn held_out_files(&self) -> Option<&Files> {
        match (&self.eval, self.eval_rows.is_empty()) {
            (Some(files), _) => Some(files),
            (None, false) => Some(&self.data),
            (None, true) => None,
        }
    }
}

fn nothing() -> Fraction {
    Fraction::of(0.0)
}
fn evaluate_every() -> Count {
    Count::of(50)
}

/// One path or a list of paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Files(pub Vec<PathBuf>);

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Paths;

        impl<'de> Visitor<'de> for Paths {
            type Value = Files;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path or a list of paths")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<Files, E> {
                Ok(Files(vec![PathBuf::from(path)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, paths: A) -> Result<Files, A::Error> {
                let paths = Vec::<PathBuf>::deserialize(SeqAccessDeserializer::new(paths))?;
                if paths.is_empty() {
                    return Err(de::Error::custom("expected at least one path, found none"));
                }
                Ok(Files(paths))
            }
        }

        deserializer.deserialize_any(Paths)
    }
}

/// What becomes of a sequence that is longer than the longest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverLong {
    /// Its row is dropped, and counted.
    #[default]
    Drop,
    /// The completion loses its end (TRL's `truncation_mode = "keep_start"`).
    KeepStart,
    /// The prompt loses its start.
    KeepEnd,
}

/// Completions sampled while training, written to TensorBoard as text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleSettings {
    /// Prompts answered: the first held-out ones, or the first ones where none are held out. 0: no samples.
    pub prompts: usize,
    /// Updates between two samplings; absent: those between two evaluations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Count>,
    /// How they are sampled.
    pub sampling: SamplingSettings,
}

impl Default for SampleSettings {
    fn default() -> Self {
        Self {
            prompts: 4,
            every: None,
            sampling: SamplingSettings::default(),
        }
    }
}

/// What is kept of a run while it trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointSettings {
    /// Updates between two checkpoints.
    pub every: Count,
    /// The newest checkpoints that are kept; training goes on from the newest.
    pub keep_last: Count,
    /// The best checkpoints that are kept besides, by `metric`.
    pub keep_best: usize,
    /// Tag of the metric that says which is best; absent: the method's own (`eval_loss`; for reward models
    /// `eval_accuracy`; for the DPO family and KTO `eval_rewards/accuracies`; for PPO, RLOO and GRPO `objective/rlhf_reward`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Which model the run ends with.
    pub output: OutputModel,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self {
            every: Count::of(100),
            keep_last: Count::of(1),
            keep_best: 0,
            metric: None,
            output: OutputModel::default(),
        }
    }
}

/// Which model a run ends with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputModel {
    /// The one after the last update.
    #[default]
    Last,
    /// The best one that was evaluated.
    Best,
}

/// When training ends before its last update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopSettings {
    /// Evaluations in a row without improvement after which training ends.
    pub patience: Count,
    /// Tag of the metric; absent: that of `checkpoints.metric`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Least change that counts as improvement, in units of the metric.
    #[serde(default = "no_change")]
    pub min_delta: NonNegative,
}

fn no_change() -> NonNegative {
    NonNegative::of(0.0)
}

/// Number type of a saved model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SavedNumber {
    /// 32 bits: exactly what was trained.
    #[default]
    F32,
    /// Half precision.
    F16,
    /// The upper half of an f32, rounded.
    Bf16,
}

/// How long the DPO family and KTO train.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Passes {
    /// Passes over the pairs or examples.
    pub epochs: Count,
    /// Most updates; absent: as many as the passes have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_updates: Option<Count>,
}

impl Default for Passes {
    fn default() -> Self {
        Self {
            epochs: Count::of(1),
            max_updates: None,
        }
    }
}

impl Passes {
    /// Updates over `examples` examples, `batch` at a time.
    pub fn updates(&self, examples: usize, batch: usize) -> usize {
        let all = (examples * self.epochs.get()).div_ceil(batch);
        self.max_updates.map_or(all, |most| all.min(most.get()))
    }
}

/// How long PPO, RLOO and GRPO train.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rollouts {
    /// Passes over the prompts; read where there is no `budget`.
    pub passes: Count,
    /// An amount of updates, tokens or operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSettings>,
}

impl Default for Rollouts {
    fn default() -> Self {
        Self {
            passes: Count::of(1),
            budget: None,
        }
    }
}

/// A method of `preflab train` with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainMethod {
    /// Supervised fine-tuning.
    Sft(SftSettings),
    /// A reward model.
    Reward(RewardSettings),
    /// The DPO family.
    Dpo(DpoSettings, Passes),
    /// KTO or BCO on completions with labels, no pairs.
    Kto(DpoSettings, Passes),
    /// PPO.
    Ppo(PpoSettings, Rollouts),
    /// RLOO.
    Rloo(RlooSettings, Rollouts),
    /// GRPO.
    Grpo(GrpoSettings, Rollouts),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_and_a_file_are_enough() {
        let settings: TrainSettings =
            toml::from_str("model = \"checkpoint\"\ndata = \"pairs.jsonl\"").unwrap();
        assert_eq!(settings.data, Files(vec!["pairs.jsonl".into()]));
        assert_eq!(settings.checkpoints, CheckpointSettings::default());
        let written = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<TrainSettings>(&written).unwrap(), settings);
    }

    #[test]
    fn files_are_a_path_or_a_list_that_is_not_empty() {
        #[derive(Debug, Deserialize)]
        struct Settings {
            data: Files,
        }
        let read = |text: &str| toml::from_str::<Settings>(text);
        assert_eq!(read("data = [\"a\", \"b\"]").unwrap().data.0.len(), 2);
        let error = read("data = []").unwrap_err().to_string();
        assert!(error.contains("at least one path"), "{error}");
        let error = read("data = 3").unwrap_err().to_string();
        assert!(error.contains("a path or a list of paths"), "{error}");
    }

    #[test]
    fn the_last_update_of_the_last_pass_is_filled_up() {
        let passes: Passes = toml::from_str("epochs = 2").unwrap();
        assert_eq!(passes.updates(10, 8), 3);
        let passes: Passes = toml::from_str("epochs = 2\nmax_updates = 2").unwrap();
        assert_eq!(passes.updates(10, 8), 2);
    }
}
