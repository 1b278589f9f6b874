//! Records to tables, figures, HTML, Markdown and CSV.
//!
//! A [`Report`] is made from an experiment's records alone, at any time: while cells are still missing, or when some failed, it says so. The
//! page is one HTML file without scripts or anything from a network; the Markdown file has the same tables; `summary.csv` has one row for each arm, seed
//! and measure; `hparams/` has TensorBoard's comparison of all cells. All statistics come from `preflab-stats`, all definitions from `preflab-metrics`.
//!
//! # Example
//! ```no_run
//! use std::path::Path;
//! use preflab_experiment::records::Records;
//! use preflab_report::{Report, ReportOptions};
//! let directory = Path::new("runs/quickstart");
//! let records = Records::read(directory)?;
//! let written = Report::new(&records, &ReportOptions::default())?.write(directory)?;
//! println!("{}", written.html.display());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`figure`] and [`document`] stand on their own: other crates draw and write with them. [`claims`] checks the paper's
//! claims against the records of several runs.
//!
//! # Adding a section
//! One file in `sections/` with a function from the report's context to a [`document::Section`], one line in `sections/mod.rs`.

pub mod claims;
mod comparison;
mod curves;
pub mod document;
mod escape;
pub mod figure;
mod format;
mod measures;
mod report;
mod sections;
mod statistics;
mod summary;
mod tensorboard;

pub use report::{Report, ReportError, ReportOptions, Written};
