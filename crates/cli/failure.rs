//! How a command ends badly.

use std::fmt;
use std::process::ExitCode;

use preflab_finetune::FinetuneError;

/// A command that did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// The request was wrong; nothing was done.
    Request(String),
    /// The request was right, and something failed on the way.
    Work(String),
}

impl Failure {
    /// The request was wrong.
    pub fn request(cause: impl fmt::Display) -> Self {
        Self::Request(cause.to_string())
    }

    /// Something failed on the way.
    pub fn work(cause: impl fmt::Display) -> Self {
        Self::Work(cause.to_string())
    }

    /// 2 for a wrong request, 1 for failed work.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Request(_) => ExitCode::from(2),
            Self::Work(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(text) | Self::Work(text) => f.write_str(text),
        }
    }
}

impl From<FinetuneError> for Failure {
    fn from(error: FinetuneError) -> Self {
        match error.is_request() {
            true => Self::request(error),
            false => Self::work(error),
        }
    }
}
