//! The scalars of a run as JSON lines: `{"step":3,"tag":"objective/kl","value":0.25}`.
//!
//! No time is written, so that two runs of one cell give the same file but for wall-clock metrics. JSON has no NaN and no infinities: they are the
//! strings `"NaN"`, `"Infinity"` and `"-Infinity"`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Metric, SinkError};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line<'a> {
    pub(crate) step: u64,
    #[serde(borrow)]
    pub(crate) tag: std::borrow::Cow<'a, str>,
    #[serde(serialize_with = "write_number", deserialize_with = "read_number")]
    pub(crate) value: f64,
}

fn write_number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        value if value.is_finite() => serializer.serialize_f64(*value),
        value if value.is_nan() => serializer.serialize_str("NaN"),
        value if *value > 0.0 => serializer.serialize_str("Infinity"),
        _ => serializer.serialize_str("-Infinity"),
    }
}

fn read_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Finite(f64),
        Named(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Finite(value) => Ok(value),
        Number::Named(name) => match name.as_str() {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            other => Err(serde::de::Error::custom(format!(
                "expected a number, `NaN`, `Infinity` or `-Infinity`, found `{other}`"
            ))),
        },
    }
}

/// The scalars of one run, by metric.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curves {
    series: BTreeMap<Metric, Vec<(u64, f64)>>,
    unknown: BTreeMap<String, usize>,
}

impl Curves {
    /// The values of `metric` with their steps, in the order of the file; empty if it was not logged.
    pub fn series(&self, metric: Metric) -> &[(u64, f64)] {
        self.series.get(&metric).map_or(&[], Vec::as_slice)
    }

    /// The value logged last.
    pub fn last(&self, metric: Metric) -> Option<f64> {
        self.series(metric).last().map(|&(_, value)| value)
    }

    /// The metrics that were logged, in the catalogue's order.
    pub fn metrics(&self) -> impl Iterator<Item = Metric> + '_ {
        self.series.keys().copied()
    }

    /// Tags that the catalogue does not have (the run was logged by another version), with their number of lines.
    pub fn unknown(&self) -> &BTreeMap<String, usize> {
        &self.unknown
    }
}

impl FromIterator<(u64, Metric, f64)> for Curves {
    fn from_iter<I: IntoIterator<Item = (u64, Metric, f64)>>(scalars: I) -> Self {
        let mut curves = Curves::default();
        for (step, metric, value) in scalars {
            curves.series.entry(metric).or_default().push((step, value));
        }
        curves
    }
}

/// Reads a `scalars.jsonl`, also one that is still being written: a last line without its end is left out.
///
/// # Errors
/// If the file cannot be read, or a complete line is not a scalar (the error names it).
pub fn read_scalars(path: &Path) -> Result<Curves, SinkError> {
    let text = std::fs::read_to_string(path).map_err(SinkError::io("read", path))?;
    let mut curves = Curves::default();
    for (_, line) in complete_lines(path, &text) {
        let line = line?;
        match Metric::from_tag(&line.tag) {
            Some(metric) => curves
                .series
                .entry(metric)
                .or_default()
                .push((line.step, line.value)),
            None => *curves.unknown.entry(line.tag.into_owned()).or_default() += 1,
        }
    }
    Ok(curves)
}

/// Drops every line of step `from_step` or later, and a torn last line. The file is replaced at once, or not at all.
pub(crate) fn truncate(path: &Path, from_step: u64) -> Result<(), SinkError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(SinkError::io("read", path)(error)),
    };
    let mut kept = String::with_capacity(text.len());
    for (raw, line) in complete_lines(path, &text) {
        if line?.step < from_step {
            kept.push_str(raw);
        }
    }
    let partial = path.with_extension("jsonl.partial");
    let write = || {
        let mut file = std::fs::File::create(&partial)?;
        file.write_all(kept.as_bytes())?;
        file.sync_all()
    };
    write().map_err(SinkError::io("write", &partial))?;
    std::fs::rename(&partial, path).map_err(SinkError::io("replace", path))
}

/// The lines that end in a line break: as they stand, and parsed.
fn complete_lines<'a>(
    path: &'a Path,
    text: &'a str,
) -> impl Iterator<Item = (&'a str, Result<Line<'a>, SinkError>)> {
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .enumerate()
        .map(move |(index, raw)| {
            let parsed = serde_json::from_str(raw).map_err(|error| SinkError::Malformed {
                path: path.to_owned(),
                line: index + 1,
                expected: "{\"step\":…,\"tag\":…,\"value\":…}",
                found: format!(
                    "`{}` ({error})",
                    raw.trim_end().chars().take(80).collect::<String>()
                ),
            });
            (raw, parsed)
        })
}
