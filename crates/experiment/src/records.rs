//! What an experiment leaves on disk for its report, and for any other reader.
//!
//! ```text
//! runs/<experiment>/records.json                  ExperimentRecord: question, arms, seeds, what is matched
//! runs/<experiment>/<arm>/seed-<n>/record.json    CellRecord: measures, costs, samples of one arm under one seed
//! runs/<experiment>/<arm>/seed-<n>/scalars.jsonl  curves of its training (preflab-metrics)
//! ```
//!
//! A report is made from these alone. A cell without a `record.json` has not been finished (or failed: then its
//! record says so); the experiment record is written before the first stage runs and again when the last has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::non_finite::{finite_or_text, vectors_or_text};
use crate::{Ledger, StageKind};

/// The version of the layout below; readers refuse others.
pub const FORMAT: u32 = 1;

/// File name of the [`ExperimentRecord`] in the experiment's directory.
pub const EXPERIMENT_FILE: &str = "records.json";

/// File name of a [`CellRecord`] in the cell's directory.
pub const CELL_FILE: &str = "record.json";

/// The experiment as a whole: what was asked, what was compared, what was held equal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the experiment: the file's name without `.toml`.
    pub name: String,
    /// The question it answers, as the author put it.
    pub question: String,
    /// Version of the binary that ran it.
    pub version: String,
    /// `cpu` or `cuda`.
    pub device: String,
    /// The seeds, in the order in which they are run.
    pub seeds: Vec<u64>,
    /// The arms: the starts first, then those of the file in its order, then those of the ablation.
    pub arms: Vec<ArmRecord>,
    /// The arm others are compared with by default.
    pub baseline: String,
    /// Keys in which arms may differ.
    pub varies: Vec<String>,
    /// Every other setting: equal in all arms, checked. In the order of the settings.
    pub matched: Vec<KeyValue>,
    /// `key=value` overrides given on the command line.
    pub overrides: Vec<String>,
    /// What budget is matched.
    pub budget: BudgetRecord,
    /// The grid of the ablation, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ablation: Option<AblationRecord>,
    /// Stages that belong to no single cell and keep curves (supervised start, reward model, ...).
    pub shared: Vec<SharedRecord>,
    /// Where the experiment stands.
    pub status: ExperimentStatus,
}

/// Where an experiment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExperimentStatus {
    /// Some cells may be missing: it is running, or was interrupted.
    Running,
    /// Every cell is there and none failed.
    Complete,
    /// Every cell was tried and some failed.
    Failed,
}

/// A key of the settings and its value in TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyValue {
    /// Dotted key.
    pub key: String,
    /// Value, written as TOML.
    pub value: String,
}

/// One arm of the comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmRecord {
    /// Its name, which is also its directory.
    pub name: String,
    /// Where it comes from.
    pub origin: ArmOrigin,
    /// The method's name (`ppo`, `dpo`, ...), and its objective's where it has one (`dpo: flex-dpo`).
    pub method: String,
    /// The varied keys as this arm sets them; empty for a start.
    pub settings: Vec<KeyValue>,
    /// For an arm of the ablation: the value of each grid key, in the order of [`AblationRecord::keys`]. A number is
    /// given as one, so that it can be an axis.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub point: Vec<GridValue>,
}

/// Where an arm comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArmOrigin {
    /// The supervised start of the other arms, evaluated as it is. Usually called `sft`.
    Start,
    /// Written in the file.
    File,
    /// A point of the ablation's grid.
    Ablation,
}

/// A value of a grid key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GridValue {
    /// A number: an axis.
    Number(f64),
    /// Anything else, written as TOML.
    Label(String),
}

/// The grid of an ablation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AblationRecord {
    /// The arm the grid is laid over.
    pub arm: String,
    /// One or two dotted keys.
    pub keys: Vec<String>,
    /// Values of each key, as in the file.
    pub values: Vec<Vec<GridValue>>,
}

/// The budget that arms are matched on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetRecord {
    /// `updates`, `trained-tokens`, `generated-tokens`, `flops` or `seconds`.
    pub currency: String,
    /// How much of it.
    pub amount: f64,
}

/// A shared stage with curves of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedRecord {
    /// What was computed.
    pub kind: StageKind,
    /// Under which seed; absent: for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Content hash of the stage.
    pub key: String,
    /// Directory of its `scalars.jsonl` and event file, relative to the experiment's.
    pub directory: PathBuf,
    /// Figures about it (`eval/accuracy` of the reward model, the number of pairs, ...).
    #[serde(with = "finite_or_text")]
    pub measures: BTreeMap<String, f64>,
    /// What it cost.
    pub ledger: Ledger,
    /// The cells that build on it.
    pub shared_by: usize,
}

/// One arm under one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the arm.
    pub arm: String,
    /// The seed.
    pub seed: u64,
    /// Whether the cell was finished.
    pub status: CellStatus,
    /// Final figures by tag: `task/gold`, `task/<criterion>`, KL to the reference, length, ... as the evaluation gives
    /// them, and the last figures of the training. One number a cell: what statistics over seeds are made of.
    #[serde(with = "finite_or_text")]
    pub measures: BTreeMap<String, f64>,
    /// The same figures for each test prompt, where the evaluation gives them, in the order of the prompts. Prompts
    /// are the same in every cell.
    #[serde(
        default,
        with = "vectors_or_text",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub per_prompt: BTreeMap<String, Vec<f64>>,
    /// What training this arm cost, from the start on.
    pub training: Ledger,
    /// What the stages it builds on cost (supervised start, candidates, pairs, reward model, ...), whether other cells
    /// share them or not.
    pub preparation: Ledger,
    /// What evaluating it cost.
    pub evaluation: Ledger,
    /// A few completions of test prompts.
    pub samples: Vec<Sample>,
    /// The stages behind the cell, inputs first.
    pub stages: Vec<StageUse>,
}

/// Whether a cell was finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", deny_unknown_fields)]
pub enum CellStatus {
    /// Trained and evaluated.
    Done,
    /// A stage it needs failed.
    Failed {
        /// Which.
        stage: StageKind,
        /// What it said.
        message: String,
    },
}

/// A stage behind a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageUse {
    /// What was computed.
    pub kind: StageKind,
    /// Its content hash.
    pub key: String,
    /// How many cells of the experiment share it.
    pub shared_by: usize,
    /// What it cost (once, however many share it).
    pub ledger: Ledger,
    /// Figures about it.
    #[serde(with = "finite_or_text")]
    pub measures: BTreeMap<String, f64>,
}

/// A completion of a test prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// What was asked.
    pub prompt: String,
    /// What the policy answered.
    pub completion: String,
    /// Its scores by tag.
    #[serde(with = "finite_or_text")]
    pub scores: BTreeMap<String, f64>,
}

/// Everything a report needs, read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    /// Where it was read from.
    pub directory: PathBuf,
    /// The experiment.
    pub experiment: ExperimentRecord,
    /// The cells that have a record, seed-major, arms in the order of the experiment.
    pub cells: Vec<CellRecord>,
}

/// Why records cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// No experiment there.
    #[error(
        "`{}` holds no experiment: there is no `{EXPERIMENT_FILE}` in it\n\n\
         hint: give the directory that `preflab run` wrote, such as `runs/quickstart`",
        directory.display()
    )]
    NotAnExperiment {
        /// The directory asked for.
        directory: PathBuf,
    },
    /// A file could not be read.
    #[error("could not read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("`{}` is not a record of this program: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// A file of another version.
    #[error(
        "`{}` has format {found}, but this version reads format {FORMAT}\n\nhint: run the experiment again with this version",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
}

impl Records {
    /// Reads an experiment's directory.
    ///
    /// # Errors
    /// If it holds no experiment, or a record cannot be read. A cell without a record is left out.
    pub fn read(directory: &Path) -> Result<Self, RecordsError> {
        let file = directory.join(EXPERIMENT_FILE);
        if !file.is_file() {
            return Err(RecordsError::NotAnExperiment {
                directory: directory.to_owned(),
            });
        }
        let experiment: ExperimentRecord = read_json(&file)?;
        let mut cells = Vec::new();
        for &seed in &experiment.seeds {
            for arm in &experiment.arms {
                let file = cell_directory(directory, &arm.name, seed).join(CELL_FILE);
                if file.is_file() {
                    cells.push(read_json(&file)?);
                }
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            experiment,
            cells,
        })
    }

    /// Directory of a cell's curves.
    pub fn cell_directory(&self, cell: &CellRecord) -> PathBuf {
        cell_directory(&self.directory, &cell.arm, cell.seed)
    }
}

/// `<experiment>/<arm>/seed-<n>`.
pub fn cell_directory(experiment: &Path, arm: &str, seed: u64) -> PathBuf {
    experiment.join(arm).join(format!("seed-{seed}"))
}

/// Reads one record, looking at its format before anything else.
fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, RecordsError> {
    let malformed = |source| RecordsError::Malformed {
        path: path.to_owned(),
        source,
    };
    let text = fs::read_to_string(path).map_err(|source| RecordsError::Read {
        path: path.to_owned(),
        source,
    })?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(malformed)?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format != u64::from(FORMAT) => Err(RecordsError::Format {
            path: path.to_owned(),
            found: format,
        }),
        Some(_) | None => serde_json::from_str(&text).map_err(malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diverged_cell_survives_json() {
        let cell = CellRecord {
            format: FORMAT,
            arm: "dpo".to_owned(),
            seed: 3,
            status: CellStatus::Failed {
                stage: StageKind::Training,
                message: "loss is NaN".to_owned(),
            },
            measures: [("a".to_owned(), f64::NEG_INFINITY), ("b".to_owned(), 0.1)].into(),
            per_prompt: [("a".to_owned(), vec![1.0, f64::INFINITY])].into(),
            training: Ledger::default(),
            preparation: Ledger::default(),
            evaluation: Ledger::default(),
            samples: Vec::new(),
            stages: Vec::new(),
        };
        let text = serde_json::to_string(&cell).unwrap();
        assert_eq!(serde_json::from_str::<CellRecord>(&text).unwrap(), cell);
    }

    #[test]
    fn a_directory_without_records_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = Records::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("holds no experiment"), "{error}");
    }

    #[test]
    fn a_record_of_another_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(EXPERIMENT_FILE), "{\"format\": 99}").unwrap();
        let error = Records::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("has format 99"), "{error}");
    }
}
