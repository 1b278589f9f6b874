//! The preference objectives: one variant, one paper, one function in `preflab-dpo`.

use serde::{Deserialize, Serialize};

use crate::Positive;

/// A loss over preference pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Rafailov et al. 2023, arXiv:2305.18290, eq. 7.
    Dpo(Dpo),
}

/// Direct Preference Optimization.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dpo {
    /// Strength of the pull towards the reference policy, 1/nats.
    pub beta: Positive,
}
