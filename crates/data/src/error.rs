//! What can be wrong with a user's data or tokenizer.

use std::io;
use std::path::{Path, PathBuf};

/// A data file or tokenizer that cannot be used. The message names file and line; [`DataError::hint`] the way out.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file that is missing, unreadable or not what its name promises.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system or the decompressor said.
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A row that is not what it should be.
    #[error("{}:{line}: {problem}; expected {expected}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Line in the (decompressed) file, from 1; for formats without lines, the row.
        line: usize,
        /// What was found, with key or column where known.
        problem: String,
        /// What should be there.
        expected: String,
        /// The way out.
        hint: String,
    },
    /// A file whose content as a whole cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// The way out.
        hint: String,
    },
    /// Tokenization failed, or a tokenizer cannot be trained from the texts given.
    #[error("the tokenizer {problem}")]
    Tokenizer {
        /// What is wrong.
        problem: String,
        /// The way out.
        hint: String,
    },
}

impl DataError {
    /// The way out, one sentence.
    pub fn hint(&self) -> String {
        match self {
            Self::Read { path, source } => match source.kind() {
                io::ErrorKind::NotFound => format!(
                    "check the path: it is taken relative to the current directory, `{}`",
                    std::env::current_dir().unwrap_or_default().display()
                ),
                io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidData
                | io::ErrorKind::UnexpectedEof => format!(
                    "the file may be cut off or not be what `{}` promises; check it with `gzip -t` or copy it again",
                    file_name(path)
                ),
                // `io::ErrorKind` belongs to the standard library and is non-exhaustive.
                _ => "check that the file exists and that you may read it".to_owned(),
            },
            Self::Write { .. } => {
                "check that the directory exists, is writable and has room".to_owned()
            }
            Self::Row { hint, .. } | Self::File { hint, .. } | Self::Tokenizer { hint, .. } => {
                hint.clone()
            }
        }
    }

    /// A tokenizer's complaint at the row it is about; any other error as it is.
    #[must_use]
    pub fn at(self, path: &Path, line: usize) -> Self {
        match self {
            Self::Tokenizer { problem, hint } => Self::Row {
                path: path.to_owned(),
                line,
                problem: format!("the tokenizer {problem}"),
                expected: "a row that can be turned into tokens".to_owned(),
                hint,
            },
            error => error,
        }
    }

    /// [`DataError::Read`] of `path`.
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Read {
            path: path.to_owned(),
            source,
        }
    }

    /// [`DataError::Write`] of `path`.
    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Write {
            path: path.to_owned(),
            source,
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
