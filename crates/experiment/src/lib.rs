//! Experiment file to plan, cells and shared stages, store, engine and records.

mod ledger;
pub mod records;
mod stage_kind;

pub use ledger::Ledger;
pub use stage_kind::StageKind;
