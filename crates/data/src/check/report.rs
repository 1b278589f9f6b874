//! What a check found, for people and for programs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{LengthBias, Place};
use crate::Text;

/// Everything a check found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckReport {
    /// Rows of each split.
    pub splits: Vec<SplitRows>,
    /// One finding a kind, in the order of [`FindingKind::ALL`], also where its count is 0.
    pub findings: Vec<Finding>,
    /// Whether the longer answer tends to be chosen.
    pub lengths: LengthBias,
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

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// Chosen and rejected are the same text.
    IdenticalPair,
    /// Chosen and rejected differ in white space or capitals alone.
    TrivialPair,
    /// The prompt says nothing.
    EmptyPrompt,
    /// The chosen completion says nothing.
    EmptyChosen,
    /// The rejected completion says nothing.
    EmptyRejected,
    /// The same pair is preferred one way here and the other way elsewhere.
    Contradiction,
    /// The same pair, preferred the same way, stands in the data again.
    RepeatedPair,
    /// The prompt stands in its split before.
    RepeatedPrompt,
    /// The prompt stands in another split too.
    PromptAcrossSplits,
    /// The prompt leaves no room for a completion.
    PromptTooLong,
    /// A completion is cut off.
    Truncated,
    /// The tokenizer would join the prompt's last characters with the completion's first.
    BoundaryMerge,
    /// Some character is not in the vocabulary.
    UnknownToken,
    /// A text shows that its bytes were decoded wrongly somewhere, or holds characters that nobody writes.
    BrokenEncoding,
    /// A completion goes on with another turn of the human.
    ExtraTurn,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Note,
    /// Rows are of little use, or numbers will be harder to trust.
    Warning,
    /// Rows teach something wrong, or the evaluation is not honest.
    Error,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::IdenticalPair,
        Self::TrivialPair,
        Self::EmptyPrompt,
        Self::EmptyChosen,
        Self::EmptyRejected,
        Self::Contradiction,
        Self::RepeatedPair,
        Self::RepeatedPrompt,
        Self::PromptAcrossSplits,
        Self::PromptTooLong,
        Self::Truncated,
        Self::BoundaryMerge,
        Self::UnknownToken,
        Self::BrokenEncoding,
        Self::ExtraTurn,
    ];

    /// What it means, one sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::IdenticalPair => {
                "chosen and rejected are the same text, so the pair says nothing"
            }
            Self::TrivialPair => {
                "chosen and rejected differ in white space or capitals alone, so the pair teaches form, not content"
            }
            Self::EmptyPrompt => "the prompt says nothing",
            Self::EmptyChosen => {
                "the chosen completion says nothing, so the model learns to stop at once"
            }
            Self::EmptyRejected => "the rejected completion says nothing",
            Self::Contradiction => {
                "the same two completions of the same prompt are preferred in both directions"
            }
            Self::RepeatedPair => "the same pair stands in the data again and counts twice",
            Self::RepeatedPrompt => {
                "the prompt stands in the same split before, with other completions or the same"
            }
            Self::PromptAcrossSplits => {
                "the prompt stands in another split too, so held-out numbers are too good"
            }
            Self::PromptTooLong => {
                "the prompt alone fills the longest sequence: the row is dropped"
            }
            Self::Truncated => {
                "a completion is cut off at the longest sequence and loses its end-of-sequence token"
            }
            Self::BoundaryMerge => {
                "the tokenizer joins characters across the end of the prompt; preflab cuts exactly, so its ids differ from those of the joined text"
            }
            Self::UnknownToken => {
                "some character is not in the vocabulary and becomes the unknown token"
            }
            Self::BrokenEncoding => {
                "the text holds replacement or control characters, or UTF-8 that was once read as Latin-1 (`â€™`, `Ã©`)"
            }
            Self::ExtraTurn => {
                "the completion goes on with a turn of the human, so the model learns to speak for both"
            }
        }
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::EmptyChosen | Self::Contradiction | Self::PromptAcrossSplits => Severity::Error,
            Self::IdenticalPair
            | Self::EmptyRejected
            | Self::RepeatedPair
            | Self::PromptTooLong
            | Self::Truncated
            | Self::UnknownToken
            | Self::TrivialPair
            | Self::BrokenEncoding
            | Self::ExtraTurn => Severity::Warning,
            Self::EmptyPrompt | Self::RepeatedPrompt | Self::BoundaryMerge => Severity::Note,
        }
    }

    /// The way out, one sentence.
    pub fn hint(self) -> &'static str {
        match self {
            Self::IdenticalPair | Self::EmptyChosen | Self::EmptyRejected => "leave these rows out",
            Self::TrivialPair => "leave these rows out unless form is what you want to teach",
            Self::BrokenEncoding => "decode the source again as UTF-8, or leave these rows out",
            Self::ExtraTurn => "cut the completion before `\\n\\nHuman:`",
            Self::EmptyPrompt => "fine if completions are meant to stand alone",
            Self::Contradiction => {
                "leave both rows out, or treat them as label noise (label smoothing, cDPO)"
            }
            Self::RepeatedPair => "keep one of each",
            Self::RepeatedPrompt => {
                "fine if the completions differ; sample prompts, not pairs, when splitting"
            }
            Self::PromptAcrossSplits => "divide the data by prompt, not by row",
            Self::PromptTooLong | Self::Truncated => {
                "raise the longest sequence, or leave these rows out"
            }
            Self::BoundaryMerge => "end prompts without a blank and start completions with it",
            Self::UnknownToken => "use a byte-level tokenizer, or one trained on these data",
        }
    }
}

impl std::fmt::Display for FindingKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = serde_json::to_value(self).expect("a kind is written as its name");
        f.write_str(name.as_str().unwrap_or_default())
    }
}

impl CheckReport {
    /// The finding of a kind.
    pub fn finding(&self, kind: FindingKind) -> &Finding {
        &self.findings[kind as usize]
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
        found
            .chain(self.lengths.is_biased.then_some(Severity::Warning))
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
