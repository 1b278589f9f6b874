//! Runs a plan: every stage once, inputs first, seed by seed, on some threads side by side.

use std::error::Error;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::recorder::Recorder;
use crate::runner::Input;
use crate::store::{Finished, Found, advice};
use crate::{
    Event, Interrupt, Job, Observer, Plan, Runner, RunnerError, Stage, StageId, Store, StoreError,
};

/// Everything a run needs.
pub struct Engine<'a, R> {
    /// What is computed.
    pub plan: &'a Plan,
    /// Where it is kept.
    pub store: &'a Store,
    /// What computes a stage.
    pub runner: &'a R,
    /// Who watches.
    pub observer: &'a dyn Observer,
    /// The user's wish to stop.
    pub interrupt: Interrupt,
    /// Stages that may be computed side by side. Each holds its models in memory.
    pub jobs: NonZeroUsize,
    /// Threads to compute with, shared out between the stages that are computed at a time.
    pub threads: NonZeroUsize,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// Stages that were computed.
    pub computed: usize,
    /// Stages that were on disk already.
    pub reused: usize,
    /// Stages that failed, in the order of the plan.
    pub failures: Vec<Failure>,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// A stage that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub label: String,
    /// What it said.
    pub message: String,
    /// Cells that are left out because of it.
    pub cells: usize,
}

/// Where a stage stands.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Waiting,
    Running,
    Finished(Arc<Finished>),
    Failed(String),
    /// Something it builds on failed.
    Blocked(StageId),
}

/// What the threads share.
struct Board<'a> {
    states: Vec<State>,
    /// Threads that no stage computes with.
    free: usize,
    computed: usize,
    broken: Option<StoreError>,
    recorder: Recorder<'a>,
}

impl<R: Runner> Engine<'_, R> {
    /// Computes whatever is not on disk yet, and writes records as cells are finished.
    ///
    /// A stage that fails keeps only what builds on it from being computed. The order in which stages are finished
    /// changes nothing in the results.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn run(&self) -> Result<Conclusion, StoreError> {
        let recorder = Recorder::new(self.plan, self.store)?;
        let states = self.on_disk()?;
        let reused = states
            .iter()
            .filter(|state| matches!(state, State::Finished(_)))
            .count();
        self.observer.event(Event::Begun {
            reused,
            total: states.len(),
        });
        let mut board = Board {
            states,
            // More stages than threads: one thread each all the same.
            free: self.threads.max(self.jobs).get(),
            computed: 0,
            broken: None,
            recorder,
        };
        board.recorder.settle(&board.states, self.observer)?;
        let board = Mutex::new(board);
        let changed = Condvar::new();
        thread::scope(|scope| {
            for _ in 0..self.jobs.get().min(self.plan.stages.len()) {
                scope.spawn(|| self.work(&board, &changed));
            }
        });
        let board = board.into_inner().unwrap_or_else(PoisonError::into_inner);
        match board.broken {
            Some(error) => Err(error),
            None => Ok(self.conclusion(&board, reused)),
        }
    }

    fn on_disk(&self) -> Result<Vec<State>, StoreError> {
        self.plan
            .stages
            .iter()
            .map(|stage| match self.store.finished(stage)? {
                Found::Finished(finished) => Ok(State::Finished(Arc::new(finished))),
                Found::Absent => Ok(State::Waiting),
                Found::Damaged => {
                    self.observer.event(Event::Damaged { stage });
                    self.store.discard(stage)?;
                    Ok(State::Waiting)
                }
            })
            .collect()
    }

    /// One thread: takes the first stage that can be computed, until there is none left.
    fn work(&self, board: &Mutex<Board<'_>>, changed: &Condvar) {
        let mut guard = lock(board);
        loop {
            if guard.broken.is_some() || self.interrupt.is_set() {
                break;
            }
            guard.block_dependants(self.plan);
            let ready = guard.ready(self.plan);
            let running = guard.running();
            let share = share(guard.free, ready.len(), self.jobs.get() - running);
            let (Some(&id), Some(threads)) = (ready.first(), share) else {
                if running > 0 {
                    guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                break;
            };
            let inputs = guard.inputs(self.plan, self.store, id);
            guard.states[id.index()] = State::Running;
            guard.free -= threads.get();
            drop(guard);
            let result = self.compute(id, &inputs, threads);
            guard = lock(board);
            guard.free += threads.get();
            match result {
                Ok(state) => {
                    guard.computed += usize::from(matches!(state, State::Finished(_)));
                    guard.states[id.index()] = state;
                    guard.block_dependants(self.plan);
                    let Board {
                        states,
                        recorder,
                        broken,
                        ..
                    } = &mut *guard;
                    if let Err(error) = recorder.settle(states, self.observer) {
                        broken.get_or_insert(error);
                    }
                }
                Err(error) => {
                    guard.states[id.index()] = State::Waiting;
                    guard.broken.get_or_insert(error);
                }
            }
            changed.notify_all();
        }
        changed.notify_all();
    }

    fn compute(
        &self,
        id: StageId,
        inputs: &[Input],
        threads: NonZeroUsize,
    ) -> Result<State, StoreError> {
        let stage = self.plan.stage(id);
        let draft = self.store.begin(stage)?;
        let logs = self.store.fresh_logs(&stage.log_directory)?;
        let total = self.plan.stages.len();
        self.observer.event(Event::Started {
            stage,
            number: id.index() + 1,
            total,
        });
        let job = Job {
            stage,
            inputs,
            directory: draft.directory(),
            logs: &logs,
            threads,
            interrupt: &self.interrupt,
            observer: self.observer,
        };
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| self.runner.run(&job)));
        let message = match result {
            Ok(Ok(mut outcome)) => {
                outcome.ledger.seconds = begun.elapsed().as_secs_f64();
                let finished = draft.commit(stage, outcome, &logs)?;
                self.observer.event(Event::Finished {
                    stage,
                    ledger: &finished.outcome.ledger,
                });
                return Ok(State::Finished(Arc::new(finished)));
            }
            Ok(Err(RunnerError::Interrupted)) => {
                self.interrupt.set();
                return Ok(State::Waiting);
            }
            Ok(Err(RunnerError::Failed(cause))) => chain(cause.as_ref()),
            Err(panic) => format!("the program broke off: {}", panic_message(panic.as_ref())),
        };
        self.observer.event(Event::Failed {
            stage,
            message: &message,
        });
        Ok(State::Failed(message))
    }

    fn conclusion(&self, board: &Board<'_>, reused: usize) -> Conclusion {
        let failures = self
            .plan
            .stages
            .iter()
            .zip(&board.states)
            .filter_map(|(stage, state)| match state {
                State::Failed(message) => Some(Failure {
                    label: stage.label(),
                    message: message.clone(),
                    cells: stage.shared_by,
                }),
                State::Waiting | State::Running | State::Finished(_) | State::Blocked(_) => None,
            })
            .collect();
        let unfinished = board
            .states
            .iter()
            .any(|state| matches!(state, State::Waiting));
        Conclusion {
            computed: board.computed,
            reused,
            failures,
            interrupted: unfinished && self.interrupt.is_set(),
        }
    }
}

impl Board<'_> {
    /// What builds on a failed stage cannot be computed.
    fn block_dependants(&mut self, plan: &Plan) {
        for (index, stage) in plan.stages.iter().enumerate() {
            if !matches!(self.states[index], State::Waiting) {
                continue;
            }
            let root = stage
                .inputs
                .iter()
                .find_map(|input| match self.states[input.index()] {
                    State::Failed(_) => Some(*input),
                    State::Blocked(root) => Some(root),
                    State::Waiting | State::Running | State::Finished(_) => None,
                });
            if let Some(root) = root {
                self.states[index] = State::Blocked(root);
            }
        }
    }

    /// The stages that wait for nothing, in the order of the plan.
    fn ready(&self, plan: &Plan) -> Vec<StageId> {
        let finished = |id: &StageId| matches!(self.states[id.index()], State::Finished(_));
        plan.stages
            .iter()
            .enumerate()
            .filter(|(index, stage)| {
                matches!(self.states[*index], State::Waiting) && stage.inputs.iter().all(finished)
            })
            .map(|(index, _)| StageId(index))
            .collect()
    }

    fn running(&self) -> usize {
        let running = self
            .states
            .iter()
            .filter(|state| matches!(state, State::Running));
        running.count()
    }

    fn inputs(&self, plan: &Plan, store: &Store, id: StageId) -> Vec<Input> {
        plan.stage(id)
            .inputs
            .iter()
            .map(|&input| {
                let stage: &Stage = plan.stage(input);
                let State::Finished(finished) = &self.states[input.index()] else {
                    panic!("{} is computed after its inputs", plan.stage(id).label());
                };
                Input {
                    kind: stage.kind,
                    directory: store.stage_directory(stage),
                    outcome: Arc::clone(&finished.outcome),
                }
            })
            .collect()
    }
}

/// Threads of the next stage: the free ones, shared with the other stages that could start now. `None` if there is none.
///
/// `ready`: stages that wait for nothing; `room`: how many more may be computed side by side.
fn share(free: usize, ready: usize, room: usize) -> Option<NonZeroUsize> {
    NonZeroUsize::new(free.div_ceil(ready.min(room).max(1)))
}

/// A thread that panicked outside a stage leaves the board as it was between two changes.
fn lock<'a, 'b>(board: &'a Mutex<Board<'b>>) -> MutexGuard<'a, Board<'b>> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error with its causes, each said once, and the way out of a full disk.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut hint = "";
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            hint = advice(io);
        }
        cause = error.source();
    }
    message + hint
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "no message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_shared_between_the_stages_that_can_start() {
        let share = |free, ready, room| share(free, ready, room).map(NonZeroUsize::get);
        assert_eq!(share(8, 1, 8), Some(8));
        assert_eq!(share(8, 3, 8), Some(3));
        assert_eq!(share(5, 2, 7), Some(3));
        assert_eq!(share(8, 20, 2), Some(4));
        assert_eq!(share(0, 3, 2), None);
    }
}
