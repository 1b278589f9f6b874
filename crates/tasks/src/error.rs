//! Why a task cannot be opened.

use preflab_data::DataError;

/// A task that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A data file is missing or has a bad row.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Settings that contradict each other or the data.
    #[error("task `{task}`: {problem}")]
    Settings {
        /// The task's tag.
        task: &'static str,
        /// What is wrong.
        problem: String,
        /// The way out.
        hint: String,
    },
}

impl TaskError {
    /// The way out, one sentence.
    pub fn hint(&self) -> String {
        match self {
            Self::Data(error) => error.hint(),
            Self::Settings { hint, .. } => hint.clone(),
        }
    }
}
