//! Why training ended early.

use preflab_metrics::SinkError;

/// Why training ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The log could not be written.
    #[error(transparent)]
    Log(#[from] SinkError),
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
