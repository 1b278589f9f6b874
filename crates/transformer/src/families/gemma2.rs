//! Gemma 2: soft caps, norms before and after attention and feed-forward, GeGLU, alternating sliding windows.

use super::{BlockForm, Layout, llama};
use crate::architecture::{Activation, Architecture, NormKind, Residual};
use crate::checkpoint::{BlockRole, CheckpointError, Config};

pub(super) const LAYOUT: Layout = Layout {
    block,
    class: "Gemma2",
    ..llama::LAYOUT
};

pub(super) fn architecture(config: &Config) -> Result<Architecture, CheckpointError> {
    if config.flag_or("use_bidirectional_attention", false)? {
        return Err(config.wrong(
            "use_bidirectional_attention",
            "false: a decoder looks back only",
        ));
    }
    let mut architecture = llama::like(config, Some(256))?;
    let bias = config.flag_or("attention_bias", false)?;
    architecture.attention.qkv_bias = bias;
    architecture.attention.output_bias = bias;
    architecture.attention.cap = config.optional_positive("attn_logit_softcapping", Some(50.0))?;
    architecture.logits_cap = config.optional_positive("final_logit_softcapping", Some(30.0))?;
    architecture.embedding_scale = Some((architecture.width as f64).sqrt());
    architecture.norm.kind = NormKind::RmsPlusOne;
    architecture.residual = Residual::SequentialNormed;
    let other = config.activation("hidden_act", Activation::GeluTanh)?;
    architecture.mlp.activation = config.activation("hidden_activation", other)?;
    architecture.tied = config.flag_or("tie_word_embeddings", true)?;
    let scale = 1.0 / config.positive_or("query_pre_attn_scalar", 256.0)?.sqrt();
    let window = config.optional_count("sliding_window", Some(4096))?;
    let windows = config.windows(architecture.layers.len(), window, |index| index % 2 == 0)?;
    for (layer, window) in architecture.layers.iter_mut().zip(windows) {
        layer.window = window;
        layer.scale = scale;
    }
    Ok(architecture)
}

fn block(role: BlockRole) -> Option<(&'static str, BlockForm)> {
    match role {
        BlockRole::AttentionOutputNorm => Some(("post_attention_layernorm", BlockForm::Plain)),
        BlockRole::MlpNorm => Some(("pre_feedforward_layernorm", BlockForm::Plain)),
        BlockRole::MlpOutputNorm => Some(("post_feedforward_layernorm", BlockForm::Plain)),
        BlockRole::AttentionNorm
        | BlockRole::Query
        | BlockRole::Key
        | BlockRole::Value
        | BlockRole::Output
        | BlockRole::QueryNorm
        | BlockRole::KeyNorm
        | BlockRole::Gate
        | BlockRole::Up
        | BlockRole::Down => (llama::LAYOUT.block)(role),
    }
}
