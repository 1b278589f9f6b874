//! Which rows of a file are read, and under which names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use preflab_config::{ColumnValue, RowFilter, Wanted};
use serde_json::{Map, Value};

use super::{Record, Records};
use crate::DataError;

/// How the rows of a file are read.
///
/// # Example
/// ```no_run
/// use preflab_data::{PairRecord, Selection};
/// let selection = Selection {
///     columns: [("prompt".to_owned(), "question".to_owned())].into(),
///     ..Selection::default()
/// };
/// for row in selection.open::<PairRecord>("pairs.jsonl".as_ref())? {
///     println!("{:?}", row?.record.prompt);
/// }
/// # Ok::<(), preflab_data::DataError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Our names of columns with the file's: `prompt` with `question`.
    pub columns: BTreeMap<String, String>,
    /// The rows that are used; the others are passed over.
    pub rows: RowFilter,
}

impl Selection {
    /// The rows of `path`.
    ///
    /// # Errors
    /// As [`Records::open`].
    pub fn open<T: Record>(&self, path: &Path) -> Result<Records<T>, DataError> {
        let mut records = Records::open(path)?.only(&self.rows);
        for (ours, theirs) in &self.columns {
            records = records.renamed(ours, theirs);
        }
        Ok(records)
    }
}

/// Values of a column that are shown where none of them is wanted.
const SHOWN: usize = 8;

/// A filter at work, and what it saw.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    wanted: RowFilter,
    /// Rows that were passed over.
    pub(super) passed_over: usize,
    used: usize,
    /// Columns of the first row.
    columns: Vec<String>,
    /// Of each column that is asked for, some of the values that it has.
    values: BTreeMap<String, BTreeSet<String>>,
}

impl Sieve {
    pub(super) fn new(wanted: &RowFilter) -> Self {
        Self {
            wanted: wanted.clone(),
            ..Self::default()
        }
    }

    /// Whether a row, with the file's own names, is used.
    pub(super) fn takes(&mut self, row: &Map<String, Value>) -> bool {
        if self.wanted.is_empty() {
            return true;
        }
        if self.columns.is_empty() {
            self.columns = row.keys().cloned().collect();
        }
        let mut takes = true;
        for (column, wanted) in &self.wanted.0 {
            let value = row.get(column).filter(|value| !value.is_null());
            takes &= value.is_some_and(|value| is_wanted(wanted, value));
            if let Some(value) = value {
                let seen = self.values.entry(column.clone()).or_default();
                if seen.len() < SHOWN {
                    seen.insert(said(value));
                }
            }
        }
        match takes {
            true => self.used += 1,
            false => self.passed_over += 1,
        }
        takes
    }

    /// What is wrong with a file that was read to its end: a column that no row has, or values that no row has.
    pub(super) fn conclude(&self, path: &Path) -> Result<(), DataError> {
        if self.used > 0 || self.passed_over == 0 {
            return Ok(());
        }
        let refused = |problem: String, hint: String| {
            Err(DataError::File {
                path: path.to_owned(),
                problem,
                hint,
            })
        };
        let list = |names: &mut dyn Iterator<Item = &String>| {
            names
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut columns = self.wanted.0.keys();
        if let Some(unknown) = columns.find(|column| !self.values.contains_key(*column)) {
            return refused(
                format!("no row has the column `{unknown}`, by which rows are chosen"),
                format!("the first row has {}", list(&mut self.columns.iter())),
            );
        }
        let asked = self.wanted.0.iter().map(|(column, Wanted(values))| {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{column}` = {}", values.join(" or "))
        });
        let found = self.values.iter().map(|(column, values)| {
            let more = if values.len() == SHOWN { ", ..." } else { "" };
            format!("`{column}` is {}{more}", list(&mut values.iter()))
        });
        refused(
            format!(
                "none of its {} rows has {}",
                self.passed_over,
                asked.collect::<Vec<_>>().join(" and ")
            ),
            format!("in this file {}", found.collect::<Vec<_>>().join("; ")),
        )
    }
}

fn is_wanted(wanted: &Wanted, value: &Value) -> bool {
    wanted.0.iter().any(|wanted| is_equal(wanted, value))
}

/// Whether a cell says what is wanted, be it as text, as a number or as a truth value.
fn is_equal(wanted: &ColumnValue, value: &Value) -> bool {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    match (wanted, value) {
        (ColumnValue::Text(wanted), Value::String(text)) => wanted == text,
        (ColumnValue::Text(wanted), Value::Bool(flag)) => *wanted == flag.to_string(),
        (ColumnValue::Text(wanted), Value::Number(found)) => number(wanted) == found.as_f64(),
        (ColumnValue::Number(wanted), Value::Number(found)) => found.as_f64() == Some(*wanted),
        (ColumnValue::Number(wanted), Value::String(text)) => number(text) == Some(*wanted),
        (ColumnValue::Number(wanted), Value::Bool(flag)) => *wanted == f64::from(u8::from(*flag)),
        (ColumnValue::Flag(wanted), Value::Bool(flag)) => wanted == flag,
        (ColumnValue::Flag(wanted), Value::String(text)) => {
            text.eq_ignore_ascii_case(&wanted.to_string())
                || number(text) == Some(f64::from(u8::from(*wanted)))
        }
        (ColumnValue::Flag(wanted), Value::Number(found)) => {
            found.as_f64() == Some(f64::from(u8::from(*wanted)))
        }
        (_, Value::Null | Value::Array(_) | Value::Object(_)) => false,
    }
}

/// A value in a few characters.
fn said(value: &Value) -> String {
    const LONGEST: usize = 24;
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_may_be_spelt_in_several_ways() {
        let text = |text: &str| ColumnValue::Text(text.to_owned());
        for (wanted, value, expected) in [
            (text("train"), json!("train"), true),
            (text("train"), json!("Train"), false),
            (text("true"), json!(true), true),
            (text("3"), json!(3.0), true),
            (text("x"), json!(3), false),
            (ColumnValue::Number(3.0), json!("3"), true),
            (ColumnValue::Number(1.0), json!(true), true),
            (ColumnValue::Flag(true), json!("True"), true),
            (ColumnValue::Flag(true), json!(1), true),
            (ColumnValue::Flag(false), json!("0"), true),
            (ColumnValue::Flag(false), json!(1), false),
            (text("a"), json!(["a"]), false),
        ] {
            assert_eq!(is_equal(&wanted, &value), expected, "{wanted:?} {value}");
        }
    }
}
