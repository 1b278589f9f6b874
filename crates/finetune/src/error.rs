//! Why a request cannot be done, or was not.

use std::path::{Path, PathBuf};

use preflab_data::DataError;
use preflab_experiment::Problems;
use preflab_metrics::SinkError;
use preflab_training::{DeviceError, TrainError};
use preflab_transformer::checkpoint::CheckpointError;
use preflab_transformer::lora::LoraError;

/// Why a request cannot be done, or was not.
#[derive(Debug, thiserror::Error)]
pub enum FinetuneError {
    /// Settings that are wrong, each problem at its place.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// Something asked for that does not go.
    #[error("{problem}\n\nhint: {hint}")]
    Refused {
        /// What is wrong.
        problem: String,
        /// The way out.
        hint: String,
    },
    /// A data file or a tokenizer.
    #[error("{0}\n\nhint: {hint}", hint = .0.hint())]
    Data(#[from] DataError),
    /// A model that cannot be read.
    #[error(transparent)]
    Load(CheckpointError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Adapters that the model cannot have.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// A model that cannot be written.
    #[error(transparent)]
    Save(CheckpointError),
    /// Training failed.
    #[error(transparent)]
    Train(TrainError),
    /// The log.
    #[error(transparent)]
    Log(#[from] SinkError),
    /// A file of the run.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// "read", "write", ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file of the run is not what was written.
    #[error("`{}` is damaged: {problem}\n\nhint: {hint}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// The way out.
        hint: String,
    },
    /// The user stopped it; what was done so far is kept.
    #[error("stopped: run the same command again to go on from the last checkpoint")]
    Interrupted,
}

impl FinetuneError {
    /// Whether the request was wrong, so that nothing was done.
    pub fn is_request(&self) -> bool {
        match self {
            Self::Settings(_)
            | Self::Refused { .. }
            | Self::Data(_)
            | Self::Load(_)
            | Self::Lora(_)
            | Self::Device(_) => true,
            Self::Save(_)
            | Self::Train(_)
            | Self::Log(_)
            | Self::Io { .. }
            | Self::Damaged { .. }
            | Self::Interrupted => false,
        }
    }

    pub(crate) fn refused(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused {
            problem: problem.into(),
            hint: hint.into(),
        }
    }

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

impl From<TrainError> for FinetuneError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Stopped => Self::Interrupted,
            TrainError::Watch(cause) => match cause.downcast::<FinetuneError>() {
                Ok(error) => *error,
                Err(cause) => Self::Train(TrainError::Watch(cause)),
            },
            error => Self::Train(error),
        }
    }
}
