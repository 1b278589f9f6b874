//! Llama: RMSNorm, rotary embedding, grouped-query attention, SwiGLU.

use super::{BlockForm, Layout};
use crate::architecture::{
    Activation, Architecture, AttentionSettings, Layer, MlpSettings, NormKind, NormSettings,
    Positions, Residual,
};
use crate::checkpoint::{BlockRole, CheckpointError, Config};

pub(super) const LAYOUT: Layout = Layout {
    prefix: "model.",
    token_embedding: "embed_tokens",
    position_embedding: None,
    blocks: "layers",
    final_norm: "norm",
    language_head: &["lm_head"],
    block,
    constants: &["rotary_emb.inv_freq"],
    class: "Llama",
};

pub(super) fn architecture(config: &Config) -> Result<Architecture, CheckpointError> {
    let mut architecture = like(config, None)?;
    let attention_bias = config.flag_or("attention_bias", false)?;
    architecture.attention.qkv_bias = attention_bias;
    architecture.attention.output_bias = attention_bias;
    architecture.mlp.bias = config.flag_or("mlp_bias", false)?;
    Ok(architecture)
}

/// What the families made like Llama have in common; `head_width` where the key `head_dim` is missing.
pub(super) fn like(
    config: &Config,
    head_width: Option<usize>,
) -> Result<Architecture, CheckpointError> {
    let (width, heads) = (
        config.count("hidden_size")?,
        config.count("num_attention_heads")?,
    );
    let head_width = match config.optional_count("head_dim", head_width)? {
        Some(head_width) => head_width,
        None => (width / heads).max(1),
    };
    let layers = config.count("num_hidden_layers")?;
    let scale = 1.0 / (head_width as f64).sqrt();
    Ok(Architecture {
        vocabulary: config.count("vocab_size")?,
        width,
        layers: config.blocks(
            layers,
            Layer {
                window: None,
                scale,
            },
        )?,
        attention: AttentionSettings {
            heads,
            kv_heads: config.count_or("num_key_value_heads", heads)?,
            head_width,
            cap: None,
            qkv_bias: false,
            output_bias: false,
            qk_norm: false,
        },
        mlp: MlpSettings {
            width: config.count("intermediate_size")?,
            gated: true,
            activation: config.activation("hidden_act", Activation::Silu)?,
            bias: false,
        },
        norm: NormSettings {
            kind: NormKind::Rms,
            epsilon: config.positive_or("rms_norm_eps", 1e-6)?,
        },
        positions: Positions::Rotary(config.rotary(
            head_width,
            "rope_theta",
            "partial_rotary_factor",
            1.0,
        )?),
        residual: Residual::Sequential,
        embedding_scale: None,
        logits_cap: None,
        tied: config.flag_or("tie_word_embeddings", false)?,
        context: config.count_or("max_position_embeddings", 2048)?,
        initializer_range: config.positive_or("initializer_range", 0.02)?,
    })
}

fn block(role: BlockRole) -> Option<(&'static str, BlockForm)> {
    Some(match role {
        BlockRole::AttentionNorm => ("input_layernorm", BlockForm::Plain),
        BlockRole::Query => ("self_attn.q_proj", BlockForm::Linear),
        BlockRole::Key => ("self_attn.k_proj", BlockForm::Linear),
        BlockRole::Value => ("self_attn.v_proj", BlockForm::Linear),
        BlockRole::Output => ("self_attn.o_proj", BlockForm::Linear),
        BlockRole::QueryNorm => ("self_attn.q_norm", BlockForm::Plain),
        BlockRole::KeyNorm => ("self_attn.k_norm", BlockForm::Plain),
        BlockRole::MlpNorm => ("post_attention_layernorm", BlockForm::Plain),
        BlockRole::Gate => ("mlp.gate_proj", BlockForm::Linear),
        BlockRole::Up => ("mlp.up_proj", BlockForm::Linear),
        BlockRole::Down => ("mlp.down_proj", BlockForm::Linear),
        BlockRole::AttentionOutputNorm | BlockRole::MlpOutputNorm => return None,
    })
}
