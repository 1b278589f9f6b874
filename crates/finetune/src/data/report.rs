//! What became of the data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Places shown of each kind of row that was left out.
const SHOWN: usize = 3;

/// Why a row is not used as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Both completions are the same tokens.
    Identical,
    /// A completion says nothing.
    Empty,
    /// Longer than the longest sequence.
    OverLong,
    /// No prompt is left to answer, or none was given where one is needed.
    NoPrompt,
    /// All candidates of a prompt have one score.
    NoPreference,
    /// A wanted completion without an unwanted one of the same prompt, or the reverse.
    Unpaired,
    /// An unwanted completion, where only wanted ones are learnt.
    Unwanted,
    /// Cut to the longest sequence, and used.
    Cut,
}

impl Reason {
    /// Whether the row is left out.
    pub const fn drops(self) -> bool {
        match self {
            Self::Identical
            | Self::Empty
            | Self::OverLong
            | Self::NoPrompt
            | Self::NoPreference
            | Self::Unpaired
            | Self::Unwanted => true,
            Self::Cut => false,
        }
    }

    /// In words, after a number of rows.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Identical => "with chosen and rejected the same",
            Self::Empty => "with an empty completion",
            Self::OverLong => "longer than the longest sequence",
            Self::NoPrompt => "without a prompt",
            Self::NoPreference => "whose candidates all have one score",
            Self::Unpaired => "whose prompt has no completion of the other label",
            Self::Unwanted => "with an unwanted completion",
            Self::Cut => "cut to the longest sequence",
        }
    }
}

/// Rows of one kind that are not used as they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// How many.
    pub rows: usize,
    /// Where the first of them stand: `file:line`.
    pub places: Vec<String>,
}

/// A data file as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Its path, as given.
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its rows, without those passed over.
    pub rows: usize,
    /// Rows that `rows` or `eval_rows` passes over.
    #[serde(default, skip_serializing_if = "is_none")]
    pub passed_over: usize,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// What became of the data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataReport {
    /// The files trained on.
    pub files: Vec<FileReport>,
    /// The files of held-out rows.
    pub eval_files: Vec<FileReport>,
    /// Rows trained on.
    pub train: usize,
    /// Rows held out.
    pub held_out: usize,
    /// Held-out rows whose prompt is also trained on.
    pub shared_prompts: usize,
    /// Longest sequence, tokens.
    pub max_length: usize,
    /// Rows that are not used as they stand, training and held-out rows together.
    pub counted: BTreeMap<Reason, Counted>,
}

impl DataReport {
    /// The report in a few lines.
    pub fn lines(&self) -> Vec<String> {
        let files = || self.files.iter().chain(&self.eval_files);
        let read: usize = files().map(|file| file.rows).sum();
        let passed_over: usize = files().map(|file| file.passed_over).sum();
        let passed_over = match passed_over {
            0 => String::new(),
            rows => format!(" ({rows} others passed over)"),
        };
        let mut lines = vec![format!(
            "data: {read} rows read{passed_over}, {} to train on, {} held out",
            self.train, self.held_out
        )];
        for (reason, counted) in &self.counted {
            let verb = if reason.drops() { "dropped" } else { "kept" };
            lines.push(format!(
                "data: {verb} {} {} ({}{})",
                counted.rows,
                reason.words(),
                counted.places.join(", "),
                if counted.rows > counted.places.len() {
                    ", ..."
                } else {
                    ""
                }
            ));
        }
        lines
    }

    pub(super) fn count(&mut self, reason: Reason, path: &Path, line: usize) {
        let counted = self.counted.entry(reason).or_default();
        counted.rows += 1;
        if counted.places.len() < SHOWN {
            counted.places.push(format!("{}:{line}", path.display()));
        }
    }
}
