//! Parameters by what they are for, between module paths and names in files.

/// A parameter of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub role: Role,
    pub leaf: Leaf,
}

/// Which part of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leaf {
    Weight,
    Bias,
}

/// Which layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    TokenEmbedding,
    PositionEmbedding,
    Block(usize, BlockRole),
    FinalNorm,
    LanguageHead,
    ScoreHead,
}

/// Which layer of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BlockRole {
    AttentionNorm,
    Query,
    Key,
    Value,
    Output,
    QueryNorm,
    KeyNorm,
    AttentionOutputNorm,
    MlpNorm,
    Gate,
    Up,
    Down,
    MlpOutputNorm,
}

impl Slot {
    /// The parameter at `path` of a [`CausalLm`](crate::CausalLm) or [`ScalarModel`](crate::ScalarModel).
    ///
    /// # Panics
    /// If no such parameter exists.
    pub fn at(path: &str) -> Self {
        Self::parse(path).unwrap_or_else(|| panic!("no parameter stands at `{path}`"))
    }

    fn parse(path: &str) -> Option<Self> {
        let (layer, leaf) = path.rsplit_once('.')?;
        let leaf = match leaf {
            "weight" => Leaf::Weight,
            "bias" => Leaf::Bias,
            _ => return None,
        };
        let role = match layer {
            "decoder.embed_tokens" => Role::TokenEmbedding,
            "decoder.embed_positions" => Role::PositionEmbedding,
            "decoder.norm" => Role::FinalNorm,
            "lm_head" => Role::LanguageHead,
            "score" => Role::ScoreHead,
            layer => {
                let (index, layer) = layer.strip_prefix("decoder.layers.")?.split_once('.')?;
                Role::Block(index.parse().ok()?, BlockRole::parse(layer)?)
            }
        };
        Some(Self { role, leaf })
    }
}

impl BlockRole {
    fn parse(layer: &str) -> Option<Self> {
        Some(match layer {
            "input_layernorm" => Self::AttentionNorm,
            "self_attn.q_proj" => Self::Query,
            "self_attn.k_proj" => Self::Key,
            "self_attn.v_proj" => Self::Value,
            "self_attn.o_proj" => Self::Output,
            "self_attn.q_norm" => Self::QueryNorm,
            "self_attn.k_norm" => Self::KeyNorm,
            "attention_output_layernorm" => Self::AttentionOutputNorm,
            "post_attention_layernorm" => Self::MlpNorm,
            "mlp.gate_proj" => Self::Gate,
            "mlp.up_proj" => Self::Up,
            "mlp.down_proj" => Self::Down,
            "mlp_output_layernorm" => Self::MlpOutputNorm,
            _ => return None,
        })
    }
}
