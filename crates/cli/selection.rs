//! `NAME=VALUE` options that say which rows of a file are read, and under which names.

use std::collections::BTreeMap;

use preflab_config::{ColumnValue, RowFilter, Wanted};

use crate::failure::Failure;

/// The values wanted in each column, from options such as `--where split=train`.
pub fn rows(option: &str, assignments: &[String]) -> Result<RowFilter, Failure> {
    let mut filter = RowFilter::default();
    for assignment in assignments {
        let (column, value) = assigned(option, assignment, "split=train")?;
        let wanted = filter.0.entry(column).or_insert_with(|| Wanted(Vec::new()));
        wanted.0.push(ColumnValue::Text(value));
    }
    Ok(filter)
}

/// Our names of columns with the file's, from options such as `--columns prompt=question`.
pub fn columns(assignments: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let read = |text: &String| assigned("--columns", text, "prompt=question");
    assignments.iter().map(read).collect()
}

fn assigned(option: &str, text: &str, example: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err(Failure::request(format!(
            "`{option}`: expected `NAME=VALUE`, found `{text}`\n\nhint: write for example `{option} {example}`"
        ))),
    }
}
