//! A piece of work of an experiment, named by the hash of everything it depends on.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use preflab_config::{Method, Settings};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::StageKind;

/// Content hash of a stage: 16 hexadecimal digits over its kind, version, settings, seed, inputs and data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageKey(String);

impl StageKey {
    /// The key of a stage whose every dependency is in `content`.
    pub(crate) fn of(content: &Value) -> Self {
        Self(crate::hash::hash_value(content)[..16].to_owned())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Position of a stage in [`Plan::stages`](crate::Plan::stages).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StageId(pub(crate) usize);

impl StageId {
    /// The position.
    pub const fn index(self) -> usize {
        self.0
    }
}

/// A piece of work, computed once and shared by every cell that needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// What is computed.
    pub kind: StageKind,
    /// Hash of everything it depends on.
    pub key: StageKey,
    /// The cell seed, unless it is the same for all.
    pub seed: Option<u64>,
    /// Settings of an arm that needs it. Only those that [`StageKey`] covers may be looked at.
    pub settings: Arc<Settings>,
    /// The stages it builds on, in the order of their kinds; no two are of one kind.
    pub inputs: Vec<StageId>,
    /// How many cells build on it, directly or not.
    pub shared_by: usize,
    /// Where its curves are written while it runs, relative to the experiment's directory.
    pub log_directory: PathBuf,
    /// For people: `dpo · training`, `reward model`.
    pub title: String,
}

impl Stage {
    /// Name of its directory in the store.
    pub fn directory_name(&self) -> String {
        format!("{}-{}", self.kind, self.key)
    }

    /// Its title with the seed.
    pub fn label(&self) -> String {
        match self.seed {
            Some(seed) => format!("seed {seed} · {}", self.title),
            None => self.title.clone(),
        }
    }
}

/// The settings that a stage of a kind looks at, besides its inputs: the part of them that its key covers.
///
/// What memory is saved by changes no result, and so no key. The numbers that models compute in, and adapters, come in where
/// they are asked for.
pub(crate) fn relevant(kind: StageKind, settings: &Settings) -> Value {
    let mut relevant = vec![of_kind(kind, settings)];
    let computes = match kind {
        StageKind::TaskData | StageKind::Pairs => false,
        StageKind::Sft
        | StageKind::WeakerModel
        | StageKind::Candidates
        | StageKind::WeakerCandidates
        | StageKind::ReferenceLogps
        | StageKind::RewardModel
        | StageKind::Training
        | StageKind::Evaluation => true,
    };
    if computes && !settings.precision.is_default() {
        relevant.push(json!({ "precision": settings.precision }));
    }
    if let (StageKind::Training, Some(lora)) = (kind, &settings.lora) {
        relevant.push(json!({ "lora": lora }));
    }
    match relevant.len() {
        1 => relevant.swap_remove(0),
        _ => Value::Array(relevant),
    }
}

fn of_kind(kind: StageKind, settings: &Settings) -> Value {
    let preferences = &settings.preferences;
    match kind {
        // What a data set's pairs must fit into.
        StageKind::TaskData if settings.task.brings_pairs() => json!([
            settings.task,
            settings.tokenizer,
            settings.model,
            settings.sampling.max_tokens,
            settings.evaluation_sampling().max_tokens
        ]),
        StageKind::TaskData => json!([settings.task, settings.tokenizer]),
        StageKind::Sft => json!([settings.model, settings.sft]),
        StageKind::WeakerModel => json!([settings.model, settings.sft, preferences.weaker]),
        StageKind::Candidates | StageKind::WeakerCandidates => {
            json!([
                preferences.candidates,
                preferences.pairs,
                preferences.held_out_pairs,
                preferences.sampling
            ])
        }
        StageKind::Pairs if settings.task.brings_pairs() => {
            json!([preferences.pairs, preferences.held_out_pairs])
        }
        StageKind::Pairs => json!([
            preferences.pairs,
            preferences.held_out_pairs,
            preferences.scenario,
            preferences.tolerance,
            preferences.judge
        ]),
        StageKind::ReferenceLogps => Value::Null,
        StageKind::RewardModel => json!(settings.reward),
        StageKind::Training => match &settings.method {
            Method::IterativeDpo(_) => json!([
                settings.method,
                settings.budget,
                settings.monitoring,
                preferences.candidates,
                preferences.sampling,
                preferences.tolerance,
                preferences.judge
            ]),
            Method::Ppo(_)
            | Method::Dpo(_)
            | Method::Reward(_)
            | Method::Rloo(_)
            | Method::Grpo(_)
            | Method::BestOfN(_)
            | Method::RejectionSampling(_)
            | Method::Sft(_) => json!([
                settings.method,
                settings.budget,
                settings.sampling,
                settings.monitoring
            ]),
        },
        StageKind::Evaluation if !settings.method.answers() => Value::Null,
        StageKind::Evaluation => {
            let answering = match &settings.method {
                Method::BestOfN(best) => json!(best),
                Method::Ppo(_)
                | Method::Dpo(_)
                | Method::Reward(_)
                | Method::IterativeDpo(_)
                | Method::Rloo(_)
                | Method::Grpo(_)
                | Method::RejectionSampling(_)
                | Method::Sft(_) => Value::Null,
            };
            let evaluation = &settings.evaluation;
            json!([
                evaluation.prompts,
                evaluation.samples_per_prompt,
                settings.evaluation_sampling(),
                answering
            ])
        }
    }
}
