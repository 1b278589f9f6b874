//! GPT-2: learned positions, LayerNorm, one matrix for queries, keys and values.

use super::{BlockForm, Layout};
use crate::architecture::{
    Activation, Architecture, AttentionSettings, Layer, MlpSettings, NormKind, NormSettings,
    Positions, Residual,
};
use crate::checkpoint::{BlockRole, CheckpointError, Config};

pub(super) const LAYOUT: Layout = Layout {
    prefix: "transformer.",
    token_embedding: "wte",
    position_embedding: Some("wpe"),
    blocks: "h",
    final_norm: "ln_f",
    language_head: &["lm_head"],
    block,
    constants: &[".attn.bias", ".attn.masked_bias"],
    class: "GPT2",
};

pub(super) fn architecture(config: &Config) -> Result<Architecture, CheckpointError> {
    if config.flag_or("add_cross_attention", false)? {
        return Err(config.wrong("add_cross_attention", "false: there is no encoder"));
    }
    let (width, heads) = (config.count("n_embd")?, config.count("n_head")?);
    if !width.is_multiple_of(heads) {
        return Err(config.wrong("n_head", format!("a divisor of the width {width}")));
    }
    let head_width = width / heads;
    let scale = match config.flag_or("scale_attn_weights", true)? {
        true => 1.0 / (head_width as f64).sqrt(),
        false => 1.0,
    };
    let mut layers = config.blocks(
        config.count("n_layer")?,
        Layer {
            window: None,
            scale,
        },
    )?;
    if config.flag_or("scale_attn_by_inverse_layer_idx", false)? {
        for (index, layer) in layers.iter_mut().enumerate() {
            layer.scale /= (index + 1) as f64;
        }
    }
    Ok(Architecture {
        vocabulary: config.count("vocab_size")?,
        width,
        layers,
        attention: AttentionSettings {
            heads,
            kv_heads: heads,
            head_width,
            cap: None,
            qkv_bias: true,
            output_bias: true,
            qk_norm: false,
        },
        mlp: MlpSettings {
            width: config.count_or("n_inner", 4 * width)?,
            gated: false,
            activation: config.activation("activation_function", Activation::GeluTanh)?,
            bias: true,
        },
        norm: NormSettings {
            kind: NormKind::Layer,
            epsilon: config.positive_or("layer_norm_epsilon", 1e-5)?,
        },
        positions: Positions::Learned,
        residual: Residual::Sequential,
        embedding_scale: None,
        logits_cap: None,
        tied: config.flag_or("tie_word_embeddings", true)?,
        context: config.count_or("n_positions", 1024)?,
        initializer_range: config.positive_or("initializer_range", 0.02)?,
    })
}

fn block(role: BlockRole) -> Option<(&'static str, BlockForm)> {
    // Its linear maps are `Conv1D`, stored as they are used.
    Some(match role {
        BlockRole::AttentionNorm => ("ln_1", BlockForm::Plain),
        BlockRole::Query => ("attn.c_attn", BlockForm::Columns(0)),
        BlockRole::Key => ("attn.c_attn", BlockForm::Columns(1)),
        BlockRole::Value => ("attn.c_attn", BlockForm::Columns(2)),
        BlockRole::Output => ("attn.c_proj", BlockForm::Plain),
        BlockRole::MlpNorm => ("ln_2", BlockForm::Plain),
        BlockRole::Up => ("mlp.c_fc", BlockForm::Plain),
        BlockRole::Down => ("mlp.c_proj", BlockForm::Plain),
        BlockRole::QueryNorm
        | BlockRole::KeyNorm
        | BlockRole::AttentionOutputNorm
        | BlockRole::Gate
        | BlockRole::MlpOutputNorm => return None,
    })
}
