//! Reading cases, and comparing every key of what they expect.

use std::path::{Path, PathBuf};

use preflab_stats::Interval;
use serde_json::Value;

/// Relative tolerance of all comparisons that do not state another with its reason.
pub const TOLERANCE: f64 = 1e-9;

/// Where the recorded figures lie.
pub fn directory() -> PathBuf {
    std::env::var_os("PREFLAB_GOLDEN")
        .map_or_else(own_directory, |root| PathBuf::from(root).join("stats"))
}

/// The figures that are part of the repository.
fn own_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/stats")
}

/// One file of cases.
pub struct Golden {
    pub root: Value,
    name: &'static str,
}

impl Golden {
    pub fn open(name: &'static str) -> Self {
        Self::read(&directory(), name)
    }

    fn read(directory: &Path, name: &'static str) -> Self {
        let path = directory.join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let root = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { root, name }
    }

    /// Runs every case, then fails with all that differ.
    pub fn check(&self, check: fn(&Golden, &mut Case)) {
        let cases = self.cases();
        assert!(!cases.is_empty(), "{} has no cases", self.name);
        let mut failures = Vec::new();
        for value in cases {
            let mut case = Case::new(value);
            check(self, &mut case);
            failures.extend(case.finish());
        }
        assert!(
            failures.is_empty(),
            "{} of {}.json differ:\n{}",
            failures.len(),
            self.name,
            failures.join("\n")
        );
    }

    pub fn cases(&self) -> &[Value] {
        self.root["cases"].as_array().unwrap()
    }

    /// Another case that a case refers to: from this file, or from the repository's own when the figures come from elsewhere.
    pub fn case_named(&self, id: &str) -> Option<Value> {
        let here = self.cases().iter().find(|case| case["id"] == id).cloned();
        here.or_else(|| {
            let own = Self::read(&own_directory(), self.name).root;
            let cases = own["cases"].as_array().unwrap();
            cases.iter().find(|case| case["id"] == id).cloned()
        })
    }
}

/// One recorded case, and what is wrong with ours so far.
pub struct Case<'a> {
    pub value: &'a Value,
    expected: Vec<(String, &'a Value)>,
    failures: Vec<String>,
}

impl<'a> Case<'a> {
    fn new(value: &'a Value) -> Self {
        let mut expected = Vec::new();
        flatten("", &value["expected"], &mut expected);
        Self {
            value,
            expected,
            failures: Vec::new(),
        }
    }

    pub fn kind(&self) -> &'a str {
        self.value["kind"].as_str().unwrap()
    }

    pub fn id(&self) -> &'a str {
        self.value["id"].as_str().unwrap()
    }

    pub fn input(&self, key: &str) -> &'a Value {
        let value = &self.value["input"][key];
        assert!(!value.is_null(), "{}: no input {key}", self.id());
        value
    }

    pub fn has_input(&self, key: &str) -> bool {
        !self.value["input"][key].is_null()
    }

    /// Compares the recorded value of `key` (a path such as `peak.d` or `ci95[0]`), where there is one.
    pub fn close(&mut self, key: &str, found: f64) {
        self.close_within(key, found, TOLERANCE);
    }

    /// As [`Case::close`], with another tolerance that the caller gives a reason for.
    pub fn close_within(&mut self, key: &str, found: f64, tolerance: f64) {
        if let Some(value) = self.take(key) {
            let expected = number(value);
            if !near(expected, found, tolerance) {
                self.fail(key, expected, found);
            }
        }
    }

    pub fn interval(&mut self, key: &str, found: Interval) {
        self.close(&format!("{key}[0]"), found.low);
        self.close(&format!("{key}[1]"), found.high);
    }

    pub fn list(&mut self, key: &str, found: &[f64]) {
        for (i, &found) in found.iter().enumerate() {
            self.close(&format!("{key}[{i}]"), found);
        }
    }

    pub fn matrix(&mut self, key: &str, found: &[Vec<f64>]) {
        for (i, found) in found.iter().enumerate() {
            self.list(&format!("{key}[{i}]"), found);
        }
    }

    pub fn count(&mut self, key: &str, found: usize) {
        if let Some(value) = self.take(key)
            && number(value) != found as f64
        {
            self.fail(key, value, found);
        }
    }

    pub fn flag(&mut self, key: &str, found: bool) {
        if let Some(value) = self.take(key)
            && value.as_bool() != Some(found)
        {
            self.fail(key, value, found);
        }
    }

    pub fn null(&mut self, key: &str) {
        if let Some(value) = self.take(key)
            && !value.is_null()
        {
            self.fail(key, value, "null");
        }
    }

    /// A number that is not one where ours has none.
    pub fn optional(&mut self, key: &str, found: Option<f64>) {
        match found {
            Some(found) => self.close(key, found),
            None => self.null(key),
        }
    }

    /// The recorded value without comparing it; the caller says why.
    pub fn take(&mut self, key: &str) -> Option<&'a Value> {
        let place = self.expected.iter().position(|(path, _)| path == key)?;
        Some(self.expected.remove(place).1)
    }

    pub fn fail(
        &mut self,
        key: &str,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) {
        let id = self.id();
        self.failures
            .push(format!("{id} {key}: expected {expected}, found {found}"));
    }

    /// Keys that nobody compared are failures too.
    fn finish(mut self) -> Vec<String> {
        let id = self.id();
        for (path, value) in &self.expected {
            self.failures
                .push(format!("{id} {path}: not compared, expected {value}"));
        }
        self.failures
    }
}

/// Leaves of an object, each with its path. An empty list is a leaf.
fn flatten<'a>(path: &str, value: &'a Value, leaves: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(&path, value, leaves);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, value) in items.iter().enumerate() {
                flatten(&format!("{path}[{i}]"), value, leaves);
            }
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            leaves.push((path.to_owned(), value))
        }
    }
}

/// Relative, and absolute below 1e-6 of the tolerance: numbers that are zero on paper are rounding noise in either program.
pub fn near(expected: f64, found: f64, tolerance: f64) -> bool {
    if expected.is_nan() || found.is_nan() {
        return expected.is_nan() && found.is_nan();
    }
    if expected.is_infinite() || found.is_infinite() {
        return expected == found;
    }
    (expected - found).abs() <= tolerance * expected.abs().max(found.abs()) + 1e-6 * tolerance
}

pub fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("nan") => f64::NAN,
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        Some(text) => panic!("{text} is not a number"),
        None => value
            .as_f64()
            .unwrap_or_else(|| panic!("{value} is not a number")),
    }
}

pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

pub fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(numbers).collect()
}

pub fn index(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

pub fn indices(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(index).collect()
}
