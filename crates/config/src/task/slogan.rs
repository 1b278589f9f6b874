//! Settings of the slogan task.

use serde::{Deserialize, Serialize};

use crate::{Count, Fraction, Span};

/// Slogans of a fixed number of words that say given content words (section 4 of arXiv:2406.07327), in a generated
/// language.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SloganSettings {
    /// Prompts to train on.
    pub train_prompts: Count,
    /// Prompts for choices made during training.
    pub validation_prompts: Count,
    /// Prompts for the final scores, never trained on.
    pub test_prompts: Count,
    /// Words of a slogan, at most 12.
    pub words: Span,
    /// Content words that a slogan must say, at most 3 and at most a third of the smallest number of words.
    pub content_words: Span,
    /// Probability with which a reference breaks each of the two criteria, independently.
    pub corruption: Fraction,
    /// Decides the drawn prompts and reference slogans.
    pub seed: u64,
}

impl Default for SloganSettings {
    fn default() -> Self {
        Self {
            train_prompts: Count::of(4096),
            validation_prompts: Count::of(256),
            test_prompts: Count::of(512),
            words: Span::of(6, 10),
            content_words: Span::of(1, 2),
            corruption: Fraction::of(0.3),
            seed: 0,
        }
    }
}
