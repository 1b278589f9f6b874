//! Qwen 3: Llama with norms of queries and keys.

use super::{llama, qwen2};
use crate::architecture::Architecture;
use crate::checkpoint::{CheckpointError, Config};

pub(super) fn architecture(config: &Config) -> Result<Architecture, CheckpointError> {
    let mut architecture = llama::like(config, Some(128))?;
    let bias = config.flag_or("attention_bias", false)?;
    architecture.attention.qkv_bias = bias;
    architecture.attention.output_bias = bias;
    architecture.attention.qk_norm = true;
    qwen2::set_windows(&mut architecture, config)?;
    Ok(architecture)
}
