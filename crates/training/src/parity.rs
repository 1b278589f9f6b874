//! Comparison with golden figures: reading them, measuring relative errors, and one table row for each objective.
//!
//! Golden figures are numbers that reference implementations gave for stated inputs, one JSON file per reference family.
//! Every case of a file is run; a section, kind or key that is not known is an error, never skipped.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Agreement of one objective with one reference over all its cases.
#[derive(Debug, Clone, PartialEq)]
pub struct ParityRow {
    /// What the objective belongs to, e.g. `PPO`.
    pub family: String,
    /// The objective or estimator.
    pub objective: String,
    /// Which implementation the figures come from.
    pub source: String,
    /// How many cases were compared.
    pub cases: usize,
    /// The largest relative error over all numbers of all cases.
    pub worst_relative_error: f64,
    /// Where that error was: the case and its key.
    pub worst_at: String,
    /// The largest relative error that counts as equal.
    pub tolerance: f64,
}

impl ParityRow {
    /// Whether every number agrees within the tolerance.
    pub fn holds(&self) -> bool {
        self.worst_relative_error <= self.tolerance
    }
}

/// Why golden figures could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum ParityError {
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is not JSON.
    #[error("{} is not JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Something there that is not what is expected there, or nothing.
    #[error("{at}: expected {expected}")]
    Expected {
        /// File and keys.
        at: String,
        /// In words.
        expected: String,
    },
    /// A section, kind or key that no comparison covers.
    #[error("{at}: `{found}` is not covered by any comparison")]
    Unknown {
        /// File and keys.
        at: String,
        /// The name.
        found: String,
    },
    /// A checkpoint or data set that a case names and that cannot be used.
    #[error("{at}: {reason}")]
    Unusable {
        /// File and keys.
        at: String,
        /// Why.
        reason: String,
    },
}

/// The directory of golden figures: `$PREFLAB_GOLDEN`, or `tests/golden` at the root of the repository.
pub fn golden_directory() -> PathBuf {
    std::env::var_os("PREFLAB_GOLDEN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden"),
        PathBuf::from,
    )
}

/// One golden file, in memory.
#[derive(Debug)]
pub struct GoldenFile {
    name: String,
    root: Value,
}

impl GoldenFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read or is not JSON.
    pub fn open(path: &Path) -> Result<Self, ParityError> {
        let text = std::fs::read_to_string(path).map_err(|source| ParityError::Read {
            path: path.to_owned(),
            source,
        })?;
        let root = serde_json::from_str(&text).map_err(|source| ParityError::Json {
            path: path.to_owned(),
            source,
        })?;
        let name = path.file_name().map_or_else(
            || path.display().to_string(),
            |n| n.to_string_lossy().into_owned(),
        );
        Ok(Self { name, root })
    }

    /// Reads `name` of `directory`, or `None` if the directory has no such file.
    ///
    /// # Errors
    /// If it is there but cannot be read or is not JSON.
    pub fn open_if_present(directory: &Path, name: &str) -> Result<Option<Self>, ParityError> {
        let path = directory.join(name);
        if path.exists() {
            Self::open(&path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The whole file.
    pub fn root(&self) -> Node<'_> {
        Node {
            value: &self.root,
            at: self.name.clone(),
        }
    }
}

/// A value in a golden file that knows where it stands, so that every error names file and keys.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    value: &'a Value,
    at: String,
}

impl<'a> Node<'a> {
    /// File and keys of this value.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// The JSON value itself.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    fn expected(&self, what: &str) -> ParityError {
        ParityError::Expected {
            at: self.at.clone(),
            expected: what.to_owned(),
        }
    }

    /// The error for a `found` name here that no comparison covers.
    pub fn unknown(&self, found: &str) -> ParityError {
        ParityError::Unknown {
            at: self.at.clone(),
            found: found.to_owned(),
        }
    }

    /// The error for something named here that cannot be used.
    pub fn unusable(&self, reason: impl fmt::Display) -> ParityError {
        ParityError::Unusable {
            at: self.at.clone(),
            reason: reason.to_string(),
        }
    }

    fn object(&self) -> Result<&'a Map<String, Value>, ParityError> {
        self.value
            .as_object()
            .ok_or_else(|| self.expected("an object"))
    }

    /// The keys of an object, in file order.
    ///
    /// # Errors
    /// If this is no object.
    pub fn keys(&self) -> Result<Vec<&'a str>, ParityError> {
        Ok(self.object()?.keys().map(String::as_str).collect())
    }

    /// Refuses an object with a key that is not among `known`.
    ///
    /// # Errors
    /// If this is no object or has another key.
    pub fn only(&self, known: &[&str]) -> Result<(), ParityError> {
        match self.keys()?.into_iter().find(|key| !known.contains(key)) {
            Some(key) => Err(self.unknown(key)),
            None => Ok(()),
        }
    }

    /// The value under `key`.
    ///
    /// # Errors
    /// If this is no object or has no such key.
    pub fn get(&self, key: &str) -> Result<Node<'a>, ParityError> {
        self.find(key)?
            .ok_or_else(|| self.expected(&format!("a key `{key}`")))
    }

    /// The value under `key`, unless it is absent or null.
    ///
    /// # Errors
    /// If this is no object.
    pub fn find(&self, key: &str) -> Result<Option<Node<'a>>, ParityError> {
        let value = self.object()?.get(key).filter(|value| !value.is_null());
        Ok(value.map(|value| Node {
            value,
            at: format!("{}: {key}", self.at),
        }))
    }

    /// The elements of a list.
    ///
    /// # Errors
    /// If this is no list.
    pub fn items(&self) -> Result<Vec<Node<'a>>, ParityError> {
        let items = self
            .value
            .as_array()
            .ok_or_else(|| self.expected("a list"))?;
        Ok(items
            .iter()
            .enumerate()
            .map(|(i, value)| Node {
                value,
                at: format!("{}[{i}]", self.at),
            })
            .collect())
    }

    /// A number.
    ///
    /// # Errors
    /// If this is none.
    pub fn number(&self) -> Result<f64, ParityError> {
        match self.value {
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "nan" => Ok(f64::NAN),
                "inf" | "infinity" => Ok(f64::INFINITY),
                "-inf" | "-infinity" => Ok(f64::NEG_INFINITY),
                _ => Err(self.expected("a number")),
            },
            value => value.as_f64().ok_or_else(|| self.expected("a number")),
        }
    }

    /// A whole number of at least 0.
    ///
    /// # Errors
    /// If this is none.
    pub fn index(&self) -> Result<usize, ParityError> {
        let index = self
            .value
            .as_u64()
            .ok_or_else(|| self.expected("a whole number of at least 0"))?;
        usize::try_from(index).map_err(|_| self.expected("a smaller number"))
    }

    /// A text.
    ///
    /// # Errors
    /// If this is none.
    pub fn text(&self) -> Result<&'a str, ParityError> {
        self.value.as_str().ok_or_else(|| self.expected("a text"))
    }

    /// True or false; numbers count as true unless 0.
    ///
    /// # Errors
    /// If this is neither.
    pub fn truth(&self) -> Result<bool, ParityError> {
        match self.value {
            Value::Bool(truth) => Ok(*truth),
            value => value
                .as_f64()
                .map(|x| x != 0.0)
                .ok_or_else(|| self.expected("true or false")),
        }
    }

    /// A list of numbers.
    ///
    /// # Errors
    /// If this is none.
    pub fn vector(&self) -> Result<Vec<f64>, ParityError> {
        self.items()?.iter().map(Node::number).collect()
    }

    /// A list of lists of numbers.
    ///
    /// # Errors
    /// If this is none.
    pub fn matrix(&self) -> Result<Vec<Vec<f64>>, ParityError> {
        self.items()?.iter().map(Node::vector).collect()
    }

    /// A list of lists of lists of numbers.
    ///
    /// # Errors
    /// If this is none.
    pub fn cube(&self) -> Result<Vec<Vec<Vec<f64>>>, ParityError> {
        self.items()?.iter().map(Node::matrix).collect()
    }

    /// A list of whole numbers of at least 0.
    ///
    /// # Errors
    /// If this is none.
    pub fn indices(&self) -> Result<Vec<usize>, ParityError> {
        self.items()?.iter().map(Node::index).collect()
    }

    /// A list of lists of true and false.
    ///
    /// # Errors
    /// If this is none.
    pub fn mask(&self) -> Result<Vec<Vec<bool>>, ParityError> {
        self.items()?
            .iter()
            .map(|row| row.items()?.iter().map(Node::truth).collect())
            .collect()
    }
}

/// `|ours - theirs| / max(|theirs|, 1e-6)`; 0 where both are the same infinity or both NaN.
///
/// The floor keeps a reference value that is 0 up to rounding from deciding: 1e-12 beside it counts as 1e-6.
pub fn relative_error(ours: f64, theirs: f64) -> f64 {
    error_at_scale(ours, theirs, 1e-6)
}

fn error_at_scale(ours: f64, theirs: f64, floor: f64) -> f64 {
    if ours == theirs || (ours.is_nan() && theirs.is_nan()) {
        return 0.0;
    }
    let error = (ours - theirs).abs() / theirs.abs().max(floor);
    if error.is_nan() { f64::INFINITY } else { error }
}

/// The worst relative error of the elements, where an element counts as at least a thousandth of the largest one: an
/// element that is small by cancellation carries the rounding of the large ones.
///
/// # Panics
/// If the lengths differ.
pub fn worst_relative_error(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len(), "as many numbers as the reference");
    let largest = theirs
        .iter()
        .filter(|x| x.is_finite())
        .fold(0.0_f64, |a, b| a.max(b.abs()));
    let floor = (largest * 1e-3).max(1e-6);
    ours.iter()
        .zip(theirs)
        .map(|(&a, &b)| error_at_scale(a, b, floor))
        .fold(0.0, f64::max)
}

/// What a row of the table is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What the objective belongs to.
    pub family: &'a str,
    /// The objective or estimator.
    pub objective: &'a str,
    /// Which implementation the figures come from.
    pub source: &'a str,
    /// The largest relative error that counts as equal.
    pub tolerance: f64,
}

/// The table while it grows.
#[derive(Debug, Default)]
pub struct Parity {
    rows: Vec<ParityRow>,
}

impl Parity {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one more case of `subject` and returns where its numbers are compared.
    pub fn case<'p>(&'p mut self, subject: Subject<'_>, case: &Node<'_>) -> Comparison<'p> {
        let found = self.rows.iter().position(|row| {
            (
                row.family.as_str(),
                row.objective.as_str(),
                row.source.as_str(),
            ) == (subject.family, subject.objective, subject.source)
        });
        let index = found.unwrap_or_else(|| {
            self.rows.push(ParityRow {
                family: subject.family.to_owned(),
                objective: subject.objective.to_owned(),
                source: subject.source.to_owned(),
                cases: 0,
                worst_relative_error: 0.0,
                worst_at: String::new(),
                tolerance: subject.tolerance,
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[index];
        row.cases += 1;
        row.tolerance = row.tolerance.max(subject.tolerance);
        Comparison {
            row,
            at: case.at().to_owned(),
        }
    }

    /// The finished rows.
    pub fn into_rows(self) -> Vec<ParityRow> {
        self.rows
    }
}

/// The comparison of one case.
#[derive(Debug)]
pub struct Comparison<'p> {
    row: &'p mut ParityRow,
    at: String,
}

impl Comparison<'_> {
    fn keep_worst(&mut self, what: &str, error: f64) {
        if error > self.row.worst_relative_error || self.row.worst_at.is_empty() {
            self.row.worst_relative_error = error.max(self.row.worst_relative_error);
            self.row.worst_at = format!("{}: {what}", self.at);
        }
    }

    /// Compares one number.
    pub fn number(&mut self, what: &str, ours: f64, theirs: f64) {
        self.keep_worst(what, relative_error(ours, theirs));
    }

    /// Takes a relative error that was measured on a scale of its own.
    pub fn error(&mut self, what: &str, error: f64) {
        self.keep_worst(what, if error.is_nan() { f64::INFINITY } else { error });
    }

    /// Compares a list, see [`worst_relative_error`]. Another length counts as an infinite error.
    pub fn vector(&mut self, what: &str, ours: &[f64], theirs: &[f64]) {
        let error = if ours.len() == theirs.len() {
            worst_relative_error(ours, theirs)
        } else {
            f64::INFINITY
        };
        self.keep_worst(what, error);
    }

    /// Compares a list of lists as one list.
    pub fn matrix(&mut self, what: &str, ours: &[Vec<f64>], theirs: &[Vec<f64>]) {
        self.vector(what, &ours.concat(), &theirs.concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> GoldenFile {
        GoldenFile {
            name: "x.json".into(),
            root: serde_json::from_str(text).unwrap(),
        }
    }

    #[test]
    fn errors_name_file_and_keys() {
        let file = file(r#"{"cases": [{"loss": "much"}]}"#);
        let case = &file.root().get("cases").unwrap().items().unwrap()[0];
        let error = case.get("loss").unwrap().number().unwrap_err();
        assert_eq!(
            error.to_string(),
            "x.json: cases[0]: loss: expected a number"
        );
        assert_eq!(
            case.get("grad").unwrap_err().to_string(),
            "x.json: cases[0]: expected a key `grad`"
        );
        let error = case.only(&["seed"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x.json: cases[0]: `loss` is not covered by any comparison"
        );
    }

    #[test]
    fn relative_errors_have_a_floor() {
        assert_eq!(relative_error(1.1, 1.0), 1.1f64 - 1.0);
        assert!((relative_error(1e-12, 0.0) - 1e-6).abs() < 1e-18);
        assert_eq!(relative_error(f64::INFINITY, f64::INFINITY), 0.0);
        assert_eq!(relative_error(f64::NAN, 1.0), f64::INFINITY);
        assert!((worst_relative_error(&[1000.0, 1e-6], &[1000.0, 0.0]) - 1e-6).abs() < 1e-18);
    }

    #[test]
    fn a_row_keeps_the_worst_of_its_cases() {
        let file = file("[1, 2]");
        let nodes = file.root().items().unwrap();
        let subject = Subject {
            family: "f",
            objective: "o",
            source: "s",
            tolerance: 1e-6,
        };
        let mut parity = Parity::new();
        parity.case(subject, &nodes[0]).number("a", 1.0, 1.0);
        let mut case = parity.case(subject, &nodes[1]);
        case.number("b", 1.5, 1.0);
        case.vector("c", &[1.0], &[1.0, 2.0]);
        let rows = parity.into_rows();
        assert_eq!((rows.len(), rows[0].cases, rows[0].holds()), (1, 2, false));
        assert_eq!(rows[0].worst_at, "x.json[1]: c");
    }
}
