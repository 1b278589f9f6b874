//! Experiment file to plan, cells and shared stages, store, engine and records.

mod arms;
mod data_hashes;
mod engine;
mod event;
mod graph;
mod hash;
mod ledger;
mod lock;
mod models;
mod nearest;
mod node;
mod overrides;
mod plan;
mod problem;
mod read;
mod recorder;
pub mod records;
mod runner;
mod spec;
mod stage;
mod stage_kind;
mod store;

pub use arms::{Arm, START};
pub use data_hashes::DataHashes;
pub use engine::{Conclusion, Engine, Failure};
pub use event::{Event, Observer};
pub use ledger::Ledger;
pub use lock::LOCK_FILE;
pub use plan::{Cell, Environment, Plan};
pub use problem::{Place, Problem, Problems};
pub use runner::{Input, Interrupt, Job, Runner, RunnerError, StageOutcome};
pub use spec::Spec;
pub use stage::{Stage, StageId, StageKey};
pub use stage_kind::StageKind;
pub use store::{Store, StoreError, finished_outcome};
