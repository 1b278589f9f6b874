//! `preflab parity`: our numbers beside those that reference implementations gave.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use preflab_training::DeviceChoice;
use preflab_training::parity::{GoldenFile, ParityRow, golden_directory};
use preflab_transformer::parity::Agreement;
use serde::Serialize;

use crate::args::ParityArguments;
use crate::failure::Failure;
use crate::output;

/// A comparison, for machines and for the table.
#[derive(Debug, Serialize)]
struct Row {
    family: String,
    objective: String,
    source: String,
    cases: usize,
    /// Largest relative error; for models the largest absolute one.
    worst_error: f64,
    /// Where it was.
    worst_at: String,
    tolerance: f64,
    holds: bool,
}

impl From<ParityRow> for Row {
    fn from(row: ParityRow) -> Self {
        Self {
            holds: row.holds(),
            family: row.family,
            objective: row.objective,
            source: row.source,
            cases: row.cases,
            worst_error: row.worst_relative_error,
            worst_at: row.worst_at,
            tolerance: row.tolerance,
        }
    }
}

impl From<Agreement> for Row {
    fn from(agreement: Agreement) -> Self {
        Self {
            holds: agreement.holds(),
            family: "models".to_owned(),
            objective: format!("{}: {}", agreement.model, agreement.figure),
            source: "transformers (absolute)".to_owned(),
            cases: agreement.numbers,
            worst_error: agreement.worst,
            worst_at: String::new(),
            tolerance: agreement.tolerance,
        }
    }
}

/// Runs every golden case of a directory and shows the table; exit code 1 if one is missed.
pub fn parity(arguments: &ParityArguments) -> Result<ExitCode, Failure> {
    let directory = arguments.directory.clone().unwrap_or_else(golden_directory);
    let files = golden_files(&directory)?;
    // The comparisons open it themselves, and have no way to refuse it.
    DeviceChoice::of_environment()
        .and_then(DeviceChoice::open)
        .map_err(Failure::request)?;
    let mut rows: Vec<Row> = Vec::new();
    let has = |name: &str| files.iter().any(|file| file == Path::new(name));
    type Compare = fn(&Path) -> Result<Vec<ParityRow>, preflab_training::parity::ParityError>;
    let families: [Compare; 4] = [
        preflab_training::parity::sft::run,
        preflab_reward::parity::run,
        preflab_ppo::parity::run,
        preflab_dpo::parity::parity,
    ];
    for compare in families {
        rows.extend(
            compare(&directory)
                .map_err(Failure::work)?
                .into_iter()
                .map(Row::from),
        );
    }
    if has("models.json") {
        let models = preflab_transformer::parity::models(&directory).map_err(Failure::work)?;
        rows.extend(models.into_iter().map(Row::from));
    }
    if arguments.json {
        output::json(&rows)?;
    } else {
        output::line(table(&rows))?;
    }
    let missed = rows.iter().filter(|row| !row.holds).count();
    if missed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "error: {missed} of {} comparisons are outside their tolerance",
        rows.len()
    );
    Ok(ExitCode::FAILURE)
}

/// The directory's JSON files, so that a wrong directory is an error and not an empty table.
fn golden_files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = std::fs::read_dir(directory).map_err(|error| {
        Failure::request(format!(
            "cannot read `{}`: {error}\n\nhint: give the directory of golden figures, such as `tests/golden`",
            directory.display()
        ))
    })?;
    let mut files: Vec<PathBuf> = listed
        .filter_map(Result::ok)
        .map(|entry| PathBuf::from(entry.file_name()))
        .filter(|name| {
            name.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    if files.is_empty()
        && GoldenFile::all_in(&directory.join("trajectories")).map_or(true, |all| all.is_empty())
    {
        return Err(Failure::request(format!(
            "`{}` holds no golden figures\n\nhint: give a directory such as `tests/golden`",
            directory.display()
        )));
    }
    Ok(files)
}

fn table(rows: &[Row]) -> String {
    let width = |text: fn(&Row) -> &str| {
        rows.iter()
            .map(|row| text(row).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (family, objective, source) = (
        width(|row| &row.family).max(6),
        width(|row| &row.objective).max(9),
        width(|row| &row.source).max(9),
    );
    let mut lines = vec![format!(
        "{:family$}  {:objective$}  {:source$}  {:>6}  {:>11}  {:>9}",
        "family", "objective", "reference", "cases", "worst error", "tolerance"
    )];
    lines.extend(rows.iter().map(|row| {
        let verdict = if row.holds { "" } else { "  MISSED" };
        let Row { family: of, objective: what, source: reference, cases, worst_error, tolerance, .. } = row;
        format!(
            "{of:family$}  {what:objective$}  {reference:source$}  {cases:>6}  {worst_error:>11.1e}  {tolerance:>9.0e}{verdict}"
        )
    }));
    let cases: usize = rows.iter().map(|row| row.cases).sum();
    lines.push(format!("{} comparisons, {cases} cases", rows.len()));
    lines.join("\n")
}
