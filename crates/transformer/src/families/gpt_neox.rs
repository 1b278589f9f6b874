//! GPT-NeoX and Pythia: parallel residual, LayerNorm, rotation of a part of each head.

use super::{BlockForm, Layout};
use crate::architecture::{
    Activation, Architecture, AttentionSettings, Layer, MlpSettings, NormKind, NormSettings,
    Positions, Residual,
};
use crate::checkpoint::{BlockRole, CheckpointError, Config};

pub(super) const LAYOUT: Layout = Layout {
    prefix: "gpt_neox.",
    token_embedding: "embed_in",
    position_embedding: None,
    blocks: "layers",
    final_norm: "final_layer_norm",
    // The name of published files and of transformers 4, then that of transformers 5.
    language_head: &["embed_out", "lm_head"],
    block,
    constants: &[
        ".attention.bias",
        ".attention.masked_bias",
        "rotary_emb.inv_freq",
    ],
    class: "GPTNeoX",
};

pub(super) fn architecture(config: &Config) -> Result<Architecture, CheckpointError> {
    let (width, heads) = (
        config.count("hidden_size")?,
        config.count("num_attention_heads")?,
    );
    if !width.is_multiple_of(heads) {
        return Err(config.wrong(
            "num_attention_heads",
            format!("a divisor of the width {width}"),
        ));
    }
    let head_width = width / heads;
    let bias = config.flag_or("attention_bias", true)?;
    let scale = 1.0 / (head_width as f64).sqrt();
    Ok(Architecture {
        vocabulary: config.count("vocab_size")?,
        width,
        layers: config.blocks(
            config.count("num_hidden_layers")?,
            Layer {
                window: None,
                scale,
            },
        )?,
        attention: AttentionSettings {
            heads,
            kv_heads: heads,
            head_width,
            cap: None,
            qkv_bias: bias,
            output_bias: bias,
            qk_norm: false,
        },
        mlp: MlpSettings {
            width: config.count("intermediate_size")?,
            gated: false,
            activation: config.activation("hidden_act", Activation::Gelu)?,
            bias: true,
        },
        norm: NormSettings {
            kind: NormKind::Layer,
            epsilon: config.positive_or("layer_norm_eps", 1e-5)?,
        },
        positions: Positions::Rotary(config.rotary(
            head_width,
            "rotary_emb_base",
            "rotary_pct",
            0.25,
        )?),
        residual: match config.flag_or("use_parallel_residual", true)? {
            true => Residual::Parallel,
            false => Residual::Sequential,
        },
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
        BlockRole::Query => ("attention.query_key_value", BlockForm::Heads(0)),
        BlockRole::Key => ("attention.query_key_value", BlockForm::Heads(1)),
        BlockRole::Value => ("attention.query_key_value", BlockForm::Heads(2)),
        BlockRole::Output => ("attention.dense", BlockForm::Linear),
        BlockRole::MlpNorm => ("post_attention_layernorm", BlockForm::Plain),
        BlockRole::Up => ("mlp.dense_h_to_4h", BlockForm::Linear),
        BlockRole::Down => ("mlp.dense_4h_to_h", BlockForm::Linear),
        BlockRole::QueryNorm
        | BlockRole::KeyNorm
        | BlockRole::AttentionOutputNorm
        | BlockRole::Gate
        | BlockRole::MlpOutputNorm => return None,
    })
}
