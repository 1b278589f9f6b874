//! How completions are sampled.

use serde::{Deserialize, Serialize};

use crate::{Count, Fraction, Positive};

/// Sampling of completions from a policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingSettings {
    /// How a token is chosen. Default: drawn at random.
    pub decoding: Decoding,
    /// Divides the logits; the log-probs returned and trained on are of the same tempered distribution.
    pub temperature: Positive,
    /// Keep only the `top_k` most likely tokens; absent keeps all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<Count>,
    /// Keep the smallest set of tokens with at least this probability mass; 1 keeps all.
    pub top_p: Fraction,
    /// Longest completion, tokens, the end-of-sequence token included.
    pub max_tokens: Count,
}

impl Default for SamplingSettings {
    fn default() -> Self {
        Self {
            decoding: Decoding::default(),
            temperature: Positive::of(1.0),
            top_k: None,
            top_p: Fraction::of(1.0),
            max_tokens: Count::of(64),
        }
    }
}

/// How a token is chosen from its distribution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decoding {
    /// Drawn with its probability.
    #[default]
    Sample,
    /// The most likely one, the lowest id among equals; top-k and top-p have no effect.
    Greedy,
}
