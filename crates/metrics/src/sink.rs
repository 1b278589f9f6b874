//! The interface through which trainers log, and what can go wrong.

use std::path::PathBuf;

use crate::{Image, Metric, Text};

/// Where logged quantities go.
///
/// A trainer gets `&mut dyn Sink`. Nothing is sure to be on disk before [`Sink::flush`] has returned: call it before a checkpoint is
/// declared complete.
pub trait Sink: Send {
    /// One value of `metric` at `step`. Any `f64` is accepted, NaN and infinities included.
    fn scalar(&mut self, step: u64, metric: Metric, value: f64) -> Result<(), SinkError>;

    /// The distribution of `values` at `step`, under [`Metric::histogram_tag`]. Values that are not finite are left out.
    fn histogram(&mut self, step: u64, metric: Metric, values: &[f64]) -> Result<(), SinkError>;

    /// A text in Markdown.
    fn text(&mut self, step: u64, tag: Text, text: &str) -> Result<(), SinkError>;

    /// A picture as the bytes of a PNG file.
    fn image(&mut self, step: u64, tag: Image, png: &[u8]) -> Result<(), SinkError>;

    /// Hands everything logged so far to the operating system.
    fn flush(&mut self) -> Result<(), SinkError>;

    /// Several scalars of one step.
    fn scalars(&mut self, step: u64, values: &[(Metric, f64)]) -> Result<(), SinkError> {
        for &(metric, value) in values {
            self.scalar(step, metric, value)?;
        }
        Ok(())
    }
}

/// Why something could not be logged or read back.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried: "create", "write", "read", "replace", "list".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A log is already there.
    #[error("`{}` already holds a log\n\nhint: resume it, or choose an empty directory", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// A line of `scalars.jsonl` is not a scalar.
    #[error("{}:{line}: expected {expected}, found {found}\n\nhint: the file was changed by hand or is damaged; delete the cell's directory to compute it again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The bytes given as a picture are not a PNG file.
    #[error("the picture for `{tag}` is not a PNG file")]
    NotPng {
        /// The picture's tag.
        tag: &'static str,
    },
}

impl SinkError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> SinkError {
        let path = path.into();
        move |source| SinkError::Io {
            action,
            path,
            source,
        }
    }
}

/// A sink that drops everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl Sink for Discard {
    fn scalar(&mut self, _: u64, _: Metric, _: f64) -> Result<(), SinkError> {
        Ok(())
    }

    fn histogram(&mut self, _: u64, _: Metric, _: &[f64]) -> Result<(), SinkError> {
        Ok(())
    }

    fn text(&mut self, _: u64, _: Text, _: &str) -> Result<(), SinkError> {
        Ok(())
    }

    fn image(&mut self, _: u64, _: Image, _: &[u8]) -> Result<(), SinkError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
