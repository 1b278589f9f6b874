//! The shape of a decoder: every published family is a choice of the settings here, not a copy of the code.

use preflab_config::ModelSettings;

/// Everything that decides how a decoder computes, weights aside.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// Number of tokens, `v`.
    pub vocabulary: usize,
    /// Width of the residual stream, `d`.
    pub width: usize,
    /// The blocks, first to last.
    pub layers: Vec<Layer>,
    /// Self-attention of every block.
    pub attention: AttentionSettings,
    /// Feed-forward of every block.
    pub mlp: MlpSettings,
    /// Every normalisation.
    pub norm: NormSettings,
    /// How a token learns where it stands.
    pub positions: Positions,
    /// How a block adds to the residual stream.
    pub residual: Residual,
    /// Multiplies the embedding (Gemma: `sqrt(d)`).
    pub embedding_scale: Option<f64>,
    /// `cap * tanh(logits / cap)` on the output (Gemma 2).
    pub logits_cap: Option<f64>,
    /// Whether the output head is the transposed embedding.
    pub tied: bool,
    /// Longest sequence, tokens. A limit only where positions are learned.
    pub context: usize,
    /// Standard deviation of normal initial weights (Hugging Face `initializer_range`).
    pub initializer_range: f64,
}

/// What one block has of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layer {
    /// A query sees this many of the latest keys, itself included; absent sees all.
    pub window: Option<usize>,
    /// Factor on query-key products, usually `1 / sqrt(e)`.
    pub scale: f64,
}

/// Grouped-query self-attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionSettings {
    /// Query heads, `h`.
    pub heads: usize,
    /// Key-value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head, `e`.
    pub head_width: usize,
    /// `cap * tanh(scores / cap)` before the softmax (Gemma 2).
    pub cap: Option<f64>,
    /// Biases of the query, key and value projections.
    pub qkv_bias: bool,
    /// Bias of the output projection.
    pub output_bias: bool,
    /// RMSNorm over each head's queries and keys before the rotation (Qwen 3).
    pub qk_norm: bool,
}

/// The feed-forward of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MlpSettings {
    /// Inner width.
    pub width: usize,
    /// With a gate, `down(activation(gate(x)) * up(x))`; without, `down(activation(up(x)))`.
    pub gated: bool,
    /// The non-linearity.
    pub activation: Activation,
    /// Biases of all projections.
    pub bias: bool,
}

/// Non-linearities, with the names Hugging Face gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)` (`silu`, `swish`).
    Silu,
    /// `x * Phi(x)` (`gelu`).
    Gelu,
    /// GELU by its tanh approximation (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// `max(x, 0)` (`relu`).
    Relu,
}

/// Normalisation over the last axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormSettings {
    /// Which normalisation.
    pub kind: NormKind,
    /// Added to the (mean) square or variance before the root.
    pub epsilon: f64,
}

/// Which normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// `w * x / sqrt(mean(x^2) + epsilon)`.
    Rms,
    /// `(1 + w) * x / sqrt(mean(x^2) + epsilon)` (Gemma).
    RmsPlusOne,
    /// `w * (x - mean) / sqrt(var + epsilon) + bias`.
    Layer,
}

/// How a token learns where it stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Positions {
    /// Rotation of queries and keys, Su et al. 2021, [arXiv:2104.09864](https://arxiv.org/abs/2104.09864).
    Rotary(RotarySettings),
    /// A learned vector added to the embedding, one for each of the `context` positions (GPT-2).
    Learned,
}

/// The rotary embedding in Hugging Face's half layout: component `i` is paired with `i + width / 2`.
#[derive(Debug, Clone, PartialEq)]
pub struct RotarySettings {
    /// Components rotated; the rest of the head passes through (GPT-NeoX rotates a part).
    pub width: usize,
    /// Base of the frequencies, `theta^(-2i / width)`.
    pub theta: f64,
    /// Change of the frequencies for longer contexts.
    pub scaling: RotaryScaling,
}

/// Change of the rotary frequencies for contexts longer than the one trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RotaryScaling {
    /// None.
    None,
    /// Every frequency divided by `factor`.
    Linear {
        /// Ratio of the new context to the old.
        factor: f64,
    },
    /// Llama 3.1: low frequencies divided by `factor`, high ones kept, those between interpolated.
    Llama3 {
        /// Ratio of the new context to the old.
        factor: f64,
        /// Wavelengths above `context / low` are divided.
        low: f64,
        /// Wavelengths below `context / high` are kept.
        high: f64,
        /// The context trained on.
        context: f64,
    },
}

/// How a block adds to the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// `x <- x + attention(norm(x))`, then `x <- x + mlp(norm(x))`.
    Sequential,
    /// As sequential, with a second norm on what attention and mlp return (Gemma 2).
    SequentialNormed,
    /// `x <- x + attention(norm(x)) + mlp(norm'(x))` (GPT-NeoX).
    Parallel,
}

impl Architecture {
    /// The Llama layout that `settings` describe, for a vocabulary of `vocabulary` tokens.
    ///
    /// # Panics
    /// If the shape does not divide: ask [`ModelSettings::problems`] first.
    pub fn new(settings: &ModelSettings, vocabulary: usize) -> Self {
        let problems = settings.problems();
        assert!(problems.is_empty(), "{}", problems.join("; "));
        let (width, heads) = (settings.width.get(), settings.heads.get());
        let head_width = width / heads;
        Self {
            vocabulary,
            width,
            layers: vec![
                Layer {
                    window: None,
                    scale: 1.0 / (head_width as f64).sqrt()
                };
                settings.layers.get()
            ],
            attention: AttentionSettings {
                heads,
                kv_heads: settings.kv_heads.get(),
                head_width,
                cap: None,
                qkv_bias: false,
                output_bias: false,
                qk_norm: false,
            },
            mlp: MlpSettings {
                width: settings.feedforward.get(),
                gated: true,
                activation: Activation::Silu,
                bias: false,
            },
            norm: NormSettings {
                kind: NormKind::Rms,
                epsilon: settings.norm_epsilon.get(),
            },
            positions: Positions::Rotary(RotarySettings {
                width: head_width,
                theta: settings.rope_theta.get(),
                scaling: RotaryScaling::None,
            }),
            residual: Residual::Sequential,
            embedding_scale: None,
            logits_cap: None,
            tied: settings.tied,
            context: settings.context.get(),
            initializer_range: settings.initializer_range.get(),
        }
    }
}
