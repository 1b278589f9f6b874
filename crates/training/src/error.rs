//! Why training ended early.

use preflab_metrics::SinkError;

use crate::StateError;

/// Why training ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The log could not be written.
    #[error(transparent)]
    Log(#[from] SinkError),
    /// The trainer's state could not be written or read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A row could not be read from the file it is kept in.
    #[error("a row of the training data could not be read again: {0}")]
    Row(#[from] std::io::Error),
    /// What watches the training failed.
    #[error(transparent)]
    Watch(Box<dyn std::error::Error + Send + Sync>),
    /// The user interrupted it.
    #[error("stopped before the end")]
    Stopped,
    /// A quantity is no longer a finite number.
    #[error(
        "`{quantity}` became {value} at update {update}\n\nhint: lower `optimizer.learning_rate`, or raise the regularisation"
    )]
    Diverged {
        /// The update, counted from 0.
        update: usize,
        /// Tag of what diverged.
        quantity: &'static str,
        /// Its value.
        value: f64,
    },
}
