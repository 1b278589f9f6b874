//! Tests of the crate's output: one binary.

/// Figures as SVG and PNG.
mod figures;
