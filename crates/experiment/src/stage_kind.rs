//! The kinds of stages an experiment is made of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a stage computes. Its settings and inputs are in [`Stage`](crate::Stage).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// Prompts and references of every split, and the tokenizer; once for all seeds.
    TaskData,
    /// The supervised start, which every arm continues from; it is also the reference policy.
    Sft,
    /// The smaller or shorter-trained model whose answers are rejected in scenarios 3 and 4.
    WeakerModel,
    /// Completions of the start, several for each prompt, with their gold scores.
    Candidates,
    /// The same of the weaker model.
    WeakerCandidates,
    /// Chosen and rejected completions, for training and held out.
    Pairs,
    /// Log-probs of every pair under the start.
    ReferenceLogps,
    /// The Bradley-Terry reward model.
    RewardModel,
    /// The training of one arm.
    Training,
    /// Scores of one policy on the test prompts.
    Evaluation,
}

impl StageKind {
    /// Every kind, in the order in which they build on one another.
    pub const ALL: [Self; 10] = [
        Self::TaskData,
        Self::Sft,
        Self::WeakerModel,
        Self::Candidates,
        Self::WeakerCandidates,
        Self::Pairs,
        Self::ReferenceLogps,
        Self::RewardModel,
        Self::Training,
        Self::Evaluation,
    ];

    /// The name in directories, records and settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TaskData => "task-data",
            Self::Sft => "sft",
            Self::WeakerModel => "weaker-model",
            Self::Candidates => "candidates",
            Self::WeakerCandidates => "weaker-candidates",
            Self::Pairs => "pairs",
            Self::ReferenceLogps => "reference-logps",
            Self::RewardModel => "reward-model",
            Self::Training => "training",
            Self::Evaluation => "evaluation",
        }
    }

    /// What the stage does, for progress lines.
    pub const fn title(self) -> &'static str {
        match self {
            Self::TaskData => "task data and tokenizer",
            Self::Sft => "supervised start",
            Self::WeakerModel => "weaker model",
            Self::Candidates => "candidates",
            Self::WeakerCandidates => "candidates of the weaker model",
            Self::Pairs => "preference pairs",
            Self::ReferenceLogps => "reference log-probs",
            Self::RewardModel => "reward model",
            Self::Training => "training",
            Self::Evaluation => "evaluation",
        }
    }

    /// Raised whenever the code of a stage starts to give other results, so that results on disk are computed anew.
    pub const fn version(self) -> u32 {
        match self {
            Self::TaskData => 1,
            Self::Pairs
            | Self::Sft
            | Self::WeakerModel
            | Self::Candidates
            | Self::WeakerCandidates
            | Self::RewardModel
            | Self::Evaluation => 2,
            Self::ReferenceLogps => 3,
            Self::Training => 4,
        }
    }
}

impl fmt::Display for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
