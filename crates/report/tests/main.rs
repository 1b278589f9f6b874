//! Tests of the crate's output: one binary.

/// Figures as SVG and PNG.
mod figures;
/// Experiments made up for the tests.
mod fixture;
/// Pages, tables and the summary.
mod reports;
