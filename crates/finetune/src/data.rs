//! From data files to token ids, with a count of everything that is left out.

mod paired;
mod report;
mod stored;
mod texts;

use std::path::Path;

use preflab_config::{Files, OverLong, RowFilter, TrainSettings};
use preflab_data::{
    DataError, PairRecord, PromptRecord, Record, Row, Selection, SupervisedRecord, TokenExample,
    TokenPair, Truncation,
};
use preflab_experiment::hash_file;
use rayon::prelude::*;

use paired::paired;
pub use report::{Counted, DataReport, FileReport, Reason};
use stored::Gathered;
pub(crate) use stored::{Stored, Tokens};
pub(crate) use texts::texts;

use crate::rows::{JudgedRow, PreferenceRow, SupervisedRow};
use crate::start::Words;
use crate::{FinetuneError, Observer};

/// Rows that are read before they are turned into tokens, all processors together.
const CHUNK: usize = 4096;

/// Token ids to train on and to be evaluated on, with what is known of each row besides.
#[derive(Debug)]
pub(crate) struct Prepared<T, N> {
    /// Trained on.
    pub train: Stored<T, N>,
    /// Held out.
    pub held_out: Stored<T, N>,
    /// What became of the data.
    pub report: DataReport,
}

/// How rows are read.
pub(crate) struct Reading<'r> {
    pub words: &'r Words,
    pub settings: &'r TrainSettings,
    /// Longest sequence, tokens.
    pub max_length: usize,
    /// Directory of the file that token ids are kept in while the run lasts.
    pub scratch: &'r Path,
    pub observer: &'r (dyn Observer + Sync),
}

/// What becomes of a row.
type Outcome<T> = Result<(T, Option<Reason>), Reason>;

impl Reading<'_> {
    /// Pairs of a chosen and a rejected completion.
    pub fn pairs(&self) -> Result<Prepared<TokenPair, Option<f64>>, FinetuneError> {
        self.prepared(|files, rows, report| {
            let (mut judged, mut pairs) = (Vec::new(), self.gathered()?);
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
    pub fn judged(&self) -> Result<Prepared<TokenExample, bool>, FinetuneError> {
        self.prepared(|files, rows, report| {
            let mut examples = self.gathered()?;
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
                        ((tokens, wanted), reason)
                    }))
                })
            })?;
            Ok((reports, examples))
        })
    }

    /// Prompts with the completion to learn.
    pub fn examples(&self) -> Result<Prepared<TokenExample, ()>, FinetuneError> {
        self.prepared(|files, rows, report| {
            let mut examples = self.gathered()?;
            let reports = self.read(files, rows, |path, rows: Vec<Row<SupervisedRow>>| {
                let mut plain = Vec::with_capacity(rows.len());
                for Row { line, record } in rows {
                    match record {
                        SupervisedRow::Plain(record) => plain.push((line, record)),
                        SupervisedRow::Unwanted => report.count(Reason::Unwanted, path, line),
                    }
                }
                self.tokenised(path, plain, report, &mut examples, |row| {
                    Ok(self
                        .example(row)?
                        .map(|(tokens, reason)| ((tokens, ()), reason)))
                })
            })?;
            Ok((reports, examples))
        })
    }

    /// Prompts to be answered, each with room for an answer of `room` tokens.
    pub fn prompts(&self, room: usize) -> Result<Prepared<Vec<u32>, ()>, FinetuneError> {
        self.prepared(|files, rows, report| {
            let mut prompts = self.gathered()?;
            let reports = self.read(files, rows, |path, rows: Vec<Row<PromptRecord>>| {
                let rows = rows.into_iter().map(|row| (row.line, row.record)).collect();
                self.tokenised(path, rows, report, &mut prompts, |row| {
                    let ids = self.words.preprocessor().prompt(&row.prompt)?;
                    Ok(if ids.is_empty() {
                        Err(Reason::NoPrompt)
                    } else if ids.len() + room > self.max_length {
                        Err(Reason::OverLong)
                    } else {
                        Ok(((ids, ()), None))
                    })
                })
            })?;
            Ok((reports, prompts))
        })
    }

    /// Nothing yet, in a file that goes with the run.
    fn gathered<T: Tokens, N>(&self) -> Result<Gathered<T, N>, FinetuneError> {
        let openings = [Some(self.words.first()), self.words.tokenizer.bos()];
        Gathered::new(self.scratch, self.settings.seed, openings)
    }

    /// Training and held-out rows, by the files or by share.
    fn prepared<T: Tokens, N: Clone>(
        &self,
        mut of: impl FnMut(
            &Files,
            &RowFilter,
            &mut DataReport,
        ) -> Result<(Vec<FileReport>, Gathered<T, N>), FinetuneError>,
    ) -> Result<Prepared<T, N>, FinetuneError> {
        let mut report = DataReport {
            max_length: self.max_length,
            ..DataReport::default()
        };
        let (files, rows) = of(&self.settings.data, &self.settings.rows, &mut report)?;
        report.files = files;
        let [train, held_out] = match self.settings.held_out_files() {
            Some(files) => {
                let (files, held_out) = of(files, &self.settings.eval_rows, &mut report)?;
                report.eval_files = files;
                report.shared_prompts = held_out.known_to(&rows);
                [rows.all(self.scratch)?, held_out.all(self.scratch)?]
            }
            None => rows.divided(self.scratch, self.settings.eval_share.get())?,
        };
        report.train = train.tokens.len();
        report.held_out = held_out.tokens.len();
        for line in report.lines() {
            self.observer.note(&line);
        }
        if report.shared_prompts > 0 {
            self.observer.warn(&format!(
                "{} of the {} held-out rows have a prompt that is trained on, too: their figures flatter",
                report.shared_prompts, report.held_out
            ));
        }
        if train.tokens.is_empty() {
            return Err(FinetuneError::refused(
                "no row is left to train on",
                "see above for what was dropped and why; `--set max_length=N` and `--set over_long=keep-start` keep long rows",
            ));
        }
        if held_out.tokens.is_empty()
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
    fn tokenised<R: Sync, T: Tokens, N: Send>(
        &self,
        path: &Path,
        rows: Vec<(usize, R)>,
        report: &mut DataReport,
        into: &mut Gathered<T, N>,
        of: impl Fn(&R) -> Result<Outcome<(T, N)>, DataError> + Sync,
    ) -> Result<(), FinetuneError> {
        let outcomes: Vec<Result<Outcome<(T, N)>, DataError>> =
            rows.par_iter().map(|(_, row)| of(row)).collect();
        for ((line, _), outcome) in rows.iter().zip(outcomes) {
            match outcome.map_err(|error| error.at(path, *line))? {
                Ok(((tokens, note), reason)) => {
                    into.push(&tokens, note)
                        .map_err(FinetuneError::io("write", self.scratch))?;
                    if let Some(reason) = reason {
                        report.count(reason, path, *line);
                    }
                }
                Err(reason) => report.count(reason, path, *line),
            }
        }
        Ok(())
    }

    fn pair(&self, row: &PairRecord) -> Result<Outcome<(TokenPair, Option<f64>)>, DataError> {
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
            Ok(((tokens, row.margin), cut))
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

/// The rows that `filter` wants, under the names of the settings.
fn selection(settings: &TrainSettings, filter: &RowFilter) -> Selection {
    Selection {
        columns: settings.columns.clone(),
        rows: filter.clone(),
    }
}
