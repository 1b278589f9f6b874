//! Why a stage failed.

use std::path::{Path, PathBuf};

use preflab_data::DataError;
use preflab_metrics::SinkError;
use preflab_tasks::TaskError;
use preflab_training::{DeviceError, TrainError};
use preflab_transformer::checkpoint::CheckpointError;
use preflab_transformer::lora::LoraError;

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The task's data.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A tokenizer or a data file.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Saved weights.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Adapters that the model cannot have.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// Reference log-probabilities that are not those of the policy that training starts from.
    #[error(transparent)]
    Reference(#[from] preflab_dpo::ReferenceError),
    /// The log.
    #[error(transparent)]
    Log(#[from] SinkError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A file of the stage's directory.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried: "read" or "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file of an earlier stage is not what it should be.
    #[error("`{}` is damaged: {problem}\n\nhint: delete its directory to compute the stage again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The settings leave nothing to train on.
    #[error("{problem}\n\nhint: {hint}")]
    Nothing {
        /// What is missing.
        problem: String,
        /// The way out.
        hint: String,
    },
}

impl StageError {
    pub(crate) fn io<'p>(
        action: &'static str,
        path: &'p Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<'p> {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
