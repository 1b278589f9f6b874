//! `preflab report`: the report again, from the records alone.

use std::path::Path;
use std::process::ExitCode;

use preflab_experiment::records::Records;
use preflab_report::{Report, ReportError, ReportOptions, Written};
use serde::Serialize;

use crate::args::ReportArguments;
use crate::failure::Failure;
use crate::output;

/// Where the report was written.
#[derive(Debug, Serialize)]
pub struct Files<'a> {
    html: &'a Path,
    markdown: &'a Path,
    csv: &'a Path,
}

impl<'a> From<&'a Written> for Files<'a> {
    fn from(written: &'a Written) -> Self {
        Self {
            html: &written.html,
            markdown: &written.markdown,
            csv: &written.csv,
        }
    }
}

/// Reads the records of an experiment and writes its report beside them.
pub fn report(arguments: &ReportArguments) -> Result<ExitCode, Failure> {
    let written = write(&arguments.directory, arguments.baseline.clone())?;
    if arguments.json {
        output::json(&Files::from(&written))?;
    } else {
        output::line(written.html.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the report of an experiment's directory.
pub fn write(directory: &Path, baselines: Vec<String>) -> Result<Written, Failure> {
    let records = Records::read(directory).map_err(Failure::request)?;
    let options = ReportOptions {
        baselines,
        ..ReportOptions::default()
    };
    Report::new(&records, &options)
        .and_then(|report| report.write(directory))
        .map_err(|error| match error {
            ReportError::UnknownBaseline { .. } => Failure::request(error),
            _ => Failure::work(error),
        })
}
