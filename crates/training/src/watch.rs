//! How a trainer learns that it should stop, tells how far it is, and is kept and taken up again.

use std::ops::ControlFlow;
use std::path::PathBuf;

use preflab_metrics::Sink;

use crate::{Snapshot, TrainError};

/// Watches a trainer.
pub trait Watch {
    /// Whether the trainer should stop before the next update.
    fn stop(&self) -> bool {
        false
    }

    /// The trainer has done `done` of `total` updates; `note` holds a few figures.
    fn progress(&self, done: u64, total: u64, note: &str) {
        let _ = (done, total, note);
    }

    /// The state to go on from, as [`Snapshot::save_state`] left it; none to begin at the start.
    fn resume_from(&self) -> Option<PathBuf> {
        None
    }

    /// Called after each update (PPO: after each rollout and its updates), once all of it is logged. `done` is the step of
    /// its log lines. `Break` ends the training early, as if it were done.
    ///
    /// # Errors
    /// Whatever ends the training badly.
    fn between(
        &self,
        done: u64,
        trainer: &dyn Snapshot,
        log: &mut dyn Sink,
    ) -> Result<ControlFlow<()>, TrainError> {
        let _ = (done, trainer, log);
        Ok(ControlFlow::Continue(()))
    }
}

/// Never stops, hears nothing.
impl Watch for () {}
