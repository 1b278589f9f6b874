//! What is wrong with a preference data set, found before training on it.
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
//! checker.add("train", &Place { file: "pairs.jsonl".into(), line: 1 }, &row)?;
//! let report = checker.finish();
//! assert_eq!(report.finding(FindingKind::IdenticalPair).count, 1);
//! # Ok::<(), preflab_data::DataError>(())
//! ```

mod encoding;
mod lengths;
mod report;
mod text;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

pub use lengths::LengthBias;
use lengths::Lengths;
pub use report::{
    CheckReport, Estimated, Finding, FindingExample, FindingKind, OnPolicy, Severity, SplitRows,
};
use sha2::{Digest, Sha256};

use crate::{DataError, PairRecord, Preprocessor, Records, Text};

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

/// Characters shown before trouble with an encoding.
const CONTEXT: usize = 20;

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
    /// For each prompt: the splits it stands in, as bits.
    prompts: BTreeMap<u64, u64>,
    /// For each prompt with its two completions in either order: which of them was chosen.
    pairs: BTreeMap<u64, Preferred>,
}

/// Which of two completions, in the order of their hashes, rows have preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Preferred {
    first: bool,
    second: bool,
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
            prompts: BTreeMap::new(),
            pairs: BTreeMap::new(),
        }
    }

    /// Looks at every row of a file.
    ///
    /// # Errors
    /// If the file cannot be read or has a bad row.
    pub fn add_file(&mut self, split: &str, path: &Path) -> Result<(), DataError> {
        for row in Records::<PairRecord>::open(path)? {
            let row = row?;
            self.add(
                split,
                &Place {
                    file: path.to_owned(),
                    line: row.line,
                },
                &row.record,
            )?;
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
    pub fn add(&mut self, split: &str, place: &Place, row: &PairRecord) -> Result<(), DataError> {
        let split = self.split(split);
        self.splits[split].rows += 1;
        for (kind, text) in wording(row) {
            self.note(kind, place, text);
        }
        let texts = [&row.prompt, &row.chosen, &row.rejected].map(Text::plain);
        if let Some((text, at)) = texts
            .iter()
            .find_map(|text| Some((text, encoding::first_trouble(text)?)))
        {
            let around: String = text.chars().skip(at.saturating_sub(CONTEXT)).collect();
            self.note(FindingKind::BrokenEncoding, place, &Text::Prose(around));
        }
        for kind in [self.seen_prompt(split, row), self.seen_pair(row)]
            .into_iter()
            .flatten()
        {
            self.note(kind, place, &row.prompt);
        }
        let lengths = match self.preprocessor {
            Some(preprocessor) => self.add_tokens(preprocessor, place, row)?,
            None => [&row.chosen, &row.rejected].map(Text::characters),
        };
        self.lengths.add(lengths);
        Ok(())
    }

    /// Everything found.
    pub fn finish(self) -> CheckReport {
        let unit = if self.preprocessor.is_some() {
            "tokens"
        } else {
            "characters"
        };
        CheckReport {
            splits: self.splits,
            findings: self.findings,
            lengths: self.lengths.bias(unit),
            on_policy: None,
        }
    }

    /// What only tokens show; returns the lengths of the completions.
    fn add_tokens(
        &mut self,
        preprocessor: Preprocessor<'_>,
        place: &Place,
        row: &PairRecord,
    ) -> Result<[usize; 2], DataError> {
        let (pair, merges) = preprocessor.pair(row)?;
        if merges {
            self.note(FindingKind::BoundaryMerge, place, &row.prompt);
        }
        if let Some(unknown) = preprocessor.tokenizer().unknown() {
            let all = [&pair.prompt, &pair.chosen, &pair.rejected];
            if all.into_iter().any(|ids| ids.contains(&unknown)) {
                self.note(FindingKind::UnknownToken, place, &row.chosen);
            }
        }
        if let Some(max_length) = self.settings.max_length {
            if pair.prompt.len() >= max_length {
                self.note(FindingKind::PromptTooLong, place, &row.prompt);
            } else if pair.longest() > max_length {
                self.note(FindingKind::Truncated, place, &row.prompt);
            }
        }
        Ok([pair.chosen.len(), pair.rejected.len()])
    }

    fn split(&mut self, name: &str) -> usize {
        let found = self.splits.iter().position(|split| split.split == name);
        found.unwrap_or_else(|| {
            assert!(self.splits.len() < 64, "at most 64 splits");
            self.splits.push(SplitRows {
                split: name.to_owned(),
                rows: 0,
            });
            self.splits.len() - 1
        })
    }

    fn seen_prompt(&mut self, split: usize, row: &PairRecord) -> Option<FindingKind> {
        let here = 1u64 << split;
        let splits = self.prompts.entry(hash([&row.prompt])).or_default();
        let before = std::mem::replace(splits, *splits | here);
        match before {
            0 => None,
            before if before & !here != 0 => Some(FindingKind::PromptAcrossSplits),
            _ => Some(FindingKind::RepeatedPrompt),
        }
    }

    fn seen_pair(&mut self, row: &PairRecord) -> Option<FindingKind> {
        let (chosen, rejected) = (hash([&row.chosen]), hash([&row.rejected]));
        if chosen == rejected {
            return None;
        }
        let is_first = chosen < rejected;
        let key = if is_first {
            hash([&row.prompt, &row.chosen, &row.rejected])
        } else {
            hash([&row.prompt, &row.rejected, &row.chosen])
        };
        match self.pairs.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Preferred {
                    first: is_first,
                    second: !is_first,
                });
                None
            }
            Entry::Occupied(mut entry) => {
                let preferred = entry.get_mut();
                let (same, opposite) = if is_first {
                    (&mut preferred.first, preferred.second)
                } else {
                    (&mut preferred.second, preferred.first)
                };
                *same = true;
                Some(if opposite {
                    FindingKind::Contradiction
                } else {
                    FindingKind::RepeatedPair
                })
            }
        }
    }

    fn note(&mut self, kind: FindingKind, place: &Place, text: &Text) {
        let finding = &mut self.findings[kind as usize];
        finding.count += 1;
        if finding.examples.len() < self.settings.examples {
            finding.examples.push(FindingExample::new(place, text));
        }
    }
}

/// At most `most` rows of some files, drawn by their hashes: the same ones in whatever order the files are, and with no more
/// rows in memory.
///
/// # Errors
/// If a file cannot be read or has a bad row.
pub fn draw_pairs(files: &[PathBuf], most: usize) -> Result<Vec<PairRecord>, DataError> {
    let mut drawn: BTreeMap<(u64, usize), PairRecord> = BTreeMap::new();
    let mut seen = 0;
    for file in files {
        for row in Records::<PairRecord>::open(file)? {
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

/// What a row's own words show, with the text that shows it.
fn wording(row: &PairRecord) -> impl Iterator<Item = (FindingKind, &Text)> {
    let PairRecord {
        prompt,
        chosen,
        rejected,
        ..
    } = row;
    let is_identical = chosen == rejected;
    let goes_on = [chosen, rejected]
        .into_iter()
        .find(|text| matches!(text, Text::Prose(said) if said.contains("\n\nHuman:")));
    [
        (is_identical, FindingKind::IdenticalPair, chosen),
        (
            !is_identical && bare(chosen) == bare(rejected),
            FindingKind::TrivialPair,
            chosen,
        ),
        (prompt.is_blank(), FindingKind::EmptyPrompt, chosen),
        (chosen.is_blank(), FindingKind::EmptyChosen, prompt),
        (rejected.is_blank(), FindingKind::EmptyRejected, prompt),
        (
            goes_on.is_some(),
            FindingKind::ExtraTurn,
            goes_on.unwrap_or(chosen),
        ),
    ]
    .into_iter()
    .filter_map(|(is_so, kind, text)| is_so.then_some((kind, text)))
}

/// A text without white space and capitals.
fn bare(text: &Text) -> String {
    let plain = text.plain();
    let bare = plain.chars().filter(|c| !c.is_whitespace());
    bare.flat_map(char::to_lowercase).collect()
}

/// A hash of texts in their order, the same on every machine.
fn hash<const N: usize>(texts: [&Text; N]) -> u64 {
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
