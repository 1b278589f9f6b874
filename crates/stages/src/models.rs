//! Models of the stages: made from settings, saved in a stage's directory, read back.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use preflab_config::{ModelSource, Settings};
use preflab_transformer::{Architecture, CausalLm, ScalarModel};

use crate::{StageError, TaskData};

/// File of a stage's directory that holds its model.
const MODEL: &str = "model.bpk";

/// A fresh model of the settings' shape.
///
/// # Errors
/// If the settings name a checkpoint that cannot be read.
pub fn initial(
    source: &ModelSource,
    data: &TaskData,
    seed: u64,
    device: &Device,
) -> Result<CausalLm, StageError> {
    Ok(CausalLm::init(&architecture(source, data)?, seed, device))
}

fn architecture(source: &ModelSource, data: &TaskData) -> Result<Architecture, StageError> {
    match source {
        ModelSource::Shape(shape) => Ok(Architecture::new(shape, data.tokenizer().vocabulary())),
        ModelSource::Named(directory) => Err(StageError::Nothing {
            problem: format!("`{}` is no shape", directory.display()),
            hint: "write the shape in place".to_owned(),
        }),
    }
}

/// Saves a stage's model.
///
/// # Errors
/// If it cannot be written.
pub fn save<M: Module>(model: &M, directory: &Path) -> Result<(), StageError> {
    model
        .clone()
        .save_file(directory.join(MODEL))
        .map_err(|error| StageError::Damaged {
            path: directory.join(MODEL),
            problem: error.to_string(),
        })
}

/// The policy that a stage saved.
///
/// # Errors
/// If it cannot be read.
pub fn load_policy(
    settings: &Settings,
    data: &TaskData,
    directory: &Path,
    device: &Device,
) -> Result<CausalLm, StageError> {
    let fresh = CausalLm::init(&architecture(&settings.model, data)?, 0, device);
    Ok(fresh.load_file(directory.join(MODEL)))
}

/// The reward model that a stage saved.
///
/// # Errors
/// If it cannot be read.
pub fn load_scalar(
    settings: &Settings,
    data: &TaskData,
    directory: &Path,
    device: &Device,
) -> Result<ScalarModel, StageError> {
    let fresh = ScalarModel::init(&architecture(&settings.model, data)?, 0, device);
    Ok(fresh.load_file(directory.join(MODEL)))
}
