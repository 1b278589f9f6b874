//! What can go wrong.

use std::path::PathBuf;

use preflab_metrics::SinkError;

/// Why a toy experiment could not be computed or written.
#[derive(Debug, thiserror::Error)]
pub enum ToyError {
    /// A `--set` is not `key=value`.
    #[error(
        "`{text}` is not of the form key=value\n\nhint: such as `--set learning_rate=0.003` or `--set arms.dpo.preference.dpo.beta=0.05`"
    )]
    Override {
        /// What was written.
        text: String,
    },
    /// The settings do not parse.
    #[error("{message}\n\nhint: `preflab toy --settings` shows all settings")]
    Settings {
        /// What the parser said.
        message: String,
    },
    /// Settings that are each right and do not go together.
    #[error("`{key}`: {message}\n\nhint: {hint}")]
    Conflict {
        /// The one to change.
        key: String,
        /// What is wrong.
        message: String,
        /// The way out.
        hint: &'static str,
    },
    /// A file could not be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A log could not be written.
    #[error(transparent)]
    Log(#[from] SinkError),
}
