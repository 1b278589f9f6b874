//! What is wrong with a data set, found before training on it.
//!
//! Rows are looked at one at a time; of each, only hashes of its texts are kept (some tens of bytes a row), so that the
//! data need not fit into memory. With a million rows, two different texts share one of the 2⁶⁴ hashes with a probability
//! below 10⁻⁷.
//!
//! # Example
//! ```
//! use preflab_data::check::{CheckSettings, Checker, FindingKind, Place};
//! use preflab_data::PairRecord;
//!
//! let row = PairRecord { prompt: "Q".into(), chosen: "same".into(), rejected: "same".into(), margin: None };
//! let mut checker = Checker::new(None, CheckSettings::default());
//! checker.add("train", &Place { file: "pairs.jsonl".into(), line: 1 }, &row.into())?;
//! let report = checker.finish();
//! assert_eq!(report.finding(FindingKind::IdenticalPair).count, 1);
//! # Ok::<(), preflab_data::DataError>(())
//! ```

mod encoding;
mod finding;
mod labels;
mod lengths;
mod report;
mod rows;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use finding::{FindingKind, Severity};
pub use labels::LabelReport;
use labels::Labels;
pub use lengths::LengthBias;
use lengths::Lengths;
pub use report::{
    CheckReport, Estimated, Finding, FindingExample, OnPolicy, SizeReport, SplitRows,
};
use rows::Preferred;
use sha2::{Digest, Sha256};

use crate::{
    AnyRecord, DataError, KtoRecord, PairRecord, Preprocessor, PromptRecord, Record, RowKind,
    ScoredRecord, Selection, SupervisedRecord, Text,
};

/// What to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckSettings {
    /// Longest sequence, tokens; absent: nothing is too long. Read only with a tokenizer.
    pub max_length: Option<usize>,
    /// Examples shown of each finding.
    pub examples: usize,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self {
            max_length: None,
            examples: 3,
        }
    }
}

/// Where a row stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
}

/// Collects findings row by row.
#[derive(Debug)]
pub struct Checker<'t> {
    preprocessor: Option<Preprocessor<'t>>,
    settings: CheckSettings,
    splits: Vec<SplitRows>,
    findings: Vec<Finding>,
    lengths: Lengths,
    labels: Labels,
    sizes: Sizes,
    /// For each prompt: the splits it stands in, as bits.
    prompts: BTreeMap<u64, u64>,
    /// For each prompt with its two completions in either order: which of them was chosen.
    pairs: BTreeMap<u64, Preferred>,
    /// For each labelled completion of a prompt: whether it is desirable, whether it is undesirable.
    labelled: BTreeMap<u64, Preferred>,
    /// For each other row: the splits it stands in, as bits.
    rows: BTreeMap<u64, u64>,
    /// Files of labelled rows.
    files: Vec<PathBuf>,
}

/// Lengths of rows that are neither compared nor labelled.
#[derive(Debug, Clone, Copy, Default)]
struct Sizes {
    rows: usize,
    sum: usize,
    longest: usize,
}

impl Sizes {
    fn add(&mut self, length: usize) {
        self.rows += 1;
        self.sum += length;
        self.longest = self.longest.max(length);
    }
}

impl<'t> Checker<'t> {
    /// A checker; without a preprocessor, what needs tokens is not looked for and lengths are characters.
    pub fn new(preprocessor: Option<Preprocessor<'t>>, settings: CheckSettings) -> Self {
        Self {
            preprocessor,
            settings,
            splits: Vec::new(),
            findings: FindingKind::ALL.map(Finding::none).to_vec(),
            lengths: Lengths::default(),
            labels: Labels::default(),
            sizes: Sizes::default(),
            prompts: BTreeMap::new(),
            pairs: BTreeMap::new(),
            labelled: BTreeMap::new(),
            rows: BTreeMap::new(),
            files: Vec::new(),
        }
    }

    /// Looks at the rows of a file that are selected. Their kind is `kind`, or told from the columns of the first of them.
    ///
    /// # Errors
    /// If the file cannot be read or has a bad row.
    pub fn add_file(
        &mut self,
        split: &str,
        path: &Path,
        selection: &Selection,
        kind: Option<RowKind>,
    ) -> Result<(), DataError> {
        let kind = match kind {
            Some(kind) => kind,
            None => match selection.open::<RowKind>(path)?.next() {
                Some(row) => row?.record,
                None => {
                    self.split(split);
                    return Ok(());
                }
            },
        };
        match kind {
            RowKind::Pairs => self.add_rows::<PairRecord>(split, path, selection),
            RowKind::Kto => self.add_rows::<KtoRecord>(split, path, selection),
            RowKind::Scored => self.add_rows::<ScoredRecord>(split, path, selection),
            RowKind::Supervised => self.add_rows::<SupervisedRecord>(split, path, selection),
            RowKind::Prompts => self.add_rows::<PromptRecord>(split, path, selection),
        }
    }

    fn add_rows<T: Record + Into<AnyRecord>>(
        &mut self,
        split: &str,
        path: &Path,
        selection: &Selection,
    ) -> Result<(), DataError> {
        let mut place = Place {
            file: path.to_owned(),
            line: 0,
        };
        for row in selection.open::<T>(path)? {
            let row = row?;
            place.line = row.line;
            self.add(split, &place, &row.record.into())?;
        }
        Ok(())
    }

    /// Looks at one row of `split`.
    ///
    /// # Errors
    /// If the row's conversation cannot be rendered.
    ///
    /// # Panics
    /// With more than 64 splits.
    pub fn add(&mut self, split: &str, place: &Place, row: &AnyRecord) -> Result<(), DataError> {
        let split = self.split(split);
        self.splits[split].rows += 1;
        *self.splits[split].kinds.entry(row.kind()).or_default() += 1;
        match row {
            AnyRecord::Pair(row) => self.pair(split, place, row),
            AnyRecord::Kto(row) => self.labelled(split, place, row),
            AnyRecord::Scored(row) => self.candidates(split, place, row),
            AnyRecord::Supervised(SupervisedRecord::Completion { prompt, completion }) => {
                self.completion(split, place, prompt, completion)
            }
            AnyRecord::Supervised(SupervisedRecord::Whole(text)) => self.whole(split, place, text),
            AnyRecord::Prompt(row) => self.prompt(split, place, &row.prompt),
        }
        .map_err(|error| error.at(&place.file, place.line))
    }

    /// Everything found.
    pub fn finish(mut self) -> CheckReport {
        let unit = if self.preprocessor.is_some() {
            "tokens"
        } else {
            "characters"
        };
        self.note_single_labels();
        let Sizes { rows, sum, longest } = self.sizes;
        CheckReport {
            lengths: self.lengths.bias(unit),
            labels: self.labels.report(unit),
            sizes: (rows > 0).then(|| SizeReport {
                unit: unit.to_owned(),
                mean: sum as f64 / rows as f64,
                longest,
            }),
            splits: self.splits,
            findings: self.findings,
            on_policy: None,
        }
    }

    fn split(&mut self, name: &str) -> usize {
        let found = self.splits.iter().position(|split| split.split == name);
        found.unwrap_or_else(|| {
            assert!(self.splits.len() < 64, "at most 64 splits");
            self.splits.push(SplitRows {
                split: name.to_owned(),
                rows: 0,
                kinds: BTreeMap::new(),
            });
            self.splits.len() - 1
        })
    }

    fn note(&mut self, kind: FindingKind, place: &Place, text: &Text) {
        let finding = &mut self.findings[kind as usize];
        finding.count += 1;
        if finding.examples.len() < self.settings.examples {
            finding.examples.push(FindingExample::new(place, text));
        }
    }
}

/// At most `most` pairs of some files, drawn by their hashes: the same ones in whatever order the files are, and with no more
/// rows in memory.
///
/// # Errors
/// If a file cannot be read or has a bad row.
pub fn draw_pairs(
    files: &[PathBuf],
    selection: &Selection,
    most: usize,
) -> Result<Vec<PairRecord>, DataError> {
    let mut drawn: BTreeMap<(u64, usize), PairRecord> = BTreeMap::new();
    let mut seen = 0;
    for file in files {
        for row in selection.open::<PairRecord>(file)? {
            let row = row?.record;
            let key = hash([&row.prompt, &row.chosen, &row.rejected]);
            drawn.insert((key, seen), row);
            seen += 1;
            if drawn.len() > most {
                drawn.pop_last();
            }
        }
    }
    Ok(drawn.into_values().collect())
}

/// A hash of texts in their order, the same on every machine.
fn hash<'a>(texts: impl IntoIterator<Item = &'a Text>) -> u64 {
    let mut hasher = Sha256::new();
    for text in texts {
        let said = text.plain();
        hasher.update((said.len() as u64).to_le_bytes());
        hasher.update(said);
    }
    let digest = hasher.finalize();
    u64::from_le_bytes(
        digest[..8]
            .try_into()
            .expect("eight bytes of a longer digest"),
    )
}
