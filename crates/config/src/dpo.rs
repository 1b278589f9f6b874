//! Settings of the trainer of the DPO family.

use serde::{Deserialize, Serialize};

use crate::{Count, Objective, OptimizerSettings};

/// Training a policy on preference pairs, without a reward model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpoSettings {
    /// The loss over pairs.
    pub objective: Objective,
    /// Pairs in one update.
    #[serde(default = "batch_size")]
    pub batch_size: Count,
    /// Pairs in one forward and backward pass; absent: `batch_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<Count>,
    /// AdamW and its schedule.
    #[serde(default = "optimizer")]
    pub optimizer: OptimizerSettings,
}

fn batch_size() -> Count {
    Count::of(32)
}
fn optimizer() -> OptimizerSettings {
    OptimizerSettings::with_learning_rate(1e-4)
}
