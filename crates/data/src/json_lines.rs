//! Streaming reader of JSON lines.

use std::io::{BufRead, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::{DataError, open_text};

/// Longest line accepted, bytes. A file without line breaks would otherwise be read into memory whole.
pub const MAX_LINE_BYTES: u64 = 64 << 20;

/// The rows of a JSON-lines file (plain or gzip), one at a time, with their line numbers.
///
/// Empty lines are passed over. The iterator ends after the first error.
///
/// # Example
/// ```no_run
/// # use preflab_data::JsonLines;
/// #[derive(serde::Deserialize)]
/// struct Row { prompt: String }
/// for row in JsonLines::<Row>::open("prompts.jsonl.gz".as_ref(), "an object with the key `prompt`")? {
///     let (line, row) = row?;
///     # let _ = (line, row.prompt);
/// }
/// # Ok::<(), preflab_data::DataError>(())
/// ```
pub struct JsonLines<T> {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    expected: String,
    line: usize,
    buffer: Vec<u8>,
    done: bool,
    row: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for JsonLines<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonLines")
            .field("path", &self.path)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> JsonLines<T> {
    /// Opens `path`. `expected` describes a right row in error messages.
    ///
    /// # Errors
    /// [`DataError::Read`] if the file cannot be opened.
    pub fn open(path: &Path, expected: &str) -> Result<Self, DataError> {
        Ok(Self {
            path: path.to_owned(),
            reader: open_text(path)?,
            expected: expected.to_owned(),
            line: 0,
            buffer: Vec::new(),
            done: false,
            row: PhantomData,
        })
    }

    /// The error of the row read last, for problems that only its meaning shows.
    pub fn error(&self, problem: impl Into<String>, hint: impl Into<String>) -> DataError {
        DataError::Row {
            path: self.path.clone(),
            line: self.line,
            problem: problem.into(),
            expected: self.expected.clone(),
            hint: hint.into(),
        }
    }

    /// The next row that is not empty.
    fn read(&mut self) -> Result<Option<T>, DataError> {
        loop {
            self.buffer.clear();
            let read = (&mut self.reader)
                .take(MAX_LINE_BYTES + 1)
                .read_until(b'\n', &mut self.buffer)
                .map_err(DataError::read(&self.path))?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if read as u64 > MAX_LINE_BYTES {
                return Err(self.error(
                    format!("the line is longer than {} MiB", MAX_LINE_BYTES >> 20),
                    "write one JSON object a line; a JSON array over several lines is another format",
                ));
            }
            let start = if self.line == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                3
            } else {
                0
            };
            let text = self.buffer[start..].trim_ascii();
            if text.is_empty() {
                continue;
            }
            return self.parse(text).map(Some);
        }
    }

    fn parse(&self, text: &[u8]) -> Result<T, DataError> {
        let text = std::str::from_utf8(text).map_err(|error| {
            self.error(
                format!("byte {} is not UTF-8", error.valid_up_to() + 1),
                "save the file as UTF-8",
            )
        })?;
        let mut json = serde_json::Deserializer::from_str(text);
        let row = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let at = if path == "." || path == "?" {
                String::new()
            } else {
                format!("`{path}`: ")
            };
            self.error(
                format!("{at}{}", described(error.inner())),
                match error.inner().classify() {
                    serde_json::error::Category::Data => {
                        "the line is JSON, but its keys or values are not the right ones"
                    }
                    serde_json::error::Category::Eof => {
                        "the line ends in the middle of a value: it may be cut off"
                    }
                    serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                        "write one JSON value a line, without a comma at its end"
                    }
                },
            )
        })?;
        json.end().map_err(|error| {
            self.error(
                described(&error),
                "write one JSON value a line, without a comma at its end",
            )
        })?;
        Ok(row)
    }
}

/// serde_json's message with its "line 1" (the line within the row) left out.
fn described(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rfind(" at line ") {
        Some(end) => format!("{} (column {})", &message[..end], error.column()),
        None => message,
    }
}

impl<T: DeserializeOwned> Iterator for JsonLines<T> {
    type Item = Result<(usize, T), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let row = self.read().transpose();
        self.done = !matches!(row, Some(Ok(_)));
        row.map(|row| row.map(|row| (self.line, row)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Row {
        prompt: String,
        #[serde(default)]
        scores: Vec<f64>,
    }

    fn rows(bytes: &[u8]) -> Vec<Result<(usize, Row), DataError>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        JsonLines::open(file.path(), "an object with the key `prompt`")
            .unwrap()
            .collect()
    }

    fn only_error(bytes: &[u8]) -> DataError {
        rows(bytes).pop().unwrap().unwrap_err()
    }

    #[test]
    fn plain_and_gzip_give_the_same_rows() {
        let text = b"\xef\xbb\xbf{\"prompt\": \"a\"}\n\n  {\"prompt\": \"b\", \"scores\": [1]}\r\n{\"prompt\": \"c\"}";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        let plain: Vec<_> = rows(text).into_iter().map(Result::unwrap).collect();
        let unzipped: Vec<_> = rows(&gzip.finish().unwrap())
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(plain, unzipped);
        assert_eq!(
            plain.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [1, 3, 4]
        );
    }

    #[test]
    fn a_bad_row_is_named_by_file_line_and_key() {
        let error =
            only_error(b"{\"prompt\": \"a\"}\n{\"prompt\": \"b\", \"scores\": [1, \"x\"]}\n");
        let message = error.to_string();
        assert!(
            message
                .contains(":2: `scores[1]`: invalid type: string \"x\", expected f64 (column 33)"),
            "{message}"
        );
        assert!(
            message.ends_with("; expected an object with the key `prompt`"),
            "{message}"
        );
        assert!(error.hint().contains("the line is JSON"));
    }

    #[test]
    fn a_cut_off_row_and_a_trailing_comma_are_told_apart() {
        assert!(only_error(b"{\"prompt\": \"a").hint().contains("cut off"));
        assert!(only_error(b"{\"prompt\": \"a\"},").hint().contains("comma"));
        assert!(
            only_error(b"{\"prompt\": \"\xff\"}")
                .to_string()
                .contains("byte 13 is not UTF-8")
        );
    }

    #[test]
    fn nothing_follows_an_error() {
        assert_eq!(rows(b"{}\n{\"prompt\": \"b\"}\n").len(), 1);
    }

    #[test]
    fn a_cut_off_gzip_file_is_an_error_with_a_hint() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for i in 0..1000 {
            writeln!(gzip, "{{\"prompt\": \"{}\"}}", i * 7919).unwrap();
        }
        let mut bytes = gzip.finish().unwrap();
        bytes.truncate(bytes.len() / 2);
        assert!(only_error(&bytes).hint().contains("gzip -t"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = JsonLines::<Row>::open("no/such.jsonl".as_ref(), "a row").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no/such.jsonl: cannot be read")
        );
        assert!(error.hint().contains("relative to the current directory"));
    }
}
