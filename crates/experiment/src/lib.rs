//! Experiment file to plan, cells and shared stages, store, engine and records.

mod ledger;
mod nearest;
mod node;
mod problem;
mod read;
pub mod records;
mod stage_kind;

pub use ledger::Ledger;
pub use problem::{Place, Problem, Problems};
pub use stage_kind::StageKind;
