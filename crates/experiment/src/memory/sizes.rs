//! The sizes of a model, from its settings or its `config.json`.

use std::path::Path;

use preflab_config::{LoraSettings, LoraTarget, ModelSource, Precision};
use serde_json::Value;

use super::{FLOAT, bytes_of};

/// The sizes of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// Tokens in the vocabulary.
    pub vocabulary: f64,
    /// Width of the residual stream.
    pub width: f64,
    /// Blocks.
    pub layers: f64,
    /// Query heads.
    pub heads: f64,
    /// Width of all queries of a token.
    pub queries: f64,
    /// Width of all keys of a token, and of all values.
    pub keys: f64,
    /// Inner width of the feed-forward.
    pub feedforward: f64,
    /// Whether the feed-forward has a gate.
    pub gated: bool,
    /// Whether the output head is the transposed embedding.
    pub tied: bool,
}

impl Sizes {
    /// Those of a source: a shape, or the `config.json` of a checkpoint; none if there is none to be read.
    pub fn of(source: &ModelSource, vocabulary: usize) -> Option<Self> {
        match source {
            ModelSource::Shape(shape) => {
                let width = shape.width.get() as f64;
                let head = width / shape.heads.get() as f64;
                Some(Self {
                    vocabulary: vocabulary as f64,
                    width,
                    layers: shape.layers.get() as f64,
                    heads: shape.heads.get() as f64,
                    queries: width,
                    keys: head * shape.kv_heads.get() as f64,
                    feedforward: shape.feedforward.get() as f64,
                    gated: true,
                    tied: shape.tied,
                })
            }
            ModelSource::Named(directory) => Self::of_checkpoint(directory),
        }
    }

    /// Those of a checkpoint directory, by its `config.json`.
    pub fn of_checkpoint(directory: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(directory.join("config.json")).ok()?;
        let values: Value = serde_json::from_str(&text).ok()?;
        let number = |names: &[&str]| names.iter().find_map(|name| values.get(name)?.as_f64());
        let family = values.get("model_type")?.as_str()?;
        let width = number(&["hidden_size", "n_embd"])?;
        let heads = number(&["num_attention_heads", "n_head"])?;
        let head = number(&["head_dim"]).unwrap_or(width / heads);
        Some(Self {
            vocabulary: number(&["vocab_size"])?,
            width,
            layers: number(&["num_hidden_layers", "n_layer"])?,
            heads,
            queries: heads * head,
            keys: head * number(&["num_key_value_heads"]).unwrap_or(heads),
            feedforward: number(&["intermediate_size", "n_inner"]).unwrap_or(4.0 * width),
            gated: !matches!(family, "gpt2" | "gpt_neox"),
            tied: values
                .get("tie_word_embeddings")
                .and_then(Value::as_bool)
                .unwrap_or(matches!(family, "gpt2" | "gemma2")),
        })
    }

    /// Parameters, without a head of one number.
    pub fn parameters(&self) -> f64 {
        let heads = if self.tied { 1.0 } else { 2.0 };
        heads * self.vocabulary * self.width
            + self.layers * (self.projections() + 2.0 * self.width)
            + self.width
    }

    /// Weights of the projections of a block.
    pub(super) fn projections(&self) -> f64 {
        let Self {
            width: d,
            queries: q,
            keys: k,
            feedforward: f,
            ..
        } = *self;
        d * (2.0 * q + 2.0 * k) + if self.gated { 3.0 } else { 2.0 } * d * f
    }

    /// Parameters of adapters.
    pub fn adapters(&self, lora: &LoraSettings) -> f64 {
        let Self {
            width: d,
            queries: q,
            keys: k,
            feedforward: f,
            ..
        } = *self;
        let ends = |target: &LoraTarget| match target {
            LoraTarget::Query | LoraTarget::Output | LoraTarget::Dense => d + q,
            LoraTarget::Key | LoraTarget::Value => d + k,
            LoraTarget::Gate
            | LoraTarget::Up
            | LoraTarget::Down
            | LoraTarget::CFc
            | LoraTarget::DenseUp
            | LoraTarget::DenseDown => d + f,
            LoraTarget::CAttn | LoraTarget::QueryKeyValue => d + q + 2.0 * k,
            LoraTarget::CProj => 2.0 * d + q + f,
        };
        let all: &[LoraTarget] = match (lora.targets.is_empty(), self.gated) {
            (false, _) => &lora.targets,
            (true, true) => &LoraTarget::LLAMA,
            (true, false) => &[LoraTarget::CAttn, LoraTarget::CFc, LoraTarget::CProj],
        };
        self.layers * lora.rank.get() as f64 * all.iter().map(ends).sum::<f64>()
    }

    /// Bytes that a block keeps of each token for its backward pass, of rows of `length` tokens.
    pub(super) fn kept(&self, composed: bool, precision: Precision, length: f64) -> f64 {
        let Self {
            width: d,
            queries: q,
            keys: k,
            feedforward: f,
            ..
        } = *self;
        let number = bytes_of(precision);
        let inner = if self.gated { 3.0 } else { 4.0 };
        // What two norms read and give; queries, keys, values and what attention gives; the feed-forward.
        let fused = number * (4.0 * d + 2.0 * q + 2.0 * k + inner * f);
        if !composed {
            return fused;
        }
        // The parts of norms and rotation in 32 bits, and the scores: mask, softmax and its copy.
        let parts = FLOAT * (4.0 * d + 2.0 * (q + k)) + number * (2.0 * (q + k) + f);
        fused + parts + self.heads * length * (1.0 + FLOAT + number)
    }
}

#[cfg(test)]
mod tests {
    use preflab_config::Settings;

    use super::*;

    fn shape() -> ModelSource {
        toml::from_str::<Settings>(
            "task.verse = {}\nbudget.updates = 4\nmethod.sft = {}\n\
             [model]\nwidth = 8\nlayers = 2\nheads = 2\nkv_heads = 1\nfeedforward = 16\ncontext = 128\n",
        )
        .unwrap()
        .model
    }

    #[test]
    fn parameters_are_those_of_the_shape() {
        let ModelSource::Shape(settings) = shape() else {
            panic!("a shape")
        };
        let sizes = Sizes::of(&shape(), 30).unwrap();
        assert_eq!(sizes.parameters(), settings.parameters(30) as f64);
    }

    #[test]
    fn adapters_are_counted_by_hand() {
        let sizes = Sizes::of(&shape(), 30).unwrap();
        let lora: LoraSettings =
            toml::from_str("rank = 2\ntargets = [\"q_proj\", \"v_proj\"]").unwrap();
        assert_eq!(
            sizes.adapters(&lora),
            2.0 * 2.0 * ((8.0 + 8.0) + (8.0 + 4.0))
        );
        let all: LoraSettings = toml::from_str("rank = 1").unwrap();
        let ends = (16.0 + 12.0 + 12.0 + 16.0) + 3.0 * 24.0;
        assert_eq!(sizes.adapters(&all), 2.0 * ends);
    }
}
