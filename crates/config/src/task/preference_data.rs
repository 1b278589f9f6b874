//! Settings of a task that is a preference data set.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Count, Fraction, RowFilter};

/// A preference data set of the user's: prompts with a chosen and a rejected answer. There is no gold score; reward
/// models and policies are judged by their accuracy on held-out pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreferenceDataSettings {
    /// The pairs: JSON lines, a JSON array, CSV or Parquet (see docs/data.md); transcripts of HH-RLHF too.
    pub train: PathBuf,
    /// Held-out pairs; absent: a share of `train`, divided by prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The rows of `train` that are used; absent: all.
    #[serde(default, skip_serializing_if = "RowFilter::is_empty")]
    pub rows: RowFilter,
    /// The rows that are held out for the test, of `test`, or of `train` where there is no `test`; absent: all of `test`.
    #[serde(default, skip_serializing_if = "RowFilter::is_empty")]
    pub test_rows: RowFilter,
    /// Share of the prompts of `train` that is held out for the test where there is neither `test` nor `test_rows`, and again for
    /// validation.
    #[serde(default = "held_out")]
    pub held_out: Fraction,
    /// At most this many pairs of each split are used, drawn by `seed`, and no more of them held in memory; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pairs: Option<Count>,
    /// Pairs with a longer prompt are left out, characters; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prompt: Option<Count>,
    /// Pairs with a longer answer are left out, characters; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_answer: Option<Count>,
    /// Decides which prompts are held out and drawn.
    #[serde(default)]
    pub seed: u64,
}

impl PreferenceDataSettings {
    /// Tokens of the byte-pair encoding that is learnt from the pairs where no other tokenizer is asked for.
    pub const BYTE_PAIRS: usize = 4096;

    /// The file of the test: `test`, or `train` where only its rows are told; none if a share is held out.
    pub fn test_file(&self) -> Option<&Path> {
        let rows = (!self.test_rows.is_empty()).then_some(&self.train);
        self.test.as_ref().or(rows).map(PathBuf::as_path)
    }
}

fn held_out() -> Fraction {
    Fraction::of(0.1)
}
