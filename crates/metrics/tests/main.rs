//! Tests of the crate's files: one binary.

/// The generated page of the catalogue.
mod docs;
/// What the files hold, read back by our own readers.
mod files;
/// The same, read by TensorBoard's own reader where Python has it.
mod tensorboard;
