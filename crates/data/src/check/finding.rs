//! What can be wrong with rows.

use serde::{Deserialize, Serialize};

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
    /// A completion or text that is to be learnt says nothing.
    EmptyCompletion,
    /// The same row stands in its split again.
    RepeatedRow,
    /// The whole text stands in another split too.
    TextAcrossSplits,
    /// The same completion of the same prompt is desirable here and undesirable elsewhere.
    BothLabels,
    /// The completions of the prompt all have one label.
    OneLabel,
    /// All candidates have one score.
    EqualScores,
    /// There are fewer than two candidates.
    SingleCandidate,
    /// The same completion stands among the candidates twice.
    RepeatedCandidate,
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
    pub const ALL: [Self; 23] = [
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
        Self::EmptyCompletion,
        Self::RepeatedRow,
        Self::TextAcrossSplits,
        Self::BothLabels,
        Self::OneLabel,
        Self::EqualScores,
        Self::SingleCandidate,
        Self::RepeatedCandidate,
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
            Self::EmptyRejected => "the rejected (undesirable, worst) completion says nothing",
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
            Self::EmptyCompletion => {
                "what is to be learnt says nothing, so the model learns to stop at once"
            }
            Self::RepeatedRow => "the same row stands in the data again and counts twice",
            Self::TextAcrossSplits => {
                "the text stands in another split too, so held-out numbers are too good"
            }
            Self::BothLabels => {
                "the same completion of the same prompt is desirable and undesirable"
            }
            Self::OneLabel => {
                "the completions of the prompt all have one label, so no pair can be made of them"
            }
            Self::EqualScores => {
                "all candidates have one score, so none is preferred: the row is dropped"
            }
            Self::SingleCandidate => {
                "there are fewer than two candidates to choose from: the row is dropped"
            }
            Self::RepeatedCandidate => "the same completion stands among the candidates twice",
        }
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::EmptyChosen
            | Self::Contradiction
            | Self::PromptAcrossSplits
            | Self::EmptyCompletion
            | Self::TextAcrossSplits
            | Self::BothLabels => Severity::Error,
            Self::IdenticalPair
            | Self::EmptyRejected
            | Self::RepeatedPair
            | Self::PromptTooLong
            | Self::Truncated
            | Self::UnknownToken
            | Self::TrivialPair
            | Self::BrokenEncoding
            | Self::ExtraTurn
            | Self::RepeatedRow
            | Self::EqualScores
            | Self::SingleCandidate
            | Self::RepeatedCandidate => Severity::Warning,
            Self::EmptyPrompt | Self::RepeatedPrompt | Self::BoundaryMerge | Self::OneLabel => {
                Severity::Note
            }
        }
    }

    /// The way out, one sentence.
    pub fn hint(self) -> &'static str {
        match self {
            Self::IdenticalPair
            | Self::EmptyChosen
            | Self::EmptyRejected
            | Self::EmptyCompletion
            | Self::SingleCandidate => "leave these rows out",
            Self::TrivialPair => "leave these rows out unless form is what you want to teach",
            Self::BrokenEncoding => "decode the source again as UTF-8, or leave these rows out",
            Self::ExtraTurn => "cut the completion before `\\n\\nHuman:`",
            Self::EmptyPrompt => "fine if completions are meant to stand alone",
            Self::Contradiction => {
                "leave both rows out, or treat them as label noise (label smoothing, cDPO)"
            }
            Self::RepeatedPair | Self::RepeatedRow | Self::RepeatedCandidate => "keep one of each",
            Self::RepeatedPrompt => {
                "fine if the completions differ; sample prompts, not pairs, when splitting"
            }
            Self::PromptAcrossSplits => "divide the data by prompt, not by row",
            Self::TextAcrossSplits => "leave these rows out of one of the splits",
            Self::BothLabels => "leave both rows out, or treat them as label noise",
            Self::OneLabel => {
                "fine for `train kto`; `train dpo` and `train reward` make pairs of both labels, and drop these rows"
            }
            Self::EqualScores => "leave these rows out, or score the candidates more finely",
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
