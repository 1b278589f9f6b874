//! Tests of the crate's output: one binary.

/// Figures as SVG and PNG.
/// The paper's claims from records.
mod claims;
mod figures;
/// Experiments made up for the tests.
mod fixture;
mod likelihoods;
/// Pages, tables and the summary.
mod reports;
