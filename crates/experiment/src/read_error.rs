//! What stops the reading of settings, in words of the file.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::models::SHAPE;
use crate::nearest::nearest;
use crate::node::{Origin, dotted};
use crate::sources::Sources;
use crate::{Place, Problem};

/// What went wrong, where.
#[derive(Debug)]
pub struct ReadError {
    pub kind: Kind,
    pub message: String,
    pub hint: Option<String>,
    /// Keys from the root to the culprit.
    pub path: Vec<String>,
    pub origin: Option<Origin>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    UnknownKey,
    UnknownVariant,
    Missing,
    NoChoice,
    Value,
}

impl ReadError {
    pub fn new(kind: Kind, message: String) -> Self {
        Self {
            kind,
            message,
            hint: None,
            path: Vec::new(),
            origin: None,
        }
    }

    pub fn within(mut self, key: &str, origin: &Origin) -> Self {
        self.path.insert(0, key.to_owned());
        self.placed(origin)
    }

    pub fn placed(mut self, origin: &Origin) -> Self {
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }

    pub fn problem(&self, sources: &Sources) -> Problem {
        let message = match (self.kind, self.path.is_empty()) {
            (Kind::Value, false) => format!("`{}`: {}", dotted(&self.path), self.message),
            (_, _) => self.message.clone(),
        };
        let problem = Problem {
            message,
            place: self.origin.as_ref().map(|origin| sources.place(origin)),
            hint: self.hint.clone(),
        };
        match (self.kind, self.path.is_empty()) {
            (Kind::Missing, false) => Problem {
                message: format!("{} in `{}`", problem.message, dotted(&self.path)),
                hint: match self.path.last().map(String::as_str) {
                    Some("model") => Some(format!(
                        "a shape is given whole, such as `model = {SHAPE}`; a model that is named elsewhere cannot be changed in part"
                    )),
                    Some(_) | None => problem.hint,
                },
                ..problem
            },
            (_, _) => problem,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

/// A key that a table does not have.
pub fn unknown_key(key: &str, expected: &[&str], place: Place) -> Problem {
    Problem {
        message: format!("unknown key `{key}`"),
        place: Some(place),
        hint: suggestion(key, expected, "the keys here are"),
    }
}

/// "did you mean" or the whole list.
fn suggestion(found: &str, expected: &[&str], several: &str) -> Option<String> {
    let list = || {
        expected
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match nearest(found, expected.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if expected.is_empty() => None,
        None => Some(format!("{several}: {}", list())),
    }
}

/// serde's name of a type, in words of the file.
fn in_words(expected: &str) -> String {
    match expected {
        "f64" | "f32" => "a number".to_owned(),
        "i64" | "i32" | "u64" | "u32" | "usize" | "u8" | "u16" => "a whole number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "path string" => "a path".to_owned(),
        other if other.starts_with("struct ") || other.starts_with("a map") => "a table".to_owned(),
        other if other.starts_with("enum ") => "a choice".to_owned(),
        other => other.to_owned(),
    }
}

fn found_in_words(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(truth) => format!("`{truth}`"),
        Unexpected::Unsigned(number) => format!("{number}"),
        Unexpected::Signed(number) => format!("{number}"),
        Unexpected::Float(number) => format!("{number}"),
        Unexpected::Str(text) => format!("the text \"{text}\""),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Value, message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = in_words(&expected.to_string());
        Self::new(
            Kind::Value,
            format!("expected {expected}, found {}", found_in_words(&found)),
        )
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self {
            hint: suggestion(field, expected, "the keys here are"),
            ..Self::new(Kind::UnknownKey, format!("unknown key `{field}`"))
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self {
            hint: suggestion(variant, expected, "the choices here are"),
            ..Self::new(Kind::UnknownVariant, format!("unknown choice `{variant}`"))
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::Missing, format!("`{field}` is missing"))
    }
}
