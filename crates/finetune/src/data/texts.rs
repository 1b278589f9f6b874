//! What a tokenizer is made from.

use preflab_config::TrainSettings;
use preflab_data::{Columns, Record, RecordProblem, ScoredRecord};

use super::selection;
use crate::FinetuneError;

/// The texts of a data set: what a tokenizer is made from.
pub(crate) fn texts(settings: &TrainSettings) -> Result<Vec<String>, FinetuneError> {
    let mut texts = Vec::new();
    for path in &settings.data.0 {
        for row in selection(settings, &settings.rows).open::<AnyTexts>(path)? {
            texts.extend(row?.record.0);
        }
    }
    Ok(texts)
}

/// Every text of a row, whatever its layout.
struct AnyTexts(Vec<String>);

impl Record for AnyTexts {
    const EXPECTED: &'static str = "a row with texts";

    fn read(columns: &Columns) -> Result<Self, RecordProblem> {
        let names = [
            "prompt",
            "chosen",
            "rejected",
            "completion",
            "messages",
            "text",
        ];
        let mut texts = Vec::new();
        for name in names.into_iter().filter(|name| columns.has(name)) {
            texts.push(columns.text(name)?.plain());
        }
        for name in ["completions", "responses", "candidates"] {
            if columns.has(name) && texts.len() < 2 {
                let scored = ScoredRecord::read(columns)?;
                texts.extend(scored.candidates.iter().map(|(text, _)| text.plain()));
            }
        }
        Ok(Self(texts))
    }
}
