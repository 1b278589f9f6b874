//! The report of an experiment: built from its records, written as three files.

use std::io::Write;
use std::path::{Path, PathBuf};

use preflab_experiment::records::{ArmOrigin, ArmRecord, Records};
use preflab_metrics::SinkError;

use crate::curves::CurveSet;
use crate::document::Document;
use crate::figure::Style;
use crate::measures::{Measures, main_arms};
use crate::tensorboard::Comparison;
use crate::{sections, summary};

/// What a reader may choose.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportOptions {
    /// The arms that others are compared with. Empty: the start, and the experiment's baseline or else its first PPO arm.
    pub baselines: Vec<String>,
    /// Confidence of the intervals, 0.95 unless said otherwise.
    pub confidence: f64,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            baselines: Vec::new(),
            confidence: 0.95,
        }
    }
}

/// Why a report could not be made or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A baseline is not an arm.
    #[error("there is no arm `{name}` to compare with\n\nhint: the arms are {}", .arms.iter().map(|arm| format!("`{arm}`")).collect::<Vec<_>>().join(", "))]
    UnknownBaseline {
        /// What was asked for.
        name: String,
        /// The arms there are.
        arms: Vec<String>,
    },
    /// A cell's curves cannot be read, or the comparison's written.
    #[error(transparent)]
    Curves(#[from] SinkError),
    /// A file cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Where a report was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The page.
    pub html: PathBuf,
    /// The same as Markdown.
    pub markdown: PathBuf,
    /// One row for each arm, seed and measure.
    pub csv: PathBuf,
}

/// An experiment's report.
#[derive(Debug, Clone)]
pub struct Report {
    document: Document,
    csv: String,
    comparison: Comparison,
}

/// What every section is made from.
pub(crate) struct Context<'a> {
    pub(crate) records: &'a Records,
    pub(crate) measures: Measures,
    pub(crate) curves: CurveSet,
    pub(crate) arms: Vec<&'a ArmRecord>,
    pub(crate) baselines: Vec<String>,
    pub(crate) confidence: f64,
}

impl Report {
    /// The report of what `records` hold: also of an experiment that is still running, or of which cells failed.
    ///
    /// # Errors
    /// [`ReportError::UnknownBaseline`] if an arm asked for is not there; [`ReportError::Curves`] if a log is damaged.
    pub fn new(records: &Records, options: &ReportOptions) -> Result<Self, ReportError> {
        let context = Context {
            records,
            measures: Measures::of(records),
            curves: CurveSet::read(records)?,
            arms: main_arms(records),
            baselines: baselines(records, options)?,
            confidence: options.confidence,
        };
        Ok(Self {
            document: sections::document(&context)?,
            csv: summary::csv(records),
            comparison: Comparison::of(&context),
        })
    }

    /// The page: one file that opens without a network.
    pub fn html(&self) -> String {
        self.document.to_html()
    }

    /// The same as Markdown, without the figures.
    pub fn markdown(&self) -> String {
        self.document.to_markdown()
    }

    /// One row for each arm, seed and measure.
    pub fn summary_csv(&self) -> &str {
        &self.csv
    }

    /// Adds a part to the end of the page.
    pub fn push(&mut self, section: crate::document::Section) {
        self.document = std::mem::replace(&mut self.document, Document::new("")).section(section);
    }

    /// Writes `report.html`, `report.md` and `summary.csv` into `directory`, and TensorBoard's comparison of the cells below
    /// `hparams/`. Each file, and the directory, is replaced at once or not at all.
    ///
    /// # Errors
    /// [`ReportError::Write`], naming the file; [`ReportError::Curves`] if the logs for TensorBoard cannot be written.
    pub fn write(&self, directory: &Path) -> Result<Written, ReportError> {
        let write = |name: &str, content: &str| {
            let path = directory.join(name);
            match replace(&path, content) {
                Ok(()) => Ok(path),
                Err(source) => Err(ReportError::Write { path, source }),
            }
        };
        let written = Written {
            html: write("report.html", &self.html())?,
            markdown: write("report.md", &self.markdown())?,
            csv: write("summary.csv", &self.csv)?,
        };
        self.comparison.write(directory)?;
        Ok(written)
    }
}

/// Writes a file under another name first, so that a reader never sees half of it.
fn replace(path: &Path, content: &str) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = std::fs::File::create(&partial).and_then(|mut file| {
        file.write_all(content.as_bytes())?;
        file.sync_all()
    });
    let replaced = written.and_then(|()| std::fs::rename(&partial, path));
    if replaced.is_err() {
        // The half-written file is of no use; the error that counts is the first.
        let _ = std::fs::remove_file(&partial);
    }
    replaced
}

/// The arms asked for; without a wish the start and one more.
fn baselines(records: &Records, options: &ReportOptions) -> Result<Vec<String>, ReportError> {
    let arms = &records.experiment.arms;
    if let Some(unknown) = options
        .baselines
        .iter()
        .find(|name| arms.iter().all(|arm| arm.name != **name))
    {
        let arms = arms.iter().map(|arm| arm.name.clone()).collect();
        return Err(ReportError::UnknownBaseline {
            name: unknown.clone(),
            arms,
        });
    }
    if !options.baselines.is_empty() {
        return Ok(options.baselines.clone());
    }
    let start = arms
        .iter()
        .find(|arm| arm.origin == ArmOrigin::Start)
        .map(|arm| arm.name.clone());
    let chosen = Some(records.experiment.baseline.clone())
        .filter(|name| arms.iter().any(|arm| arm.name == *name));
    let ppo = arms
        .iter()
        .find(|arm| arm.origin == ArmOrigin::File && arm.method.starts_with("ppo"))
        .map(|arm| arm.name.clone());
    let mut baselines: Vec<String> = Vec::new();
    for name in [start, chosen, ppo].into_iter().flatten() {
        if !baselines.contains(&name) && baselines.len() < 2 {
            baselines.push(name);
        }
    }
    Ok(baselines)
}

impl Context<'_> {
    /// The look of an arm: the same in every figure.
    pub(crate) fn style(&self, arm: &str) -> Style {
        Style::series(
            self.arms
                .iter()
                .position(|known| known.name == arm)
                .unwrap_or(0),
        )
    }

    /// Names of the compared arms.
    pub(crate) fn arm_names(&self) -> Vec<&str> {
        self.arms.iter().map(|arm| arm.name.as_str()).collect()
    }

    /// `95 %`.
    pub(crate) fn confidence_percent(&self) -> String {
        format!("{} %", crate::figure::short_number(self.confidence * 100.0))
    }
}
