//! Models on disk: Hugging Face directories with everything that belongs to a model.

use std::fs;
use std::path::Path;

use preflab_config::SavedNumber;
use preflab_training::Trained;
use preflab_transformer::checkpoint::{self, Config, Model, Number, SaveOptions};
use preflab_transformer::lora;

use crate::FinetuneError;
use crate::start::Words;

/// What a model is saved with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Saving<'s> {
    pub config: &'s Config,
    pub words: &'s Words,
    pub number: SavedNumber,
    /// The checkpoint directory that adapters belong to.
    pub base: Option<&'s Path>,
}

/// Directory with the adapters of a model whose weights have them folded in.
const ADAPTER: &str = "adapter";

impl Saving<'_> {
    /// Writes a model directory that transformers loads; `directory` is made.
    pub fn save(&self, model: Trained<'_>, directory: &Path) -> Result<(), FinetuneError> {
        let options = SaveOptions {
            number: match self.number {
                SavedNumber::F32 => Number::F32,
                SavedNumber::F16 => Number::F16,
                SavedNumber::Bf16 => Number::Bf16,
            },
            ..SaveOptions::default()
        };
        match model {
            Trained::Policy(policy) => self.write(policy, options, directory),
            Trained::Scalar(scorer) => self.write(scorer, options, directory),
        }?;
        self.words.save(directory)
    }

    /// Weights with adapters folded in; and, where they belong to a checkpoint, the adapters alone beside them.
    fn write<M: Model>(
        &self,
        model: &M,
        options: SaveOptions,
        directory: &Path,
    ) -> Result<(), FinetuneError> {
        checkpoint::save(model, self.config, options, directory).map_err(FinetuneError::Save)?;
        match self.base {
            Some(base) if lora::is_adapted(model) => {
                let base = base.display().to_string();
                lora::save(&model.valid(), self.config, &base, &directory.join(ADAPTER))
                    .map_err(FinetuneError::Save)
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Moves the files of a finished model directory into `into`, the weights last but for `config.json`, without which there
/// is no model.
pub(crate) fn move_into(from: &Path, into: &Path) -> Result<(), FinetuneError> {
    let mut names: Vec<_> = fs::read_dir(from)
        .map_err(FinetuneError::io("read", from))?
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name())
        .collect();
    if from.join(ADAPTER).is_dir() {
        let target = into.join(ADAPTER);
        if target.exists() {
            fs::remove_dir_all(&target).map_err(FinetuneError::io("delete", &target))?;
        }
        fs::rename(from.join(ADAPTER), &target).map_err(FinetuneError::io("write", &target))?;
    }
    names.sort_by_key(|name| (name == "config.json", name.clone()));
    for name in names {
        let target = into.join(&name);
        fs::rename(from.join(&name), &target).map_err(FinetuneError::io("write", &target))?;
    }
    fs::remove_dir_all(from).map_err(FinetuneError::io("delete", from))
}

/// Copies a model directory with its adapters; what a trainer keeps there stays behind.
pub(crate) fn copy_model(from: &Path, into: &Path) -> Result<(), FinetuneError> {
    if from.join(ADAPTER).is_dir() {
        copy_files(&from.join(ADAPTER), &into.join(ADAPTER))?;
    }
    copy_files(from, into)
}

fn copy_files(from: &Path, into: &Path) -> Result<(), FinetuneError> {
    fs::create_dir_all(into).map_err(FinetuneError::io("create", into))?;
    for entry in fs::read_dir(from)
        .map_err(FinetuneError::io("read", from))?
        .flatten()
    {
        if entry.path().is_file() {
            let target = into.join(entry.file_name());
            fs::copy(entry.path(), &target).map_err(FinetuneError::io("write", &target))?;
        }
    }
    Ok(())
}
