//! How a trainer learns that it should stop, and tells how far it is.

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
}

/// Never stops, hears nothing.
impl Watch for () {}
