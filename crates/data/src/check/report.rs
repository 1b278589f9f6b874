//! What a check found, for people and for programs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{FindingKind, LabelReport, LengthBias, Place, Severity};
use crate::{RowKind, Text};

/// Everything a check found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckReport {
    /// Rows of each split.
    pub splits: Vec<SplitRows>,
    /// One finding a kind, in the order of [`FindingKind::ALL`], also where its count is 0.
    pub findings: Vec<Finding>,
    /// Pairs, and the best and the worst of scored candidates: whether the longer answer tends to be chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lengths: Option<LengthBias>,
    /// Labelled rows: how many are desirable, and whether these are longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelReport>,
    /// Supervised rows and prompts: how long they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<SizeReport>,
    /// How likely a model finds the pairs, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_policy: Option<OnPolicy>,
}

/// How likely a model finds the two sides of some pairs, beside what it says itself: log-probabilities per token, nats.
///
/// Pairs that the model might have written itself (on-policy) have about the log-probability of its own samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnPolicy {
    /// The model's directory.
    pub model: PathBuf,
    /// Pairs looked at, a random draw.
    pub pairs: usize,
    /// Of chosen completions.
    pub chosen: Estimated,
    /// Of rejected completions.
    pub rejected: Estimated,
    /// Of completions that the model samples for the same prompts at temperature 1.
    pub sampled: Estimated,
    /// Chosen minus rejected, pair by pair.
    pub difference: Estimated,
    /// Share of pairs whose chosen completion has the larger summed log-probability, with its 95 % interval (Wilson 1927).
    pub prefers_chosen: Estimated,
}

/// A mean over pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimated {
    /// The mean.
    pub mean: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
}

/// Rows of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRows {
    /// Its name.
    pub split: String,
    /// How many rows it has.
    pub rows: usize,
    /// How many of each kind.
    pub kinds: BTreeMap<RowKind, usize>,
}

/// How long rows are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeReport {
    /// What lengths are counted in: `tokens` or `characters`; prompt and completion together.
    pub unit: String,
    /// Mean length.
    pub mean: f64,
    /// Longest.
    pub longest: usize,
}

/// Rows of one kind of trouble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// With how many rows.
    pub count: usize,
    /// The first of them.
    pub examples: Vec<FindingExample>,
}

/// A row as an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindingExample {
    /// The file.
    pub file: PathBuf,
    /// The line on which the row starts.
    pub line: usize,
    /// The start of the text concerned, on one line.
    pub text: String,
}

impl CheckReport {
    /// The finding of a kind.
    pub fn finding(&self, kind: FindingKind) -> &Finding {
        &self.findings[kind as usize]
    }

    /// The kinds of rows of all splits; one may be named again by another split.
    pub fn kinds(&self) -> impl Iterator<Item = RowKind> {
        self.splits
            .iter()
            .flat_map(|split| split.kinds.keys().copied())
    }

    /// Rows of all splits.
    pub fn rows(&self) -> usize {
        self.splits.iter().map(|split| split.rows).sum()
    }

    /// The gravest finding, or a warning for a length bias; `None` if there is nothing to say.
    pub fn severity(&self) -> Option<Severity> {
        let found = self
            .findings
            .iter()
            .filter(|finding| finding.count > 0)
            .map(|finding| finding.kind.severity());
        let lengths = self
            .lengths
            .as_ref()
            .is_some_and(|lengths| lengths.is_biased);
        let labels = self.labels.as_ref();
        let labels = labels.is_some_and(|labels| labels.is_biased || labels.is_single());
        found
            .chain((lengths || labels).then_some(Severity::Warning))
            .max()
    }
}

impl Finding {
    /// A kind of which no row was found.
    pub(super) fn none(kind: FindingKind) -> Self {
        Self {
            kind,
            count: 0,
            examples: Vec::new(),
        }
    }
}

impl FindingExample {
    /// The start of `text`, with line breaks shown as such.
    pub(super) fn new(place: &Place, text: &Text) -> Self {
        const LONGEST: usize = 80;
        let plain = text.plain();
        let mut start: String = plain.chars().take(LONGEST).collect();
        if start.len() < plain.len() {
            start.push('…');
        }
        Self {
            file: place.file.clone(),
            line: place.line,
            text: start.replace('\n', "⏎"),
        }
    }
}
