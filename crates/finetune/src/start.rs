//! The model that training, sampling and scoring start from: a checkpoint directory, or fresh weights.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use preflab_config::{ModelSettings, ModelSource};
use preflab_data::{ChatTemplate, Preprocessor, Tokenizer};
use preflab_training::fresh_model;
use preflab_transformer::checkpoint::{self, CheckpointError, Config};
use preflab_transformer::{CausalLm, ScalarModel};
use serde_json::Value;

use crate::FinetuneError;

/// Files of a checkpoint that say how text becomes tokens, and back; they are taken along as they are.
pub(crate) const TOKENIZER_FILES: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "generation_config.json",
];

/// How text becomes token ids.
#[derive(Debug)]
pub struct Words {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The chat template, where the model has one.
    pub template: Option<ChatTemplate>,
    /// The checkpoint directory they come from; none of a tokenizer that was made for a fresh model.
    pub directory: Option<PathBuf>,
    /// Tokens that end a completion, the first of them the tokenizer's own end-of-sequence token.
    pub stop: Vec<u32>,
}

impl Words {
    /// Those of a checkpoint directory.
    ///
    /// # Errors
    /// If its tokenizer or template cannot be read.
    pub fn load(directory: &Path) -> Result<Self, FinetuneError> {
        let tokenizer = Tokenizer::load(directory)?;
        let mut stop = vec![tokenizer.eos()];
        for file in ["generation_config.json", "config.json"] {
            let ids = ends(&directory.join(file));
            stop.extend(ids.into_iter().filter(|id| *id != tokenizer.eos()));
        }
        stop.dedup();
        Ok(Self {
            template: ChatTemplate::load(directory, tokenizer.special())?,
            tokenizer,
            directory: Some(directory.to_owned()),
            stop,
        })
    }

    /// Those of a tokenizer that was just made.
    pub fn of_tokenizer(tokenizer: Tokenizer) -> Self {
        Self {
            stop: vec![tokenizer.eos()],
            tokenizer,
            template: None,
            directory: None,
        }
    }

    /// What turns rows into token ids.
    pub fn preprocessor(&self) -> Preprocessor<'_> {
        Preprocessor::new(&self.tokenizer, self.template.as_ref())
    }

    /// The token that stands for a prompt of no tokens: what sequences begin with, or else what they end with.
    pub fn first(&self) -> u32 {
        self.tokenizer.bos().unwrap_or(self.tokenizer.eos())
    }

    /// Writes the tokenizer's files into a model's directory.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn save(&self, directory: &Path) -> Result<(), FinetuneError> {
        let Some(from) = &self.directory else {
            return Ok(self.tokenizer.save(directory)?);
        };
        for name in TOKENIZER_FILES {
            let (from, to) = (from.join(name), directory.join(name));
            if from.is_file() {
                std::fs::copy(&from, &to).map_err(FinetuneError::io("write", &to))?;
            }
        }
        Ok(())
    }
}

/// The end-of-sequence ids that a JSON file names; none where it cannot be read, for the tokenizer has its own.
fn ends(file: &Path) -> Vec<u32> {
    let text = std::fs::read(file).unwrap_or_default();
    let values: Value = serde_json::from_slice(&text).unwrap_or_default();
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match values.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
        Some(one) => id(one).into_iter().collect(),
        None => Vec::new(),
    }
}

/// What a checkpoint directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A language model.
    Causal,
    /// A sequence classifier: a reward model.
    Classifier,
}

/// What the checkpoint in `directory` is, by the `architectures` of its configuration.
///
/// # Errors
/// If there is no configuration.
pub fn kind(directory: &Path) -> Result<Kind, FinetuneError> {
    let path = directory.join("config.json");
    let text = std::fs::read(&path).map_err(|source| {
        FinetuneError::refused(
            format!("`{}` cannot be read: {source}", path.display()),
            "expected a Hugging Face checkpoint directory, with `config.json`, safetensors files and `tokenizer.json`",
        )
    })?;
    let values: Value = serde_json::from_slice(&text).unwrap_or_default();
    let names = values["architectures"].as_array();
    let classifies = names.into_iter().flatten().any(|name| {
        name.as_str()
            .is_some_and(|name| name.ends_with("ForSequenceClassification"))
    });
    Ok(match classifies {
        true => Kind::Classifier,
        false => Kind::Causal,
    })
}

/// A language model, its configuration and its words.
#[derive(Debug)]
pub struct Start {
    /// The model.
    pub policy: CausalLm,
    /// What its `config.json` says.
    pub config: Config,
    /// How text becomes token ids.
    pub words: Words,
}

impl Start {
    /// The language model of a checkpoint directory.
    ///
    /// # Errors
    /// If it cannot be read, is a reward model, or has a tokenizer of more tokens than the model.
    pub fn load(directory: &Path, device: &Device) -> Result<Self, FinetuneError> {
        if kind(directory)? == Kind::Classifier {
            return Err(FinetuneError::refused(
                format!(
                    "`{}` holds a reward model (a sequence classifier), not a language model",
                    directory.display()
                ),
                "name the checkpoint of a language model",
            ));
        }
        let words = Words::load(directory)?;
        let (policy, config) =
            checkpoint::load::<CausalLm>(directory, device).map_err(FinetuneError::Load)?;
        fits(&words, policy.architecture().vocabulary, directory)?;
        Ok(Self {
            policy,
            config,
            words,
        })
    }

    /// Fresh weights of a shape for the words of a tokenizer.
    pub fn fresh(shape: &ModelSettings, words: Words, seed: u64, device: &Device) -> Self {
        let (policy, config) = fresh_model(shape, &words.tokenizer, seed, device);
        Self {
            policy,
            config,
            words,
        }
    }
}

/// A reward model with its words.
#[derive(Debug)]
pub struct RewardStart {
    /// The model.
    pub model: ScalarModel,
    /// What its `config.json` says.
    pub config: Config,
    /// How text becomes token ids.
    pub words: Words,
}

impl RewardStart {
    /// The reward model of a checkpoint directory.
    ///
    /// # Errors
    /// If it cannot be read, or is a language model.
    pub fn load(directory: &Path, device: &Device) -> Result<Self, FinetuneError> {
        if kind(directory)? == Kind::Causal {
            return Err(FinetuneError::refused(
                format!(
                    "`{}` holds a language model, not a reward model",
                    directory.display()
                ),
                "`preflab train reward --model DIR` makes a reward model of it",
            ));
        }
        let words = Words::load(directory)?;
        let (model, config) =
            checkpoint::load::<ScalarModel>(directory, device).map_err(FinetuneError::Load)?;
        fits(&words, model.architecture().vocabulary, directory)?;
        Ok(Self {
            model,
            config,
            words,
        })
    }
}

/// Refuses a tokenizer with ids that the model has no row for.
fn fits(words: &Words, vocabulary: usize, directory: &Path) -> Result<(), FinetuneError> {
    let needed = words.tokenizer.vocabulary();
    if needed <= vocabulary {
        return Ok(());
    }
    Err(FinetuneError::refused(
        format!(
            "the tokenizer of `{}` has {needed} token ids, its model {vocabulary}",
            directory.display()
        ),
        "the tokenizer files belong to another model, or tokens were added without resizing the model",
    ))
}

/// The checkpoint directory of a source, or the reason why there is none.
pub(crate) fn checkpoint_of(source: &ModelSource) -> Option<&Path> {
    match source {
        ModelSource::Named(directory) => Some(directory),
        ModelSource::Shape(_) => None,
    }
}

impl From<CheckpointError> for FinetuneError {
    fn from(error: CheckpointError) -> Self {
        Self::Save(error)
    }
}
