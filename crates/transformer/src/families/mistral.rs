//! Mistral: Llama whose blocks all look through one sliding window.

use super::llama;
use crate::architecture::Architecture;
use crate::checkpoint::{CheckpointError, Config};

pub(super) fn architecture(config: &Config) -> Result<Architecture, CheckpointError> {
    let mut architecture = llama::like(config, None)?;
    let window = config.optional_count("sliding_window", Some(4096))?;
    for layer in &mut architecture.layers {
        layer.window = window;
    }
    Ok(architecture)
}
