//! Qwen 2 and 2.5: Llama with biases of queries, keys and values.

use super::llama;
use crate::architecture::Architecture;
use crate::checkpoint::{CheckpointError, Config};

pub(super) fn architecture(config: &Config) -> Result<Architecture, CheckpointError> {
    let mut architecture = llama::like(config, None)?;
    architecture.attention.qkv_bias = true;
    set_windows(&mut architecture, config)?;
    Ok(architecture)
}

/// The sliding window of the later blocks, where `use_sliding_window` asks for one.
pub(super) fn set_windows(
    architecture: &mut Architecture,
    config: &Config,
) -> Result<(), CheckpointError> {
    let window = match config.flag_or("use_sliding_window", false)? {
        true => config.optional_count("sliding_window", Some(4096))?,
        false => None,
    };
    let first = match config
        .value("max_window_layers")
        .map(|value| value.as_u64())
    {
        None => 28,
        Some(Some(first)) => first as usize,
        Some(None) => return Err(config.wrong("max_window_layers", "a whole number")),
    };
    let windows = config.windows(architecture.layers.len(), window, |index| index >= first)?;
    for (layer, window) in architecture.layers.iter_mut().zip(windows) {
        layer.window = window;
    }
    Ok(())
}
