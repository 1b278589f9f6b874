//! What computes a stage: the trainers in a real run, a fake in tests.

use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use preflab_config::Settings;
use serde::{Deserialize, Serialize};

use crate::non_finite::{finite_or_text, vectors_or_text};
use crate::records::Sample;
use crate::{Event, Ledger, Observer, Stage, StageKind};

/// Computes stages. One runner serves several threads at once.
pub trait Runner: Sync {
    /// Computes a stage: writes its artifacts below [`Job::directory`], its curves below [`Job::logs`].
    ///
    /// The result may depend on the settings that the stage's key covers, on its seed and on its inputs, and on nothing
    /// else; a stage that is run again gives the same artifacts.
    ///
    /// # Errors
    /// [`RunnerError::Interrupted`] if it left off because [`Job::interrupted`] became true; otherwise whatever made
    /// the stage impossible. What was written is thrown away then.
    fn run(&self, job: &Job<'_>) -> Result<StageOutcome, RunnerError>;
}

/// A stage to be computed, and where.
pub struct Job<'a> {
    /// The stage.
    pub stage: &'a Stage,
    /// What it builds on.
    pub inputs: &'a [Input],
    /// An empty directory for what later stages need.
    pub directory: &'a Path,
    /// A directory for its curves, free of older ones; people may watch it while the stage runs.
    pub logs: &'a Path,
    /// Threads to compute with; they change nothing in the results.
    pub threads: NonZeroUsize,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) observer: &'a dyn Observer,
}

/// A finished stage that another builds on.
#[derive(Debug, Clone)]
pub struct Input {
    /// What it computed.
    pub kind: StageKind,
    /// Where its artifacts are.
    pub directory: PathBuf,
    /// What it reported.
    pub outcome: Arc<StageOutcome>,
}

impl Job<'_> {
    /// The settings of the stage.
    pub fn settings(&self) -> &Settings {
        &self.stage.settings
    }

    /// The cell seed.
    ///
    /// # Panics
    /// If the stage is the same for all seeds.
    pub fn seed(&self) -> u64 {
        self.stage.seed.expect("a stage that has a seed")
    }

    /// The input of a kind, if the stage has one.
    pub fn find(&self, kind: StageKind) -> Option<&Input> {
        self.inputs.iter().find(|input| input.kind == kind)
    }

    /// Directory of the input of a kind.
    ///
    /// # Panics
    /// If the stage does not build on that kind.
    pub fn input(&self, kind: StageKind) -> &Path {
        let input = self
            .find(kind)
            .unwrap_or_else(|| panic!("{} builds on {kind}", self.stage.kind));
        &input.directory
    }

    /// Tells whoever watches how far the stage is: `done` of `total`, with a few figures (`loss 0.52`).
    pub fn progress(&self, done: u64, total: u64, note: &str) {
        self.observer.event(Event::Progress {
            stage: self.stage,
            done,
            total,
            note,
        });
    }

    /// Whether the user asked to stop: to be looked at between updates, and answered with
    /// [`RunnerError::Interrupted`].
    pub fn interrupted(&self) -> bool {
        self.interrupt.is_set()
    }

    /// `Err(Interrupted)` if the user asked to stop.
    ///
    /// # Errors
    /// Only then.
    pub fn check_interrupt(&self) -> Result<(), RunnerError> {
        if self.interrupted() {
            Err(RunnerError::Interrupted)
        } else {
            Ok(())
        }
    }
}

/// What a stage reports besides its artifacts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageOutcome {
    /// Final figures by tag.
    #[serde(with = "finite_or_text")]
    pub measures: BTreeMap<String, f64>,
    /// The same for each test prompt, where there are such.
    #[serde(
        default,
        with = "vectors_or_text",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub per_prompt: BTreeMap<String, Vec<f64>>,
    /// What it cost. The engine puts in the seconds.
    pub ledger: Ledger,
    /// Completions worth showing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// Hashes that the lock should name (`initial-weights` of a supervised start).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fingerprints: BTreeMap<String, String>,
}

/// Why a stage was not computed.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// It cannot be computed.
    #[error("{0}")]
    Failed(Box<dyn Error + Send + Sync>),
}

impl RunnerError {
    /// A failure with its cause.
    pub fn failed(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(cause.into())
    }
}

impl From<std::io::Error> for RunnerError {
    fn from(cause: std::io::Error) -> Self {
        Self::failed(cause)
    }
}

/// A wish to stop, shared between whoever catches Ctrl-C and whoever computes.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Nobody wishes to stop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wishes to stop. Safe in a signal handler.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The flag itself, for a signal handler to set.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Whether somebody wishes to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
