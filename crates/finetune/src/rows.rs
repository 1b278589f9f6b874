//! The rows that each kind of training reads, in any of the layouts that the data crate knows.

use preflab_data::{
    Columns, KtoRecord, PairRecord, Record, RecordProblem, ScoredRecord, SupervisedRecord,
};

/// A row that preferences can be made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PreferenceRow {
    /// Both completions.
    Pair(PairRecord),
    /// One completion, wanted or not.
    Judged(KtoRecord),
    /// Several completions with scores.
    Scored(ScoredRecord),
}

impl Record for PreferenceRow {
    const EXPECTED: &'static str =
        "a row with `chosen` and `rejected` (and `prompt`), or `prompt`, `completion`, `label`";

    fn read(columns: &Columns) -> Result<Self, RecordProblem> {
        if columns.has("label") && columns.has("completion") {
            return KtoRecord::read(columns).map(Self::Judged);
        }
        let scored = ["completions", "responses", "candidates"];
        if !columns.has("chosen") && scored.iter().any(|name| columns.has(name)) {
            return ScoredRecord::read(columns).map(Self::Scored);
        }
        PairRecord::read(columns).map(Self::Pair)
    }
}

/// A row of completions that are wanted or not, each by itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JudgedRow {
    /// One completion with its label.
    One(KtoRecord),
    /// A wanted and an unwanted one.
    Pair(PairRecord),
}

impl JudgedRow {
    /// Each completion with its prompt and whether it is wanted.
    pub fn completions(self) -> Vec<(SupervisedRecord, bool)> {
        let rows = match self {
            Self::One(row) => vec![row],
            Self::Pair(pair) => KtoRecord::unpaired(&[pair]),
        };
        let of = |row: KtoRecord| {
            let record = SupervisedRecord::Completion {
                prompt: row.prompt,
                completion: row.completion,
            };
            (record, row.label)
        };
        rows.into_iter().map(of).collect()
    }
}

impl Record for JudgedRow {
    const EXPECTED: &'static str =
        "a row with `prompt`, `completion` and `label`, or with `chosen` and `rejected`";

    fn read(columns: &Columns) -> Result<Self, RecordProblem> {
        if columns.has("chosen") && columns.has("rejected") && !columns.has("label") {
            return PairRecord::read(columns).map(Self::Pair);
        }
        KtoRecord::read(columns).map(Self::One)
    }
}

/// A row that supervised fine-tuning reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SupervisedRow {
    /// An answer to learn, or a whole text.
    Plain(SupervisedRecord),
    /// An answer that is not wanted.
    Unwanted,
}

impl Record for SupervisedRow {
    const EXPECTED: &'static str = SupervisedRecord::EXPECTED;

    fn read(columns: &Columns) -> Result<Self, RecordProblem> {
        if columns.has("label") && columns.has("completion") {
            let row = KtoRecord::read(columns)?;
            return Ok(match row.label {
                true => Self::Plain(SupervisedRecord::Completion {
                    prompt: row.prompt,
                    completion: row.completion,
                }),
                false => Self::Unwanted,
            });
        }
        let scored = ["completions", "responses", "candidates"];
        let single = ["completion", "chosen", "messages", "text"];
        if scored.iter().any(|name| columns.has(name))
            && !single.iter().any(|name| columns.has(name))
        {
            let row = ScoredRecord::read(columns)?;
            let best = row.extremes().map(|pair| pair.chosen.clone());
            return Ok(match best {
                Some(completion) => Self::Plain(SupervisedRecord::Completion {
                    prompt: row.prompt,
                    completion,
                }),
                None => Self::Unwanted,
            });
        }
        SupervisedRecord::read(columns).map(Self::Plain)
    }
}
