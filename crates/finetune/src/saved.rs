//! Models on disk: Hugging Face directories with everything that belongs to a model.

use std::fs;
use std::path::Path;

use burn::module::Module;
use preflab_config::SavedNumber;
use preflab_training::Trained;
use preflab_transformer::checkpoint::{self, Config, Number, SaveOptions};

use crate::FinetuneError;
use crate::start::Words;

/// What a model is saved with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Saving<'s> {
    pub config: &'s Config,
    pub words: &'s Words,
    pub number: SavedNumber,
}

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
            Trained::Policy(policy) => {
                checkpoint::save(&policy.valid(), self.config, options, directory)
            }
            Trained::Scalar(scorer) => {
                checkpoint::save(&scorer.valid(), self.config, options, directory)
            }
        }
        .map_err(FinetuneError::Save)?;
        self.words.save(directory)
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
    names.sort_by_key(|name| (name == "config.json", name.clone()));
    for name in names {
        let target = into.join(&name);
        fs::rename(from.join(&name), &target).map_err(FinetuneError::io("write", &target))?;
    }
    fs::remove_dir_all(from).map_err(FinetuneError::io("delete", from))
}

/// Copies the files of a model directory; directories in it stay behind.
pub(crate) fn copy_files(from: &Path, into: &Path) -> Result<(), FinetuneError> {
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
