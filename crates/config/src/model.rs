//! The shape of a decoder-only transformer.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::{Count, Positive};

/// Where the initial model comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ModelSource {
    /// The name of a file of `configs/model/` (`"tiny"`), or a Hugging Face checkpoint directory (`"path/to/model"`).
    Named(PathBuf),
    /// A shape written in place; weights are drawn from the `init` stream.
    Shape(ModelSettings),
}

impl<'de> Deserialize<'de> for ModelSource {
    // Not `untagged`, whose errors neither name a key nor point at it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Source;

        impl<'de> Visitor<'de> for Source {
            type Value = ModelSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a model, a checkpoint directory, or a table with a shape")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<ModelSource, E> {
                Ok(ModelSource::Named(PathBuf::from(name)))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<ModelSource, A::Error> {
                ModelSettings::deserialize(MapAccessDeserializer::new(table))
                    .map(ModelSource::Shape)
            }
        }

        deserializer.deserialize_any(Source)
    }
}

/// A Llama-layout decoder: RMSNorm, rotary embedding, grouped-query attention, SwiGLU.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// Width of the residual stream, `d`.
    pub width: Count,
    /// Number of blocks.
    pub layers: Count,
    /// Query heads, `h`; the head width is `width / heads`.
    pub heads: Count,
    /// Key-value heads; divides `heads`.
    pub kv_heads: Count,
    /// Inner width of the SwiGLU feed-forward.
    pub feedforward: Count,
    /// Longest sequence, tokens.
    pub context: Count,
    /// Base of the rotary frequencies.
    #[serde(default = "rope_theta")]
    pub rope_theta: Positive,
    /// Added to the mean square in RMSNorm.
    #[serde(default = "norm_epsilon")]
    pub norm_epsilon: Positive,
    /// Whether the output head is the transposed embedding.
    #[serde(default = "tied")]
    pub tied: bool,
    /// Standard deviation of the normal initial weights (Hugging Face `initializer_range`).
    #[serde(default = "initializer_range")]
    pub initializer_range: Positive,
}

fn rope_theta() -> Positive {
    Positive::of(10_000.0)
}
fn norm_epsilon() -> Positive {
    Positive::of(1e-6)
}
fn tied() -> bool {
    true
}
fn initializer_range() -> Positive {
    Positive::of(0.02)
}

impl ModelSettings {
    /// What is wrong with the shape as a whole, one sentence a problem.
    pub fn problems(&self) -> Vec<String> {
        let (width, heads, kv_heads) = (self.width.get(), self.heads.get(), self.kv_heads.get());
        let mut problems = Vec::new();
        if !width.is_multiple_of(heads) {
            problems.push(format!(
                "`width` ({width}) is not a multiple of `heads` ({heads})"
            ));
        } else if !(width / heads).is_multiple_of(2) {
            problems.push(format!(
                "the head width `width / heads` ({}) must be even for the rotary embedding",
                width / heads
            ));
        }
        if !heads.is_multiple_of(kv_heads) {
            problems.push(format!(
                "`heads` ({heads}) is not a multiple of `kv_heads` ({kv_heads})"
            ));
        }
        problems
    }

    /// Number of parameters with a vocabulary of `vocabulary` tokens.
    pub fn parameters(&self, vocabulary: usize) -> usize {
        let d = self.width.get();
        let kv = d / self.heads.get() * self.kv_heads.get();
        let attention = 2 * d * d + 2 * d * kv;
        let block = attention + 3 * d * self.feedforward.get() + 2 * d;
        let heads = if self.tied { 1 } else { 2 };
        heads * vocabulary * d + self.layers.get() * block + d
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_that_does_not_divide_is_named() {
        let shape: ModelSettings = toml::from_str(
            "width = 30\nlayers = 1\nheads = 4\nkv_heads = 3\nfeedforward = 8\ncontext = 16",
        )
        .unwrap();
        assert_eq!(shape.problems().len(), 2);
    }

    #[test]
    fn a_model_is_a_name_or_a_shape() {
        #[derive(Debug, Deserialize)]
        struct Settings {
            model: ModelSource,
        }
        let named: Settings = toml::from_str("model = \"tiny\"").unwrap();
        assert_eq!(named.model, ModelSource::Named("tiny".into()));
        let error = toml::from_str::<Settings>("model = { width = 0 }")
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 1, column 19"), "{error}");
    }

    #[test]
    fn parameters_are_counted_by_hand() {
        let shape: ModelSettings = toml::from_str(
            "width = 4\nlayers = 1\nheads = 2\nkv_heads = 1\nfeedforward = 8\ncontext = 16",
        )
        .unwrap();
        // embedding 10*4; q, o 16 each; k, v 8 each; three 4*8; two norms of 4; last norm 4
        assert_eq!(shape.parameters(10), 40 + 32 + 16 + 96 + 8 + 4);
    }
}
