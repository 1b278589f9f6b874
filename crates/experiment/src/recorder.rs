//! Writes records, curves and the lock as stages are finished.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::State;
use crate::lock::{LOCK_FILE, lock_text};
use crate::records::{
    ArmRecord, BudgetRecord, CELL_FILE, CellRecord, CellStatus, EXPERIMENT_FILE, ExperimentRecord,
    ExperimentStatus, FORMAT, SharedRecord, StageUse,
};
use crate::store::Finished;
use crate::{Cell, Event, Ledger, Observer, Plan, StageId, StageKind, Store, StoreError};

/// What has been written of a plan, and what is still to be.
pub(crate) struct Recorder<'a> {
    plan: &'a Plan,
    store: &'a Store,
    /// For each cell: whether its record says that it is done, once there is one.
    recorded: Vec<Option<bool>>,
    written: BTreeMap<PathBuf, String>,
}

impl<'a> Recorder<'a> {
    /// Removes the records of cells whose settings have changed since, so that nobody takes them for results of this
    /// plan.
    pub fn new(plan: &'a Plan, store: &'a Store) -> Result<Self, StoreError> {
        for cell in &plan.cells {
            let path = store
                .directory()
                .join(plan.cell_directory(cell))
                .join(CELL_FILE);
            let kept = fs::read_to_string(&path)
                .ok()
                .and_then(|text| serde_json::from_str::<CellRecord>(&text).ok())
                .is_some_and(|record| {
                    record.status == CellStatus::Done
                        && record
                            .stages
                            .iter()
                            .map(|stage| stage.key.as_str())
                            .eq(cell.stages.iter().map(|id| plan.stage(*id).key.as_str()))
                });
            if !kept && path.exists() {
                fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            }
        }
        let recorded = vec![None; plan.cells.len()];
        Ok(Self {
            plan,
            store,
            recorded,
            written: BTreeMap::new(),
        })
    }

    /// Brings the files up to date with the states of the stages.
    pub fn settle(&mut self, states: &[State], observer: &dyn Observer) -> Result<(), StoreError> {
        for index in 0..self.plan.cells.len() {
            if self.recorded[index].is_none()
                && let Some(record) = self.cell_record(&self.plan.cells[index], states)
            {
                let done = record.status == CellStatus::Done;
                if done {
                    self.logs(&self.plan.cells[index])?;
                }
                let file = self
                    .plan
                    .cell_directory(&self.plan.cells[index])
                    .join(CELL_FILE);
                self.write(file, json(&record))?;
                self.recorded[index] = Some(done);
                observer.event(Event::Recorded {
                    arm: &record.arm,
                    seed: record.seed,
                });
            }
        }
        self.write(
            EXPERIMENT_FILE.into(),
            json(&self.experiment_record(states)),
        )?;
        let finished: Vec<_> = states
            .iter()
            .map(finished)
            .map(Option::<&Arc<_>>::cloned)
            .collect();
        self.write(LOCK_FILE.into(), lock_text(self.plan, &finished))
    }

    /// Puts the curves that stages kept into a cell's directory, unless they are there.
    fn logs(&self, cell: &Cell) -> Result<(), StoreError> {
        for (id, below) in &cell.logs {
            let directory: PathBuf = self
                .plan
                .cell_directory(cell)
                .join(below)
                .components()
                .collect();
            self.store.restore_logs(self.plan.stage(*id), &directory)?;
        }
        Ok(())
    }

    /// The record of a cell that is finished or has failed.
    fn cell_record(&self, cell: &Cell, states: &[State]) -> Option<CellRecord> {
        let mut status = CellStatus::Done;
        for id in &cell.stages {
            match &states[id.index()] {
                State::Waiting | State::Running => return None,
                State::Finished(_) | State::Blocked(_) => {}
                State::Failed(message) => {
                    let stage = self.plan.stage(*id).kind;
                    status = CellStatus::Failed {
                        stage,
                        message: message.clone(),
                    };
                }
            }
        }
        let mut record = CellRecord {
            format: FORMAT,
            arm: self.plan.arm(cell).name.clone(),
            seed: cell.seed,
            status,
            measures: BTreeMap::new(),
            per_prompt: BTreeMap::new(),
            training: Ledger::default(),
            preparation: Ledger::default(),
            evaluation: Ledger::default(),
            samples: Vec::new(),
            stages: Vec::new(),
        };
        for &id in &cell.stages {
            let Some(finished) = finished(&states[id.index()]) else {
                continue;
            };
            self.add_stage(&mut record, cell, id, finished);
        }
        Some(record)
    }

    fn add_stage(&self, record: &mut CellRecord, cell: &Cell, id: StageId, finished: &Finished) {
        let (stage, outcome) = (self.plan.stage(id), &finished.outcome);
        record.stages.push(StageUse {
            kind: stage.kind,
            key: stage.key.to_string(),
            shared_by: stage.shared_by,
            ledger: outcome.ledger,
            measures: outcome.measures.clone(),
        });
        if Some(id) == cell.training {
            record.training = outcome.ledger;
            record.measures.extend(outcome.measures.clone());
        } else if id == cell.evaluation {
            record.evaluation = outcome.ledger;
            record.measures.extend(outcome.measures.clone());
            record.per_prompt.clone_from(&outcome.per_prompt);
            record.samples.clone_from(&outcome.samples);
        } else {
            record.preparation += outcome.ledger;
        }
    }

    fn experiment_record(&self, states: &[State]) -> ExperimentRecord {
        let plan = self.plan;
        let status = if self.recorded.iter().any(Option::is_none) {
            ExperimentStatus::Running
        } else if self.recorded.iter().all(|done| *done == Some(true)) {
            ExperimentStatus::Complete
        } else {
            ExperimentStatus::Failed
        };
        let budget = &plan.arms[plan.arms.len() - 1].settings.budget;
        ExperimentRecord {
            format: FORMAT,
            name: plan.name.clone(),
            question: plan.question.clone(),
            version: plan.environment.version.clone(),
            device: plan.environment.device.clone(),
            seeds: plan.seeds.clone(),
            arms: plan
                .arms
                .iter()
                .map(|arm| ArmRecord {
                    name: arm.name.clone(),
                    origin: arm.origin,
                    method: arm.method(),
                    settings: arm.varied.clone(),
                    point: arm.point.clone(),
                })
                .collect(),
            baseline: plan.baseline.clone(),
            varies: plan.varies.clone(),
            matched: plan.matched.clone(),
            overrides: plan.overrides.clone(),
            budget: BudgetRecord {
                currency: budget.currency().to_owned(),
                amount: budget.amount(),
            },
            ablation: plan.ablation.clone(),
            shared: self.shared(states),
            status,
        }
    }

    fn shared(&self, states: &[State]) -> Vec<SharedRecord> {
        let own = |kind: StageKind| match kind {
            StageKind::Training | StageKind::Evaluation => true,
            StageKind::TaskData
            | StageKind::Sft
            | StageKind::WeakerModel
            | StageKind::Candidates
            | StageKind::WeakerCandidates
            | StageKind::Pairs
            | StageKind::ReferenceLogps
            | StageKind::RewardModel => false,
        };
        self.plan
            .stages
            .iter()
            .zip(states)
            .filter(|(stage, _)| !own(stage.kind))
            .filter_map(|(stage, state)| {
                finished(state).map(|finished| SharedRecord {
                    kind: stage.kind,
                    seed: stage.seed,
                    key: stage.key.to_string(),
                    directory: stage.log_directory.clone(),
                    measures: finished.outcome.measures.clone(),
                    ledger: finished.outcome.ledger,
                    shared_by: stage.shared_by,
                })
            })
            .collect()
    }

    /// Writes a file if it is not already what it should be.
    fn write(&mut self, file: PathBuf, text: String) -> Result<(), StoreError> {
        if self.written.get(&file) == Some(&text) {
            return Ok(());
        }
        self.store.write(Path::new(&file), &text)?;
        self.written.insert(file, text);
        Ok(())
    }
}

fn finished(state: &State) -> Option<&Arc<Finished>> {
    match state {
        State::Finished(finished) => Some(finished),
        State::Waiting | State::Running | State::Failed(_) | State::Blocked(_) => None,
    }
}

fn json<T: serde::Serialize>(record: &T) -> String {
    let mut text = serde_json::to_string_pretty(record).expect("a record is plain data");
    text.push('\n');
    text
}
