//! Who hears what a run does while it runs.

/// Hears what a run does.
pub trait Observer {
    /// A line worth reading.
    fn note(&self, text: &str);

    /// Something that may be wrong.
    fn warn(&self, text: &str);

    /// `done` of `total` units are done; `note` holds a few figures.
    fn progress(&self, done: u64, total: u64, note: &str);
}

/// Hears nothing.
impl Observer for () {
    fn note(&self, _: &str) {}
    fn warn(&self, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: &str) {}
}
