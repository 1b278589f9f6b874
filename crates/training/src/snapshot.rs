//! Where a trainer stands between two updates: written down, and taken up again bit for bit.
//!
//! A state is a directory: the weights and moments as safetensors files, and everything else in one JSON file. What settings
//! and data decide is not in it, nor the random streams: these are functions of (seed, stream, step).

use std::path::{Path, PathBuf};

use burn::module::Module;
use preflab_transformer::checkpoint::{CheckpointError, load_weights, save_weights};
use preflab_transformer::{CausalLm, ScalarModel};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Optimizer;

/// The file with all that is not a tensor.
const VALUES: &str = "state.json";

/// Why a trainer's state cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file of tensors.
    #[error(transparent)]
    Tensors(#[from] CheckpointError),
    /// The system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// "read" or "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Not the state of such a trainer.
    #[error("`{}` is not the state of this trainer: {source}", path.display())]
    Values {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
}

/// A trainer between two updates.
pub trait Snapshot {
    /// Writes all that the next update depends on, besides settings and data, into `directory`, which exists.
    ///
    /// # Errors
    /// If the disk refuses.
    fn save_state(&self, directory: &Path) -> Result<(), StateError>;

    /// The model as trained so far.
    fn trained(&self) -> Trained<'_>;
}

/// What a trainer trains.
#[derive(Debug, Clone, Copy)]
pub enum Trained<'t> {
    /// A language model.
    Policy(&'t CausalLm),
    /// A reward model.
    Scalar(&'t ScalarModel),
}

/// Writes the parts of a state into its directory.
#[derive(Debug, Clone, Copy)]
pub struct StateWriter<'d>(pub &'d Path);

impl StateWriter<'_> {
    /// A model's weights, under a name.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn module<M: Module>(&self, name: &str, module: &M) -> Result<(), StateError> {
        Ok(save_weights(module, &tensors(self.0, name))?)
    }

    /// A model's weights and the moments of its optimiser, under a name.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn learner<M: Module>(
        &self,
        name: &str,
        module: &M,
        optimizer: &Optimizer,
    ) -> Result<(), StateError> {
        self.module(name, module)?;
        optimizer.save_moments(&tensors(self.0, &format!("{name}-moments")))
    }

    /// Everything that is not a tensor.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn values<T: Serialize>(&self, values: &T) -> Result<(), StateError> {
        let path = self.0.join(VALUES);
        let text = serde_json::to_vec(values).map_err(|source| StateError::Values {
            path: path.clone(),
            source,
        })?;
        std::fs::write(&path, text).map_err(|source| StateError::Io {
            action: "write",
            path,
            source,
        })
    }
}

/// Reads the parts of a state from its directory.
#[derive(Debug, Clone, Copy)]
pub struct StateReader<'d>(pub &'d Path);

impl StateReader<'_> {
    /// `module` with the weights kept under a name.
    ///
    /// # Errors
    /// If they are not those of such a model.
    pub fn module<M: Module>(&self, name: &str, module: M) -> Result<M, StateError> {
        Ok(load_weights(module, &tensors(self.0, name))?)
    }

    /// `module` with the weights kept under a name, and the moments of its optimiser, whose progress is set already.
    ///
    /// # Errors
    /// If they are not those of such a model.
    pub fn learner<M: Module>(
        &self,
        name: &str,
        module: M,
        optimizer: &mut Optimizer,
    ) -> Result<M, StateError> {
        let module = self.module(name, module)?;
        optimizer.load_moments(&module, &tensors(self.0, &format!("{name}-moments")))?;
        Ok(module)
    }

    /// Everything that is not a tensor.
    ///
    /// # Errors
    /// If it is not that of such a trainer.
    pub fn values<T: DeserializeOwned>(&self) -> Result<T, StateError> {
        let path = self.0.join(VALUES);
        let text = std::fs::read(&path).map_err(|source| StateError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        serde_json::from_slice(&text).map_err(|source| StateError::Values { path, source })
    }
}

fn tensors(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.safetensors"))
}
