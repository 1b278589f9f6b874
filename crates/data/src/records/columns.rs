//! The columns of a row.

use serde_json::{Map, Value};

use crate::{Message, Text};

/// A row that is not of the kind it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordProblem {
    /// What is wrong, with the column.
    pub problem: String,
    /// The way out.
    pub hint: String,
}

/// A kind of row.
pub trait Record: Sized {
    /// What a right row has, for messages.
    const EXPECTED: &'static str;

    /// Reads a row.
    ///
    /// # Errors
    /// If a column is missing or of the wrong type.
    fn read(columns: &Columns) -> Result<Self, RecordProblem>;
}

/// The columns of one row by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    values: Map<String, Value>,
    /// Whether a cell can only be text, as in CSV, so that lists stand in it as JSON.
    only_text: bool,
}

impl Columns {
    /// The columns of a JSON object.
    pub fn new(values: Map<String, Value>) -> Self {
        Self {
            values,
            only_text: false,
        }
    }

    /// The columns of a row whose cells are text: a cell that holds a JSON list or object is read as one.
    pub fn of_text(cells: Map<String, Value>) -> Self {
        Self {
            values: cells,
            only_text: true,
        }
    }

    /// The names of the columns, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Whether there is a value, and not `null`, in the column.
    pub fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    /// The value of a column.
    ///
    /// # Errors
    /// If there is none.
    pub fn value(&self, name: &str) -> Result<Value, RecordProblem> {
        let value = self.values.get(name).filter(|value| !value.is_null());
        let value = value.ok_or_else(|| {
            let names: Vec<String> = self.values.keys().map(|name| format!("`{name}`")).collect();
            RecordProblem {
                problem: format!("no column `{name}`"),
                hint: format!("the row has {}; rename its columns, or check that the file is of the kind asked for", names.join(", ")),
            }
        })?;
        match value {
            Value::String(cell) if self.only_text && cell.trim_start().starts_with(['[', '{']) => {
                Ok(serde_json::from_str(cell).unwrap_or_else(|_| value.clone()))
            }
            other => Ok(other.clone()),
        }
    }

    /// A text: a string or a list of messages.
    ///
    /// # Errors
    /// If there is none or it is something else.
    pub fn text(&self, name: &str) -> Result<Text, RecordProblem> {
        text(name, self.value(name)?)
    }

    /// A number, or text that is one.
    ///
    /// # Errors
    /// If there is none.
    pub fn number(&self, name: &str) -> Result<f64, RecordProblem> {
        number(name, &self.value(name)?)
    }

    /// A truth value: `true`, `1`, `"true"` and their opposites.
    ///
    /// # Errors
    /// If there is none.
    pub fn flag(&self, name: &str) -> Result<bool, RecordProblem> {
        let value = self.value(name)?;
        let read = match &value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => [(0.0, false), (1.0, true)]
                .into_iter()
                .find_map(|(wanted, flag)| (number.as_f64() == Some(wanted)).then_some(flag)),
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        read.ok_or_else(|| wrong(name, &value, "true or false"))
    }
}

pub(super) fn text(name: &str, value: Value) -> Result<Text, RecordProblem> {
    match value {
        Value::String(text) => Ok(Text::Prose(text)),
        Value::Array(_) => {
            let messages: Vec<Message> =
                serde_json::from_value(value).map_err(|error| RecordProblem {
                    problem: format!("`{name}` is a list, but not of messages: {error}"),
                    hint: "a message is an object with `role` and `content`, both text".into(),
                })?;
            if messages.is_empty() {
                return Err(RecordProblem {
                    problem: format!("`{name}` is an empty list of messages"),
                    hint: "leave the row out, or give it at least one message".into(),
                });
            }
            Ok(Text::Messages(messages))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            Err(wrong(name, &value, "text or a list of messages"))
        }
    }
}

pub(super) fn number(name: &str, value: &Value) -> Result<f64, RecordProblem> {
    let number = value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok());
    number
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| wrong(name, value, "a number"))
}

fn wrong(name: &str, value: &Value, expected: &str) -> RecordProblem {
    let mut found = value.to_string();
    if found.chars().count() > 40 {
        found = found.chars().take(40).collect::<String>() + "…";
    }
    RecordProblem {
        problem: format!("`{name}` is {found}, not {expected}"),
        hint: "check that the column means what its name says".into(),
    }
}
