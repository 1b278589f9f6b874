//! Both sides of a case, round after round.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::cases::{Case, Peer, Python};
use crate::rounds::{Process, Round, machine_cpu};

/// What was measured of one side.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    pub(crate) library: String,
    /// Seconds of a step, one number a round.
    pub(crate) seconds: Vec<f64>,
    /// MiB.
    pub(crate) peak: Option<f64>,
    pub(crate) padding: f64,
    /// Computed tokens as a share of those of the rows, padding aside.
    pub(crate) computed: f64,
}

/// A case beside one peer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    pub(crate) case: String,
    pub(crate) note: String,
    pub(crate) ours: Measured,
    pub(crate) peer: Measured,
    pub(crate) tokens_per_step: f64,
    /// Largest share of the machine that other processes used in a round.
    pub(crate) others: Option<f64>,
}

impl Comparison {
    /// The peer's time over ours, one number a round.
    pub(crate) fn ratios(&self) -> Vec<f64> {
        let rounds = self.peer.seconds.iter().zip(&self.ours.seconds);
        rounds.map(|(theirs, ours)| theirs / ours).collect()
    }
}

/// How often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repetition {
    pub(crate) warmup: usize,
    pub(crate) rounds: usize,
}

struct Running {
    process: Process,
    rounds: Vec<Round>,
    others: Option<f64>,
}

impl Running {
    fn start(command: Command, errors: &Path) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            process: Process::start(command, errors)?,
            rounds: Vec::new(),
            others: None,
        })
    }

    fn round(&mut self) -> Result<(), Box<dyn Error>> {
        let before = (self.process.cpu(), machine_cpu());
        let round = self.process.round()?;
        let after = (self.process.cpu(), machine_cpu());
        if let ((Some(own), Some(all)), (Some(own_now), Some(all_now))) = (before, after) {
            let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
            let others = ((all_now - all) - (own_now - own)) / (cores * round.seconds);
            self.others = Some(self.others.unwrap_or(0.0).max(others));
        }
        self.rounds.push(round);
        Ok(())
    }

    fn measured(&self, steps: usize, skipped: usize) -> Measured {
        let rounds = &self.rounds[skipped..];
        Measured {
            library: self.process.ready.library.clone(),
            seconds: rounds
                .iter()
                .map(|round| round.seconds / steps as f64)
                .collect(),
            peak: self.process.peak(),
            padding: rounds.last().map_or(0.0, |round| round.padding),
            computed: self.process.ready.computed,
        }
    }
}

/// The command that runs our side of a workload.
pub(crate) fn ours(workload: &Path) -> Result<Command, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--child").arg(workload);
    Ok(command)
}

/// Our side alone.
pub(crate) fn alone(
    case: &Case,
    repetition: Repetition,
    directory: &Path,
) -> Result<Measured, Box<dyn Error>> {
    let workload = directory.join("workload.json");
    case.workload.write(&workload)?;
    let mut us = Running::start(ours(&workload)?, &directory.join("ours.err"))?;
    for _ in 0..repetition.warmup + repetition.rounds {
        us.round()?;
    }
    Ok(us.measured(case.workload.steps, repetition.warmup))
}

/// Rounds of ours and of the peer by turns; `None` if the peer is not installed.
pub(crate) fn compare(
    case: &Case,
    peer: &Peer,
    python: &Python,
    repetition: Repetition,
    directory: &Path,
) -> Result<Option<Comparison>, Box<dyn Error>> {
    let workload = directory.join("workload.json");
    case.workload.write(&workload)?;
    let Some(command) = python.command(peer, &workload, case.workload.threads) else {
        return Ok(None);
    };
    let mut them = Running::start(command, &directory.join("peer.err"))?;
    let mut us = Running::start(ours(&workload)?, &directory.join("ours.err"))?;
    for round in 0..repetition.warmup + repetition.rounds {
        us.round()?;
        them.round()?;
        if round + 1 == repetition.warmup {
            (us.others, them.others) = (None, None);
        }
    }
    let steps = case.workload.steps;
    let others = [us.others, them.others].into_iter().flatten();
    Ok(Some(Comparison {
        case: case.name.to_owned(),
        note: peer.note.to_owned(),
        ours: us.measured(steps, repetition.warmup),
        peer: them.measured(steps, repetition.warmup),
        tokens_per_step: case.workload.tokens_per_step(),
        others: others.reduce(f64::max),
    }))
}
