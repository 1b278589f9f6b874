//! Supervised fine-tuning.

use serde::{Deserialize, Serialize};

use crate::{Count, OptimizerSettings};

/// Supervised fine-tuning on prompts with their reference completions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SftSettings {
    /// Passes over the training examples.
    pub epochs: Count,
    /// Examples in one update.
    pub batch_size: Count,
    /// Examples in one forward and backward pass; gradients are accumulated up to `batch_size`. Absent: `batch_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<Count>,
    /// Stop after this many updates, whatever `epochs` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_updates: Option<Count>,
    /// Whether the loss counts the prompts too, all but their first token: pre-training on whole texts, for a model that
    /// has not seen any. Otherwise it counts completion tokens only.
    pub on_prompts: bool,
    /// AdamW and its schedule.
    pub optimizer: OptimizerSettings,
}

impl Default for SftSettings {
    fn default() -> Self {
        Self {
            epochs: Count::of(1),
            batch_size: Count::of(32),
            micro_batch_size: None,
            max_updates: None,
            on_prompts: false,
            optimizer: OptimizerSettings::with_learning_rate(1e-3),
        }
    }
}
