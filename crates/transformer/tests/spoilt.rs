//! Small checkpoint directories that tests can spoil.

use std::path::PathBuf;

use burn::tensor::Device;
use preflab_transformer::checkpoint::{
    self, CheckpointError, Config, Model, SaveOptions, SpecialTokens,
};
use preflab_transformer::{Architecture, CausalLm};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{VOCABULARY, settings};

/// A checkpoint directory of a small Llama, to be spoilt.
pub struct Checkpoint(pub TempDir);

impl Checkpoint {
    pub fn new() -> Self {
        Self::of(&CausalLm::init(
            &Architecture::new(&settings(false), VOCABULARY),
            11,
            &Device::flex(),
        ))
    }

    pub fn of<M: Model>(model: &M) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::llama(model.decoder().architecture(), &SpecialTokens::default());
        checkpoint::save(model, &config, SaveOptions::default(), dir.path()).unwrap();
        Self(dir)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn weights(&self) -> Vec<u8> {
        std::fs::read(self.path("model.safetensors")).unwrap()
    }

    pub fn write(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path(name), bytes).unwrap();
        self
    }

    /// Changes a value of `config.json`; null removes it.
    pub fn set(self, key: &str, value: Value) -> Self {
        let mut config: Value =
            serde_json::from_slice(&std::fs::read(self.path("config.json")).unwrap()).unwrap();
        match value {
            Value::Null => drop(config.as_object_mut().unwrap().remove(key)),
            value => config[key] = value,
        }
        self.write("config.json", config.to_string())
    }

    /// Changes the header of the weights, keeping their bytes.
    pub fn header(self, change: impl FnOnce(&mut Value)) -> Self {
        let bytes = self.weights();
        let size = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + size]).unwrap();
        change(&mut header);
        let file = file(&header.to_string(), &bytes[8 + size..]);
        self.write("model.safetensors", file)
    }

    pub fn load(&self) -> Result<CausalLm, CheckpointError> {
        Ok(checkpoint::load::<CausalLm>(self.0.path(), &Device::flex())?.0)
    }

    /// The message with which loading fails, without the directory.
    #[track_caller]
    pub fn message(&self) -> String {
        let error = self.load().expect_err("loading fails").to_string();
        error
            .replace(&format!("{}/", self.0.path().display()), "")
            .replace(&self.0.path().display().to_string(), "DIR")
    }
}

/// A safetensors file.
pub fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        data,
    ]
    .concat()
}

/// A tensor of the checkpoint.
pub const NORM: &str = "model.norm.weight";
