//! The parity table: one row for each objective and reference.

use preflab_transformer::parity::golden_tolerance;

use super::Node;

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
                tolerance: golden_tolerance(subject.tolerance),
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[index];
        row.cases += 1;
        row.tolerance = row.tolerance.max(golden_tolerance(subject.tolerance));
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
    use crate::parity::GoldenFile;

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
        let file = GoldenFile::of_text("x.json", "[1, 2]").unwrap();
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
