//! From data files to token ids, with a count of everything that is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use preflab_config::{Files, OverLong, RowFilter, TrainSettings};
use preflab_data::{
    DataError, PairRecord, PromptRecord, Record, Row, Selection, SupervisedRecord, Text,
    TokenExample, TokenPair, Truncation,
};
use preflab_experiment::hash_file;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::rows::{JudgedRow, PreferenceRow, SupervisedRow};
use crate::start::Words;
use crate::{FinetuneError, Observer};

/// Rows that are read before they are turned into tokens, all processors together.
const CHUNK: usize = 4096;

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

    fn count(&mut self, reason: Reason, path: &Path, line: usize) {
        let counted = self.counted.entry(reason).or_default();
        counted.rows += 1;
        if counted.places.len() < SHOWN {
            counted.places.push(format!("{}:{line}", path.display()));
        }
    }
}

/// Token ids to train on and to be evaluated on.
#[derive(Debug, Clone)]
pub struct Prepared<T> {
    /// Trained on.
    pub train: Vec<T>,
    /// Held out.
    pub held_out: Vec<T>,
    /// What became of the data.
    pub report: DataReport,
}

/// A pair with what the data say of the strength of its preference.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedPair {
    /// Its tokens.
    pub tokens: TokenPair,
    /// By how much the chosen one is better.
    pub margin: Option<f64>,
}

/// A completion with its label.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedExample {
    /// Its tokens.
    pub tokens: TokenExample,
    /// Whether it is wanted.
    pub wanted: bool,
}

/// One row as tokens, before it is known whether it is held out.
trait Tokens: Send {
    fn prompt(&self) -> &[u32];
}

impl Tokens for PreparedPair {
    fn prompt(&self) -> &[u32] {
        &self.tokens.prompt
    }
}

impl Tokens for PreparedExample {
    fn prompt(&self) -> &[u32] {
        &self.tokens.prompt
    }
}

impl Tokens for TokenExample {
    fn prompt(&self) -> &[u32] {
        &self.prompt
    }
}

impl Tokens for Vec<u32> {
    fn prompt(&self) -> &[u32] {
        self
    }
}

/// How rows are read.
pub(crate) struct Reading<'r> {
    pub words: &'r Words,
    pub settings: &'r TrainSettings,
    /// Longest sequence, tokens.
    pub max_length: usize,
    pub observer: &'r (dyn Observer + Sync),
}

/// What becomes of a row.
type Outcome<T> = Result<(T, Option<Reason>), Reason>;

impl Reading<'_> {
    /// Pairs of a chosen and a rejected completion.
    pub fn pairs(&self) -> Result<Prepared<PreparedPair>, FinetuneError> {
        self.prepared(|files, rows, report| {
            let (mut judged, mut pairs) = (Vec::new(), Vec::new());
            let reports = self.read(files, rows, |path, rows: Vec<Row<PreferenceRow>>| {
                let mut plain = Vec::with_capacity(rows.len());
                for Row { line, record } in rows {
                    match record {
                        PreferenceRow::Pair(pair) => plain.push((line, pair)),
                        PreferenceRow::Scored(scored) => match scored.pair() {
                            Some(pair) => plain.push((line, pair)),
                            None => report.count(Reason::NoPreference, path, line),
                        },
                        PreferenceRow::Judged(row) => judged.push((path.to_owned(), line, row)),
                    }
                }
                self.tokenised(path, plain, report, &mut pairs, |pair| self.pair(pair))
            })?;
            for (path, rows) in paired(judged, report) {
                self.tokenised(&path, rows, report, &mut pairs, |pair| self.pair(pair))?;
            }
            Ok((reports, pairs))
        })
    }

    /// Completions that are wanted or not, each by itself.
    pub fn judged(&self) -> Result<Prepared<PreparedExample>, FinetuneError> {
        self.prepared(|files, rows, report| {
            let mut examples = Vec::new();
            let reports = self.read(files, rows, |path, rows: Vec<Row<JudgedRow>>| {
                let completions = |Row { line, record }: Row<JudgedRow>| {
                    let of_row = record.completions().into_iter();
                    of_row.map(move |completion| (line, completion))
                };
                let rows = rows.into_iter().flat_map(completions).collect();
                self.tokenised(path, rows, report, &mut examples, |(row, wanted)| {
                    let outcome = self.example(row)?;
                    Ok(outcome.map(|(tokens, reason)| {
                        let wanted = *wanted;
                        (PreparedExample { tokens, wanted }, reason)
                    }))
                })
            })?;
            Ok((reports, examples))
        })
    }

    /// Prompts with the completion to learn.
    pub fn examples(&self) -> Result<Prepared<TokenExample>, FinetuneError> {
        self.prepared(|files, rows, report| {
            let mut examples = Vec::new();
            let reports = self.read(files, rows, |path, rows: Vec<Row<SupervisedRow>>| {
                let mut plain = Vec::with_capacity(rows.len());
                for Row { line, record } in rows {
                    match record {
                        SupervisedRow::Plain(record) => plain.push((line, record)),
                        SupervisedRow::Unwanted => report.count(Reason::Unwanted, path, line),
                    }
                }
                self.tokenised(path, plain, report, &mut examples, |row| self.example(row))
            })?;
            Ok((reports, examples))
        })
    }

    /// Prompts to be answered, each with room for an answer of `room` tokens.
    pub fn prompts(&self, room: usize) -> Result<Prepared<Vec<u32>>, FinetuneError> {
        self.prepared(|files, rows, report| {
            let mut prompts = Vec::new();
            let reports = self.read(files, rows, |path, rows: Vec<Row<PromptRecord>>| {
                let rows = rows.into_iter().map(|row| (row.line, row.record)).collect();
                self.tokenised(path, rows, report, &mut prompts, |row| {
                    let ids = self.words.preprocessor().prompt(&row.prompt)?;
                    Ok(if ids.is_empty() {
                        Err(Reason::NoPrompt)
                    } else if ids.len() + room > self.max_length {
                        Err(Reason::OverLong)
                    } else {
                        Ok((ids, None))
                    })
                })
            })?;
            Ok((reports, prompts))
        })
    }

    /// Training and held-out rows, by the files or by share.
    fn prepared<T: Tokens>(
        &self,
        mut of: impl FnMut(
            &Files,
            &RowFilter,
            &mut DataReport,
        ) -> Result<(Vec<FileReport>, Vec<T>), FinetuneError>,
    ) -> Result<Prepared<T>, FinetuneError> {
        let mut report = DataReport {
            max_length: self.max_length,
            ..DataReport::default()
        };
        let (files, rows) = of(&self.settings.data, &self.settings.rows, &mut report)?;
        report.files = files;
        let (train, held_out) = match self.settings.held_out_files() {
            Some(files) => {
                let (files, held_out) = of(files, &self.settings.eval_rows, &mut report)?;
                report.eval_files = files;
                (rows, held_out)
            }
            None => held_out(rows, self.settings.eval_share.get(), self.settings.seed),
        };
        report.train = train.len();
        report.held_out = held_out.len();
        report.shared_prompts = {
            let trained: BTreeSet<&[u32]> = train.iter().map(Tokens::prompt).collect();
            let shared = |row: &&T| trained.contains(row.prompt());
            held_out.iter().filter(shared).count()
        };
        for line in report.lines() {
            self.observer.note(&line);
        }
        if report.shared_prompts > 0 {
            self.observer.warn(&format!(
                "{} of the {} held-out rows have a prompt that is trained on, too: their figures flatter",
                report.shared_prompts, report.held_out
            ));
        }
        if train.is_empty() {
            return Err(FinetuneError::refused(
                "no row is left to train on",
                "see above for what was dropped and why; `--set max_length=N` and `--set over_long=keep-start` keep long rows",
            ));
        }
        if held_out.is_empty()
            && (self.settings.held_out_files().is_some() || self.settings.eval_share.get() > 0.0)
        {
            return Err(FinetuneError::refused(
                "no row is left to be held out",
                "hold out a larger share, or check the file given by `--eval`",
            ));
        }
        Ok(Prepared {
            train,
            held_out,
            report,
        })
    }

    /// Reads files, some rows at a time.
    fn read<R: Record>(
        &self,
        files: &Files,
        filter: &RowFilter,
        mut each: impl FnMut(&Path, Vec<Row<R>>) -> Result<(), FinetuneError>,
    ) -> Result<Vec<FileReport>, FinetuneError> {
        let mut reports = Vec::new();
        for path in &files.0 {
            let mut records = selection(self.settings, filter).open::<R>(path)?;
            let mut rows = 0;
            loop {
                let chunk: Vec<Row<R>> = records
                    .by_ref()
                    .take(CHUNK)
                    .collect::<Result<_, DataError>>()?;
                if chunk.is_empty() {
                    break;
                }
                rows += chunk.len();
                each(path, chunk)?;
            }
            reports.push(FileReport {
                path: path.clone(),
                sha256: hash_file(path).map_err(FinetuneError::io("read", path))?,
                rows,
                passed_over: records.passed_over(),
            });
        }
        Ok(reports)
    }

    /// Rows to tokens, on all processors, in the order of the rows.
    fn tokenised<R: Sync, T: Send>(
        &self,
        path: &Path,
        rows: Vec<(usize, R)>,
        report: &mut DataReport,
        into: &mut Vec<T>,
        of: impl Fn(&R) -> Result<Outcome<T>, DataError> + Sync,
    ) -> Result<(), FinetuneError> {
        let outcomes: Vec<Result<Outcome<T>, DataError>> =
            rows.par_iter().map(|(_, row)| of(row)).collect();
        for ((line, _), outcome) in rows.iter().zip(outcomes) {
            match outcome.map_err(|error| error.at(path, *line))? {
                Ok((row, reason)) => {
                    into.push(row);
                    if let Some(reason) = reason {
                        report.count(reason, path, *line);
                    }
                }
                Err(reason) => report.count(reason, path, *line),
            }
        }
        Ok(())
    }

    fn pair(&self, row: &PairRecord) -> Result<Outcome<PreparedPair>, DataError> {
        if row.chosen.is_blank() || row.rejected.is_blank() {
            return Ok(Err(Reason::Empty));
        }
        let (mut tokens, _) = self.words.preprocessor().pair(row)?;
        self.begin(&mut tokens.prompt);
        let mut cut = None;
        if tokens.longest() > self.max_length {
            match self.settings.over_long {
                OverLong::Drop => return Ok(Err(Reason::OverLong)),
                OverLong::KeepStart => {}
                OverLong::KeepEnd => {
                    let excess = tokens.longest() - self.max_length;
                    tokens.prompt.drain(..excess.min(tokens.prompt.len() - 1));
                }
            }
            let Some(shorter) = tokens.truncated(self.max_length) else {
                return Ok(Err(Reason::OverLong));
            };
            tokens = shorter;
            cut = Some(Reason::Cut);
        }
        Ok(if tokens.prompt.is_empty() {
            Err(Reason::NoPrompt)
        } else if tokens.chosen.is_empty() || tokens.rejected.is_empty() {
            Err(Reason::Empty)
        } else if tokens.chosen == tokens.rejected {
            Err(Reason::Identical)
        } else {
            let margin = row.margin;
            Ok((PreparedPair { tokens, margin }, cut))
        })
    }

    fn example(&self, row: &SupervisedRecord) -> Result<Outcome<TokenExample>, DataError> {
        let preprocessor = self.words.preprocessor();
        let mut example = match row {
            SupervisedRecord::Completion { prompt, completion } => {
                if completion.is_blank() {
                    return Ok(Err(Reason::Empty));
                }
                TokenExample::from(preprocessor.example(prompt, completion)?)
            }
            SupervisedRecord::Whole(text) => {
                if text.is_blank() {
                    return Ok(Err(Reason::Empty));
                }
                // Nothing predicts the first token of a text: it is the prompt.
                let mut ids = preprocessor.whole(None, text)?;
                if self.words.tokenizer.bos() != ids.first().copied() {
                    ids.insert(0, self.words.first());
                }
                let completion = ids.split_off(1);
                TokenExample {
                    prompt: ids,
                    completion,
                }
            }
        };
        self.begin(&mut example.prompt);
        let mut cut = None;
        if example.tokens() > self.max_length {
            let shorter = self
                .truncation()
                .and_then(|truncation| example.truncated(self.max_length, truncation));
            match shorter {
                None => return Ok(Err(Reason::OverLong)),
                Some(shorter) => example = shorter,
            }
            cut = Some(Reason::Cut);
        }
        Ok(if example.prompt.is_empty() {
            Err(Reason::NoPrompt)
        } else if example.completion.is_empty() {
            Err(Reason::Empty)
        } else {
            Ok((example, cut))
        })
    }

    /// A completion needs a token that it follows.
    fn begin(&self, prompt: &mut Vec<u32>) {
        if prompt.is_empty() {
            prompt.push(self.words.first());
        }
    }

    fn truncation(&self) -> Option<Truncation> {
        match self.settings.over_long {
            OverLong::Drop => None,
            OverLong::KeepStart => Some(Truncation::KeepStart),
            OverLong::KeepEnd => Some(Truncation::KeepEnd),
        }
    }
}

/// Rows with a label of their own, wanted ones with unwanted ones of the same prompt, in their order. What is left over is
/// counted.
fn paired(
    judged: Vec<(PathBuf, usize, preflab_data::KtoRecord)>,
    report: &mut DataReport,
) -> Vec<(PathBuf, Vec<(usize, PairRecord)>)> {
    type Side = Vec<(PathBuf, usize, Text)>;
    let mut order: Vec<(Text, Side, Side)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (path, line, row) in judged {
        let place = *places.entry(row.prompt.plain()).or_insert_with(|| {
            order.push((row.prompt.clone(), Vec::new(), Vec::new()));
            order.len() - 1
        });
        let (_, wanted, unwanted) = &mut order[place];
        let side = if row.label { wanted } else { unwanted };
        side.push((path, line, row.completion));
    }
    let mut pairs: Vec<(PathBuf, Vec<(usize, PairRecord)>)> = Vec::new();
    for (prompt, wanted, unwanted) in order {
        let both = wanted.len().min(unwanted.len());
        for (path, line, _) in wanted[both..].iter().chain(&unwanted[both..]) {
            report.count(Reason::Unpaired, path, *line);
        }
        for ((path, line, chosen), (_, _, rejected)) in wanted.into_iter().zip(unwanted) {
            let record = PairRecord {
                prompt: prompt.clone(),
                chosen,
                rejected,
                margin: None,
            };
            match pairs.last_mut() {
                Some((last, rows)) if *last == path => rows.push((line, record)),
                Some(_) | None => pairs.push((path, vec![(line, record)])),
            }
        }
    }
    pairs
}

/// Holds out a share of the rows: those of the prompts whose hashes (with the seed) are smallest, so that no prompt stands
/// on both sides, and adding rows moves few. Both parts keep the order of the rows.
fn held_out<T: Tokens>(rows: Vec<T>, share: f64, seed: u64) -> (Vec<T>, Vec<T>) {
    let wanted = (rows.len() as f64 * share).round() as usize;
    if wanted == 0 || rows.is_empty() {
        return (rows, Vec::new());
    }
    let mut sizes: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    let hashes: Vec<[u8; 32]> = rows
        .iter()
        .map(|row| {
            let mut hash = Sha256::new();
            hash.update(seed.to_le_bytes());
            for id in row.prompt() {
                hash.update(id.to_le_bytes());
            }
            let hash: [u8; 32] = hash.finalize().into();
            *sizes.entry(hash).or_default() += 1;
            hash
        })
        .collect();
    let mut taken = 0;
    let mut last = None;
    for (hash, size) in &sizes {
        if taken >= wanted {
            break;
        }
        taken += size;
        last = Some(*hash);
    }
    let (mut train, mut held) = (Vec::new(), Vec::new());
    for (row, hash) in rows.into_iter().zip(hashes) {
        match Some(hash) <= last {
            true => held.push(row),
            false => train.push(row),
        }
    }
    (train, held)
}

/// The rows that `filter` wants, under the names of the settings.
fn selection(settings: &TrainSettings, filter: &RowFilter) -> Selection {
    Selection {
        columns: settings.columns.clone(),
        rows: filter.clone(),
    }
}

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

    fn read(columns: &preflab_data::Columns) -> Result<Self, preflab_data::RecordProblem> {
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
                let scored = preflab_data::ScoredRecord::read(columns)?;
                texts.extend(scored.candidates.iter().map(|(text, _)| text.plain()));
            }
        }
        Ok(Self(texts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_never_on_both_sides() {
        let rows: Vec<Vec<u32>> = (0..200).map(|row| vec![row % 40]).collect();
        let (train, held) = held_out(rows.clone(), 0.1, 7);
        assert_eq!(held.len(), 20);
        assert!(held.iter().all(|row| !train.contains(row)));
        assert_eq!(held_out(rows.clone(), 0.1, 7), (train, held.clone()));
        assert_ne!(held_out(rows.clone(), 0.1, 8).1, held);
        assert_eq!(held_out(rows.clone(), 0.0, 7), (rows, Vec::new()));
    }
}
