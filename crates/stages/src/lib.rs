//! The stages of an experiment, from task data to evaluation, run on the trainers.
//!
//! ```text
//! task data -> supervised start -> candidates -> pairs -> reference log-probs -> DPO family
//!                                                      -> reward model        -> PPO, RLOO, GRPO, best-of-n
//! ```

mod answers;
mod artifacts;
mod budget;
pub mod candidates;
mod error;
pub mod evaluation;
mod iterative;
mod models;
mod on_policy;
pub mod pairs;
mod policy_gradient;
mod preference;
mod reward;
mod runner;
mod task_data;
pub mod text_measures;

pub use error::StageError;
pub use on_policy::on_policy;
pub use runner::LocalRunner;
pub use task_data::TaskData;
