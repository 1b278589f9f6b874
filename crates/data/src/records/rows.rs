//! Reading rows from a file.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use preflab_config::RowFilter;
use serde_json::{Map, Value};

use super::columns::{Columns, Record};
use super::json_array::{Elements, Trouble};
use super::parquet::ParquetRows;
use super::selection::Sieve;
use crate::{DataError, JsonLines, MAX_LINE_BYTES, open_text};

/// A row with the place it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<T> {
    /// Line on which it starts, from 1; for Parquet its number.
    pub line: usize,
    /// What it says.
    pub record: T,
}

/// The rows of a file, one at a time. The iterator ends after the first error.
pub struct Records<T> {
    path: PathBuf,
    source: Source,
    /// The file's names of columns with ours.
    renamed: BTreeMap<String, String>,
    sieve: Sieve,
    done: bool,
    record: PhantomData<fn() -> T>,
}

/// A line with the columns of the row on it.
type Numbered = (usize, Map<String, Value>);

enum Source {
    Lines(JsonLines<Map<String, Value>>),
    Array(Elements),
    Csv {
        header: Vec<String>,
        rows: csv::StringRecordsIntoIter<Box<dyn BufRead + Send>>,
    },
    Parquet {
        rows: ParquetRows,
        row: usize,
    },
}

impl<T> std::fmt::Debug for Records<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl<T: Record> Records<T> {
    /// Opens `path`; the format is told by its name and first character.
    ///
    /// # Errors
    /// If the file cannot be opened, or is of a format that is not read.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let source = if name.ends_with(".parquet") {
            Source::Parquet {
                rows: ParquetRows::open(path)?,
                row: 0,
            }
        } else if name.ends_with(".csv") {
            csv_source(path)?
        } else if !name.ends_with(".jsonl")
            && !name.ends_with(".ndjson")
            && starts_with_bracket(path)?
        {
            Source::Array(Elements::new(open_text(path)?, MAX_LINE_BYTES))
        } else {
            Source::Lines(JsonLines::open(path, T::EXPECTED)?)
        };
        Ok(Self {
            path: path.to_owned(),
            source,
            renamed: BTreeMap::new(),
            sieve: Sieve::default(),
            done: false,
            record: PhantomData,
        })
    }

    /// Reads column `theirs` of the file where `ours` is meant.
    #[must_use]
    pub fn renamed(mut self, ours: &str, theirs: &str) -> Self {
        self.renamed.insert(theirs.to_owned(), ours.to_owned());
        self
    }

    /// Passes over the rows that `filter` does not want. A file in which it wants none is refused at its end.
    #[must_use]
    pub fn only(mut self, filter: &RowFilter) -> Self {
        self.sieve = Sieve::new(filter);
        self
    }

    /// Rows passed over so far.
    pub fn passed_over(&self) -> usize {
        self.sieve.passed_over
    }

    fn read(&mut self) -> Result<Option<Row<T>>, DataError> {
        let (line, mut values) = loop {
            match self.values()? {
                None => {
                    self.sieve.conclude(&self.path)?;
                    return Ok(None);
                }
                Some((line, values)) if self.sieve.takes(&values) => break (line, values),
                Some(_) => {}
            }
        };
        if !self.renamed.is_empty() {
            values = values
                .into_iter()
                .map(|(name, value)| (self.renamed.get(&name).cloned().unwrap_or(name), value))
                .collect();
        }
        let columns = match self.source {
            Source::Csv { .. } => Columns::of_text(values),
            Source::Lines(_) | Source::Array(_) | Source::Parquet { .. } => Columns::new(values),
        };
        let record =
            T::read(&columns).map_err(|problem| self.error(line, problem.problem, problem.hint))?;
        Ok(Some(Row { line, record }))
    }

    /// The next row with the file's own names, and its line.
    fn values(&mut self) -> Result<Option<Numbered>, DataError> {
        match &mut self.source {
            Source::Lines(lines) => lines.next().transpose(),
            Source::Array(elements) => match elements.next() {
                Ok(None) => Ok(None),
                Ok(Some((line, bytes))) => {
                    let values = serde_json::from_slice(&bytes).map_err(|error| {
                        self.error(
                            line,
                            format!("not a row: {error}"),
                            "each element of the array is an object".into(),
                        )
                    })?;
                    Ok(Some((line, values)))
                }
                Err(Trouble::Read(error)) => Err(DataError::read(&self.path)(error)),
                Err(Trouble::Text(problem)) => {
                    let line = elements.line();
                    Err(self.error(
                        line,
                        problem.into(),
                        "check that the file is complete".into(),
                    ))
                }
            },
            Source::Parquet { rows, row } => {
                let Some(values) = rows.next() else {
                    return Ok(None);
                };
                *row += 1;
                let row = *row;
                let values = values.map_err(|problem| {
                    let hint = "the file may be cut off, or compressed with zstd or brotli, which are not read: write it with snappy";
                    self.error(row, problem, hint.into())
                })?;
                Ok(Some((row, values)))
            }
            Source::Csv { header, rows } => {
                let Some(row) = rows.next() else {
                    return Ok(None);
                };
                let row = row.map_err(|error| csv_error(&self.path, T::EXPECTED, error))?;
                let line = row
                    .position()
                    .map_or(0, |position| position.line() as usize);
                let cells = row.iter().map(|cell| Value::String(cell.to_owned()));
                Ok(Some((line, header.iter().cloned().zip(cells).collect())))
            }
        }
    }

    fn error(&self, line: usize, problem: String, hint: String) -> DataError {
        DataError::Row {
            path: self.path.clone(),
            line,
            problem,
            expected: T::EXPECTED.into(),
            hint,
        }
    }
}

impl<T: Record> Iterator for Records<T> {
    type Item = Result<Row<T>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let row = self.read().transpose();
        self.done = !matches!(row, Some(Ok(_)));
        row
    }
}

fn starts_with_bracket(path: &Path) -> Result<bool, DataError> {
    let mut reader = open_text(path)?;
    loop {
        let buffer = reader.fill_buf().map_err(DataError::read(path))?;
        let first = buffer
            .iter()
            .copied()
            .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf));
        let length = buffer.len();
        match first {
            Some(byte) => return Ok(byte == b'['),
            None if length == 0 => return Ok(false),
            None => reader.consume(length),
        }
    }
}

fn csv_source(path: &Path) -> Result<Source, DataError> {
    let mut reader = csv::ReaderBuilder::new().from_reader(open_text(path)?);
    let header = reader
        .headers()
        .map_err(|error| csv_error(path, "a header", error))?;
    let header = header
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').trim().to_owned())
        .collect();
    Ok(Source::Csv {
        header,
        rows: reader.into_records(),
    })
}

fn csv_error(path: &Path, expected: &str, error: csv::Error) -> DataError {
    let line = error
        .position()
        .map_or(1, |position| position.line() as usize);
    let problem = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => DataError::read(path)(error),
        // `csv::ErrorKind` belongs to the csv crate and is non-exhaustive.
        _ => DataError::Row {
            path: path.to_owned(),
            line,
            problem,
            expected: expected.to_owned(),
            hint: "every row has as many cells as the header; cells with commas, quotes or line breaks stand in quotes".into(),
        },
    }
}
