//! Published model families: how each names its tensors, and how its `config.json` becomes an
//! [`Architecture`].
//!
//! To add one: a file here with `architecture` and `LAYOUT`, and a variant of [`Family`].

mod gemma2;
mod gpt2;
mod gpt_neox;
mod llama;
mod mistral;
mod qwen2;
mod qwen3;

use crate::architecture::Architecture;
use crate::checkpoint::{BlockRole, CheckpointError, Config, Form, Leaf, Role, Slot};

/// A model family, named as `model_type` of `config.json` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Llama 1 to 3, and what is made like it.
    Llama,
    /// Mistral: Llama with a sliding window.
    Mistral,
    /// Qwen 2 and 2.5: Llama with biases of queries, keys and values.
    Qwen2,
    /// Qwen 3: Llama with norms of queries and keys.
    Qwen3,
    /// Gemma 2: soft caps, norms on both sides, alternating windows.
    Gemma2,
    /// GPT-2: learned positions, LayerNorm.
    Gpt2,
    /// GPT-NeoX and Pythia: parallel residual, rotation of a part of each head.
    GptNeoX,
}

/// Names of a family's tensors.
pub(crate) struct Layout {
    /// Stands before the names of the decoder's tensors; files of a decoder alone lack it.
    prefix: &'static str,
    token_embedding: &'static str,
    position_embedding: Option<&'static str>,
    blocks: &'static str,
    final_norm: &'static str,
    /// The name written, then others that are read.
    language_head: &'static [&'static str],
    /// Name and form of a layer of a block; none where the family has no such layer.
    block: fn(BlockRole) -> Option<(&'static str, BlockForm)>,
    /// Ends of names of tensors that files may hold besides, constants that are computed here.
    constants: &'static [&'static str],
    /// Start of class names, `Llama` of `LlamaForCausalLM`.
    class: &'static str,
}

/// How the file holds a layer of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BlockForm {
    /// As it is.
    Plain,
    /// PyTorch's `Linear`.
    Linear,
    /// One third of a query-key-value matrix, split by columns.
    Columns(usize),
    /// One third of a query-key-value matrix, split within each head.
    Heads(usize),
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 7] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Qwen3,
        Self::Gemma2,
        Self::Gpt2,
        Self::GptNeoX,
    ];

    /// Its `model_type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma2 => "gemma2",
            Self::Gpt2 => "gpt2",
            Self::GptNeoX => "gpt_neox",
        }
    }

    /// The family of a `model_type`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    pub(crate) fn architecture(self, config: &Config) -> Result<Architecture, CheckpointError> {
        match self {
            Self::Llama => llama::architecture(config),
            Self::Mistral => mistral::architecture(config),
            Self::Qwen2 => qwen2::architecture(config),
            Self::Qwen3 => qwen3::architecture(config),
            Self::Gemma2 => gemma2::architecture(config),
            Self::Gpt2 => gpt2::architecture(config),
            Self::GptNeoX => gpt_neox::architecture(config),
        }
    }

    fn layout(self) -> &'static Layout {
        match self {
            Self::Llama | Self::Mistral | Self::Qwen2 | Self::Qwen3 => {
                const LAYOUTS: [Layout; 4] = [
                    Layout {
                        class: "Llama",
                        ..llama::LAYOUT
                    },
                    Layout {
                        class: "Mistral",
                        ..llama::LAYOUT
                    },
                    Layout {
                        class: "Qwen2",
                        ..llama::LAYOUT
                    },
                    Layout {
                        class: "Qwen3",
                        ..llama::LAYOUT
                    },
                ];
                &LAYOUTS[self as usize]
            }
            Self::Gemma2 => &gemma2::LAYOUT,
            Self::Gpt2 => &gpt2::LAYOUT,
            Self::GptNeoX => &gpt_neox::LAYOUT,
        }
    }

    /// Start of the names of transformers' classes.
    pub(crate) fn class(self) -> &'static str {
        self.layout().class
    }

    /// What stands before the names of the decoder's tensors.
    pub(crate) fn prefix(self) -> &'static str {
        self.layout().prefix
    }

    /// Names under which a file may hold a parameter, the one to be written first, and the form it has there. None where
    /// the family has no such parameter.
    pub(crate) fn stored(self, slot: Slot, heads: usize) -> Option<(Vec<String>, Form)> {
        let layout = self.layout();
        let leaf = match slot.leaf {
            Leaf::Weight => "weight",
            Leaf::Bias => "bias",
        };
        let inner = |name: &str| vec![format!("{}{name}.{leaf}", layout.prefix)];
        Some(match slot.role {
            Role::TokenEmbedding => (inner(layout.token_embedding), Form::Plain),
            Role::PositionEmbedding => (inner(layout.position_embedding?), Form::Plain),
            Role::FinalNorm => (inner(layout.final_norm), Form::Plain),
            Role::LanguageHead => (
                layout
                    .language_head
                    .iter()
                    .map(|name| format!("{name}.{leaf}"))
                    .collect(),
                Form::Transposed,
            ),
            Role::ScoreHead => (vec![format!("score.{leaf}")], Form::Transposed),
            Role::Block(index, role) => {
                let (name, form) = (layout.block)(role)?;
                let form = match form {
                    BlockForm::Plain => Form::Plain,
                    BlockForm::Linear => Form::Transposed,
                    BlockForm::Columns(third) => Form::Columns { third },
                    BlockForm::Heads(third) => Form::Heads { third, heads },
                };
                (inner(&format!("{}.{index}.{name}", layout.blocks)), form)
            }
        })
    }

    /// Name, after that of the block, and form of a layer of a block.
    pub(crate) fn block_layer(self, role: BlockRole) -> Option<(&'static str, BlockForm)> {
        (self.layout().block)(role)
    }

    /// Whether files hold linear weights as `[inputs, outputs]` (`Conv1D`).
    pub(crate) fn stores_inputs_first(self) -> bool {
        matches!(
            self.block_layer(BlockRole::Output),
            Some((_, BlockForm::Plain))
        )
    }

    /// Whether a file may hold `name` although no parameter is made of it: constants, and the copy of a tied head.
    pub(crate) fn ignores(self, name: &str, tied: bool) -> bool {
        let layout = self.layout();
        layout.constants.iter().any(|end| name.ends_with(end))
            || tied
                && layout
                    .language_head
                    .iter()
                    .any(|head| name.strip_suffix(".weight") == Some(head))
    }
}
