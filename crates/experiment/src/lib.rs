//! From an experiment file to records on disk, without knowing how anything is trained.
//!
//! ```text
//! file, --set  ->  Spec  ->  Plan { cells, stages }  ->  Engine + Runner  ->  records
//! ```
//!
//! - [`Spec`] is the experiment as written: its outline is checked, its settings are not read yet.
//! - [`Plan`] is complete: every arm has its whole [`Settings`](preflab_config::Settings), every cell (arm under seed)
//!   its stages. Arms may differ in the keys listed in `varies` and in nothing else. A [`Stage`] is named by the hash of
//!   all it depends on, so that cells share stages, and a stage on disk is never computed twice.
//! - [`Engine`] computes what is missing with a [`Runner`], in the order of the seeds. A stage's directory is complete or
//!   absent; a run that was killed goes on where it was.
//! - [`records`] are what a report reads.
//!
//! # Example
//! ```
//! use preflab_experiment::{Environment, Plan, Spec};
//! let text = r#"
//!     question = "Does DPO match PPO?"
//!     seeds = 3
//!     varies = ["method"]
//!     [base]
//!     task.verse = {}
//!     model = "tiny"
//!     budget.updates = 400
//!     [arms.ppo]
//!     method.ppo = {}
//!     [arms.dpo]
//!     method.dpo = { objective.dpo = { beta = 0.1 } }
//! "#;
//! let spec = Spec::parse("experiments/example.toml".as_ref(), text, &["seeds=2".to_owned()])?;
//! let plan = Plan::new(&spec, Environment { device: "cpu".into(), version: "0.1.0".into() })?;
//! assert_eq!(plan.cells.len(), 6); // the start, PPO and DPO under two seeds
//! # Ok::<(), preflab_experiment::Problems>(())
//! ```
//!
//! # An experiment's directory
//! ```text
//! runs/<experiment>/
//!   records.json  preflab.lock
//!   <arm>/seed-<n>/            record.json, event files, scalars.jsonl; evaluation/ likewise
//!   shared/<kind>/seed-<n>/    curves of stages that several arms share
//!   stages/<kind>-<key>/       artifacts, outcome.json, log/ (a copy of the curves)
//! ```
//!
//! # Layers
//! `[base]`, then the overrides of it, then the arm, its overrides, and the point of a grid are laid over one another key
//! by key. Where a choice is made (`method.dpo`, `budget.updates`: an enum of the settings), the highest layer that makes
//! it wins, and lower layers only give defaults for the choice made.
#![warn(missing_docs)]

mod arms;
mod data_hashes;
mod document;
mod engine;
mod estimate;
mod event;
mod graph;
mod hash;
mod ledger;
mod lock;
mod memory;
mod models;
mod nearest;
mod node;
mod non_finite;
mod outline;
mod overrides;
mod plan;
mod problem;
mod read;
mod read_error;
mod recorder;
pub mod records;
mod runner;
mod side_by_side;
mod sources;
mod spec;
mod stage;
mod stage_kind;
mod store;

pub use arms::{Arm, START};
pub use data_hashes::DataHashes;
pub use document::Document;
pub use engine::{Conclusion, Engine, Failure};
pub use estimate::{Estimate, VOCABULARY};
pub use event::{Event, Observer};
pub use hash::{hash_file, hash_value};
pub use ledger::Ledger;
pub use lock::LOCK_FILE;
pub use memory::{PassSize, RoleMemory, Sizes, StageMemory, Way, stage_memory};
pub use nearest::nearest;
pub use outline::{Outline, bytes, duration};
pub use plan::{Cell, Environment, Plan};
pub use problem::{Place, Problem, Problems};
pub use runner::{Input, Interrupt, Job, Runner, RunnerError, StageOutcome};
pub use side_by_side::side_by_side;
pub use spec::Spec;
pub use stage::{Stage, StageId, StageKey};
pub use stage_kind::StageKind;
pub use store::{Store, StoreError, finished_outcome};
