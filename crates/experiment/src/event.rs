//! What whoever watches a run is told.

use crate::{Ledger, Stage};

/// Watches a run. Events of stages that run side by side come interleaved.
pub trait Observer: Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

/// Watches nothing.
impl Observer for () {
    fn event(&self, _event: Event<'_>) {}
}

/// Something that happened in a run.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The run begins.
    Begun {
        /// Stages that are on disk already.
        reused: usize,
        /// All stages.
        total: usize,
    },
    /// A stage on disk is not what was written there; it is computed again.
    Damaged {
        /// Which.
        stage: &'a Stage,
    },
    /// A stage is being computed.
    Started {
        /// Which.
        stage: &'a Stage,
        /// Its number, counted from 1.
        number: usize,
        /// All stages.
        total: usize,
    },
    /// How far a stage is.
    Progress {
        /// Which.
        stage: &'a Stage,
        /// Steps done.
        done: u64,
        /// Steps to do.
        total: u64,
        /// A few figures.
        note: &'a str,
    },
    /// A stage is done.
    Finished {
        /// Which.
        stage: &'a Stage,
        /// What it cost.
        ledger: &'a Ledger,
    },
    /// A stage failed; what builds on it is left out.
    Failed {
        /// Which.
        stage: &'a Stage,
        /// What it said.
        message: &'a str,
    },
    /// A cell has its record.
    Recorded {
        /// The arm.
        arm: &'a str,
        /// The seed.
        seed: u64,
    },
}
