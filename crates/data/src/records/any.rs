//! Rows whose kind is told from their columns.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::columns::{Columns, Record, RecordProblem};
use super::kinds::{
    CANDIDATES, KtoRecord, PairRecord, PromptRecord, ScoredRecord, SupervisedRecord,
};
use crate::Text;

/// A kind of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowKind {
    /// [`PairRecord`].
    Pairs,
    /// [`KtoRecord`].
    Kto,
    /// [`ScoredRecord`].
    Scored,
    /// [`SupervisedRecord`].
    Supervised,
    /// [`PromptRecord`].
    Prompts,
}

impl RowKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Pairs,
        Self::Kto,
        Self::Scored,
        Self::Supervised,
        Self::Prompts,
    ];

    /// Its name, as `--as` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pairs => "pairs",
            Self::Kto => "kto",
            Self::Scored => "scored",
            Self::Supervised => "supervised",
            Self::Prompts => "prompts",
        }
    }

    /// Its columns, in words.
    const fn columns(self) -> &'static str {
        match self {
            Self::Pairs => "`chosen`, `rejected` (and `prompt`)",
            Self::Kto => "`prompt`, `completion`, `label`",
            Self::Scored => "`prompt`, `completions`, `scores`",
            Self::Supervised => "`prompt`, `completion`, or `messages`, or `text`",
            Self::Prompts => "`prompt`",
        }
    }

    /// The columns of which one suggests the kind.
    const fn signs(self) -> &'static [&'static str] {
        match self {
            Self::Pairs => &["chosen", "rejected"],
            Self::Kto => &["completion", "label"],
            Self::Scored => &["completions", "responses", "candidates", "scores"],
            Self::Supervised => &["completion", "messages", "text"],
            Self::Prompts => &["prompt"],
        }
    }

    /// The kind of a row with these columns: the first that fits.
    ///
    /// # Errors
    /// If none does.
    pub fn of(columns: &Columns) -> Result<Self, RecordProblem> {
        let has = |name: &str| columns.has(name);
        if has("chosen") != has("rejected") {
            return Err(unfit(columns));
        }
        Ok(if has("chosen") {
            Self::Pairs
        } else if has("completion") && has("label") {
            Self::Kto
        } else if CANDIDATES.into_iter().any(has) && has("prompt") {
            Self::Scored
        } else if has("messages") {
            match columns.text("messages")? {
                Text::Messages(messages)
                    if messages.last().is_some_and(|last| last.role == "user") =>
                {
                    Self::Prompts
                }
                Text::Messages(_) | Text::Prose(_) => Self::Supervised,
            }
        } else if has("prompt") {
            match has("completion") {
                true => Self::Supervised,
                false => Self::Prompts,
            }
        } else if has("text") {
            Self::Supervised
        } else {
            return Err(unfit(columns));
        })
    }
}

fn unfit(columns: &Columns) -> RecordProblem {
    let found: Vec<String> = columns.names().map(|name| format!("`{name}`")).collect();
    let problem = match found.is_empty() {
        true => "the row has no columns".to_owned(),
        false => format!("the columns {} make no kind of row", found.join(", ")),
    };
    let mut near: Vec<RowKind> = RowKind::ALL
        .into_iter()
        .filter(|kind| kind.signs().iter().any(|name| columns.has(name)))
        .collect();
    if near.is_empty() {
        near = RowKind::ALL.to_vec();
    }
    let kinds = near
        .into_iter()
        .map(|kind| format!("{kind} have {}", kind.columns()));
    RecordProblem {
        problem,
        hint: format!(
            "{}; `columns` (`--columns ours=theirs`) reads other names",
            kinds.collect::<Vec<_>>().join("; ")
        ),
    }
}

impl fmt::Display for RowKind {
    /// In words, several of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pairs => "pairs",
            Self::Kto => "labelled rows (KTO)",
            Self::Scored => "scored candidates",
            Self::Supervised => "supervised rows",
            Self::Prompts => "prompts",
        })
    }
}

impl FromStr for RowKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            format!("expected {}, found `{text}`", names.join(", "))
        })
    }
}

impl Record for RowKind {
    const EXPECTED: &'static str =
        "a row of pairs, labelled or scored completions, texts or prompts";

    fn read(columns: &Columns) -> Result<Self, RecordProblem> {
        Self::of(columns)
    }
}

/// A row of any kind.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyRecord {
    /// Both completions.
    Pair(PairRecord),
    /// One completion, wanted or not.
    Kto(KtoRecord),
    /// Several completions with scores.
    Scored(ScoredRecord),
    /// Something to learn.
    Supervised(SupervisedRecord),
    /// Something to answer.
    Prompt(PromptRecord),
}

impl From<PairRecord> for AnyRecord {
    fn from(row: PairRecord) -> Self {
        Self::Pair(row)
    }
}

impl From<KtoRecord> for AnyRecord {
    fn from(row: KtoRecord) -> Self {
        Self::Kto(row)
    }
}

impl From<ScoredRecord> for AnyRecord {
    fn from(row: ScoredRecord) -> Self {
        Self::Scored(row)
    }
}

impl From<SupervisedRecord> for AnyRecord {
    fn from(row: SupervisedRecord) -> Self {
        Self::Supervised(row)
    }
}

impl From<PromptRecord> for AnyRecord {
    fn from(row: PromptRecord) -> Self {
        Self::Prompt(row)
    }
}

impl AnyRecord {
    /// Its kind.
    pub const fn kind(&self) -> RowKind {
        match self {
            Self::Pair(_) => RowKind::Pairs,
            Self::Kto(_) => RowKind::Kto,
            Self::Scored(_) => RowKind::Scored,
            Self::Supervised(_) => RowKind::Supervised,
            Self::Prompt(_) => RowKind::Prompts,
        }
    }
}
