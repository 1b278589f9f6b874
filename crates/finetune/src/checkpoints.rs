//! What is kept while training, what training goes on from, and when it ends early.
//!
//! ```text
//! checkpoints/update-000200/           a model directory that transformers loads
//! checkpoints/update-000200/trainer/   in the newest alone: all that the next update depends on
//! ```
//! A checkpoint is complete or absent: it is written under a temporary name and renamed. Only then is the state of an older
//! one deleted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use preflab_config::CheckpointSettings;
use preflab_experiment::Interrupt;
use preflab_metrics::{Better, Image, Metric, Sink, SinkError, Text};
use preflab_training::{Snapshot, TrainError, Trained, Watch};
use serde::{Deserialize, Serialize};

use crate::run_directory::{read_json, write_whole};
use crate::saved::Saving;
use crate::{FinetuneError, Observer};

/// Directory of a trainer's state in a checkpoint.
const TRAINER: &str = "trainer";
/// File of the [`Progress`] in it.
const PROGRESS: &str = "progress.json";

/// The values logged last, by metric, with their steps.
type Latest = Arc<Mutex<BTreeMap<Metric, (u64, f64)>>>;

/// A log that remembers the value of each metric that came last.
pub(crate) struct Remembering<S> {
    log: S,
    latest: Latest,
}

impl<S: Sink> Remembering<S> {
    pub fn new(log: S) -> Self {
        Self {
            log,
            latest: Latest::default(),
        }
    }

    /// What it remembers, to be read while it is written to.
    pub fn latest(&self) -> Latest {
        Arc::clone(&self.latest)
    }
}

impl<S: Sink> Sink for Remembering<S> {
    fn scalar(&mut self, step: u64, metric: Metric, value: f64) -> Result<(), SinkError> {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(metric, (step, value));
        self.log.scalar(step, metric, value)
    }

    fn histogram(&mut self, step: u64, metric: Metric, values: &[f64]) -> Result<(), SinkError> {
        self.log.histogram(step, metric, values)
    }

    fn text(&mut self, step: u64, tag: Text, text: &str) -> Result<(), SinkError> {
        self.log.text(step, tag, text)
    }

    fn image(&mut self, step: u64, tag: Image, png: &[u8]) -> Result<(), SinkError> {
        self.log.image(step, tag, png)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.log.flush()
    }
}

/// How far a run is, besides its trainer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    /// Updates done.
    pub update: u64,
    /// The best checkpoints kept, best first: value and update.
    pub best: Vec<(f64, u64)>,
    /// The best value of the metric that ends training early.
    pub early_best: Option<f64>,
    /// Evaluations since it improved.
    pub waited: usize,
    /// Whether training ended early.
    pub stopped_early: bool,
    /// The step of the last samples.
    pub sampled: u64,
}

/// The checkpoint that training goes on from.
#[derive(Debug, Clone)]
pub(crate) struct Newest {
    pub progress: Progress,
    /// The trainer's state.
    pub state: PathBuf,
}

/// What ends training early.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Early {
    pub metric: Metric,
    pub patience: usize,
    pub min_delta: f64,
}

/// What is asked of a model besides while it trains: samples, a score on held-out prompts.
pub(crate) trait Look {
    /// Looks at the model after `step` updates.
    fn look(&self, step: u64, model: Trained<'_>, log: &mut dyn Sink) -> Result<(), FinetuneError>;
}

/// Keeps checkpoints of a trainer, and tells it when to end.
pub(crate) struct Keeper<'k> {
    pub directory: PathBuf,
    pub settings: &'k CheckpointSettings,
    pub saving: Saving<'k>,
    pub best: Metric,
    /// Whether best checkpoints are kept at all.
    pub keep_best: usize,
    pub early: Option<Early>,
    pub look: Option<&'k dyn Look>,
    pub look_every: u64,
    pub latest: Latest,
    pub interrupt: &'k Interrupt,
    pub observer: &'k dyn Observer,
    pub resumed: Option<Newest>,
    pub progress: RefCell<Progress>,
}

impl Watch for Keeper<'_> {
    fn stop(&self) -> bool {
        self.interrupt.is_set()
    }

    fn progress(&self, done: u64, total: u64, note: &str) {
        self.observer.progress(done, total, note);
    }

    fn resume_from(&self) -> Option<PathBuf> {
        self.resumed.as_ref().map(|newest| newest.state.clone())
    }

    fn between(
        &self,
        done: u64,
        trainer: &dyn Snapshot,
        log: &mut dyn Sink,
    ) -> Result<ControlFlow<()>, TrainError> {
        self.after(done, trainer, log)
            .map_err(|error| TrainError::Watch(Box::new(error)))
    }
}

impl Keeper<'_> {
    fn after(
        &self,
        done: u64,
        trainer: &dyn Snapshot,
        log: &mut dyn Sink,
    ) -> Result<ControlFlow<()>, FinetuneError> {
        let mut progress = self.progress.borrow_mut();
        let before = progress.update;
        progress.update = done;
        if let Some(look) = self.look
            && crossed(before, done, self.look_every)
        {
            look.look(done, trainer.trained(), log)?;
            progress.sampled = done;
        }
        let mut kept = false;
        if let Some(value) = self.now(self.best, done)
            && self.keep_best > 0
        {
            kept = enters(&mut progress.best, value, done, self.best, self.keep_best);
        }
        if let Some(early) = self.early
            && let Some(value) = self.now(early.metric, done)
        {
            let improved = progress
                .early_best
                .is_none_or(|best| gain(early.metric, value, best) > early.min_delta);
            if improved {
                progress.early_best = Some(value);
                progress.waited = 0;
            } else {
                progress.waited += 1;
                progress.stopped_early = progress.waited >= early.patience;
            }
        }
        let ends = progress.stopped_early;
        let due = crossed(before, done, self.settings.every.get() as u64);
        if due || ends || self.interrupt.is_set() {
            log.flush()?;
            self.write(trainer, &progress, true)?;
        } else if kept {
            self.write(trainer, &progress, false)?;
        }
        if ends {
            self.observer.note(&format!(
                "stopped early after {done} updates: `{}` has not improved for {} evaluations",
                self.early.map_or("", |early| early.metric.tag()),
                progress.waited
            ));
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The value of a metric, if it was logged for this step.
    fn now(&self, metric: Metric, step: u64) -> Option<f64> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest
            .get(&metric)
            .and_then(|&(at, value)| (at == step && !value.is_nan()).then_some(value))
    }

    /// Writes a checkpoint, with all that training needs to go on from it if asked for, and deletes what is not kept.
    fn write(
        &self,
        trainer: &dyn Snapshot,
        progress: &Progress,
        with_state: bool,
    ) -> Result<(), FinetuneError> {
        let name = name(progress.update);
        let target = self.directory.join(&name);
        let partial = self.directory.join(format!("{name}.partial"));
        if partial.exists() {
            remove(&partial)?;
        }
        self.saving.save(trainer.trained(), &partial)?;
        if with_state {
            let state = partial.join(TRAINER);
            fs::create_dir_all(&state).map_err(FinetuneError::io("create", &state))?;
            trainer
                .save_state(&state)
                .map_err(|error| FinetuneError::Train(error.into()))?;
            let text = serde_json::to_vec(progress).expect("plain data");
            write_whole(&state.join(PROGRESS), &text)?;
        }
        fs::rename(&partial, &target).map_err(FinetuneError::io("write", &target))?;
        self.prune(&progress.best)
    }

    /// Deletes checkpoints that are neither among the newest nor among the best, and states that are not the newest.
    fn prune(&self, best: &[(f64, u64)]) -> Result<(), FinetuneError> {
        let all = checkpoints(&self.directory)?;
        let state = |update: u64| self.directory.join(name(update)).join(TRAINER);
        let newest_state = all
            .iter()
            .rev()
            .find(|&&update| state(update).join(PROGRESS).is_file());
        let newest = all
            .len()
            .saturating_sub(self.settings.keep_last.get().max(1));
        for (index, update) in all.iter().enumerate() {
            let is_best = best.iter().any(|(_, kept)| kept == update);
            if index < newest && !is_best && Some(update) != newest_state {
                remove(&self.directory.join(name(*update)))?;
            } else if Some(update) != newest_state && state(*update).exists() {
                remove(&state(*update))?;
            }
        }
        Ok(())
    }
}

/// Deletes the trainer's states of a finished run; the models stay.
pub(crate) fn finish(directory: &Path) -> Result<(), FinetuneError> {
    for update in checkpoints(directory)? {
        let state = directory.join(name(update)).join(TRAINER);
        if state.exists() {
            remove(&state)?;
        }
    }
    Ok(())
}

/// Whether a multiple of `every` lies behind `before` and not behind `done`.
fn crossed(before: u64, done: u64, every: u64) -> bool {
    done / every > before / every
}

/// How much better `value` is than `than`.
fn gain(metric: Metric, value: f64, than: f64) -> f64 {
    match metric.better() {
        Better::Lower => than - value,
        Better::Higher | Better::Neither => value - than,
    }
}

/// Puts a value among the `most` best, the earlier one first where values are equal; whether it is among them.
fn enters(
    best: &mut Vec<(f64, u64)>,
    value: f64,
    update: u64,
    metric: Metric,
    most: usize,
) -> bool {
    best.retain(|&(_, known)| known != update);
    let place = best.partition_point(|&(known, _)| gain(metric, value, known) <= 0.0);
    if place >= most {
        return false;
    }
    best.insert(place, (value, update));
    best.truncate(most);
    true
}

fn name(update: u64) -> String {
    format!("update-{update:06}")
}

/// The checkpoints of a directory, by their updates, in order.
fn checkpoints(directory: &Path) -> Result<Vec<u64>, FinetuneError> {
    let mut updates = Vec::new();
    for entry in fs::read_dir(directory).map_err(FinetuneError::io("read", directory))? {
        let entry = entry.map_err(FinetuneError::io("read", directory))?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if let Some(update) = file
            .strip_prefix("update-")
            .and_then(|number| number.parse().ok())
        {
            updates.push(update);
        }
    }
    updates.sort_unstable();
    Ok(updates)
}

fn remove(directory: &Path) -> Result<(), FinetuneError> {
    fs::remove_dir_all(directory).map_err(FinetuneError::io("delete", directory))
}

/// The checkpoint to go on from; what was begun after it is deleted.
pub(crate) fn newest(directory: &Path) -> Result<Option<Newest>, FinetuneError> {
    let all = checkpoints(directory)?;
    let found = all.iter().rev().find(|&&update| {
        directory
            .join(name(update))
            .join(TRAINER)
            .join(PROGRESS)
            .is_file()
    });
    for entry in fs::read_dir(directory)
        .map_err(FinetuneError::io("read", directory))?
        .flatten()
    {
        if entry.file_name().to_string_lossy().ends_with(".partial") {
            remove(&entry.path())?;
        }
    }
    let after = found.copied().unwrap_or(0);
    for &update in all.iter().filter(|&&update| update > after) {
        remove(&directory.join(name(update)))?;
    }
    let Some(&update) = found else {
        return Ok(None);
    };
    let state = directory.join(name(update)).join(TRAINER);
    Ok(Some(Newest {
        progress: read_json(&state.join(PROGRESS))?,
        state,
    }))
}

/// The model directory of a checkpoint.
pub(crate) fn model_of(directory: &Path, update: u64) -> PathBuf {
    directory.join(name(update))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_in_order_and_the_earlier_of_equals_goes_first() {
        let mut best = Vec::new();
        let mut add = |value, update| enters(&mut best, value, update, Metric::EvalLoss, 2);
        assert!(add(0.7, 10));
        assert!(add(0.5, 20));
        assert!(!add(0.9, 30));
        assert!(add(0.6, 40));
        assert!(!add(0.6, 50));
        assert_eq!(best, [(0.5, 20), (0.6, 40)]);
    }

    #[test]
    fn a_multiple_is_crossed_once_however_long_the_stride() {
        let strides = [(0, 4), (4, 8), (8, 12), (12, 16), (16, 20)];
        let crossings: Vec<bool> = strides.map(|(a, b)| crossed(a, b, 10)).to_vec();
        assert_eq!(crossings, [false, false, true, false, true]);
    }
}
