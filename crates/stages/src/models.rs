//! Models of the stages: made from settings, saved as checkpoint directories, read back.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use preflab_config::ModelSource;
use preflab_data::Tokenizer;
use preflab_training::fresh_model;
use preflab_transformer::CausalLm;
use preflab_transformer::checkpoint::{self, Config, Model, SaveOptions};

use crate::StageError;

/// Where a stage's directory holds its model: a Hugging Face checkpoint directory.
pub fn directory(stage: &Path) -> PathBuf {
    stage.join("model")
}

/// The initial model of a source: fresh weights of a shape, drawn from `seed`, or those of a checkpoint.
///
/// # Errors
/// If a checkpoint cannot be read.
pub fn initial(
    source: &ModelSource,
    tokenizer: &Tokenizer,
    seed: u64,
    device: &Device,
) -> Result<(CausalLm, Config), StageError> {
    match source {
        ModelSource::Shape(shape) => Ok(fresh_model(shape, tokenizer, seed, device)),
        ModelSource::Named(checkpoint) => Ok(checkpoint::load(checkpoint, device)?),
    }
}

/// Saves a stage's model with its tokenizer, as a directory that transformers loads.
///
/// # Errors
/// If it cannot be written.
pub fn save<M: Model>(
    model: &M,
    config: &Config,
    tokenizer: &Tokenizer,
    stage: &Path,
) -> Result<(), StageError> {
    let directory = directory(stage);
    checkpoint::save(model, config, SaveOptions::default(), &directory)?;
    Ok(tokenizer.save(&directory)?)
}

/// The model that a stage saved.
///
/// # Errors
/// If it cannot be read.
pub fn load<M: Model>(stage: &Path, device: &Device) -> Result<(M, Config), StageError> {
    Ok(checkpoint::load(&directory(stage), device)?)
}
