//! What a user may write: model, optimiser, task, method and device settings, with range checks in the types.
//!
//! Every setting is a plain serde value. Unknown keys are refused, choices are external tags
//! (`objective.dpo = { beta = 0.1 }`), and numbers carry their range in their type, so that the parse error points at
//! the value. Defaults are those of the paper or library named in the field's documentation.
//!
//! # Example
//! ```
//! use preflab_config::{Objective, OptimizerSettings};
//! let objective: Objective = toml::from_str("dpo = { beta = 0.1 }").unwrap();
//! let optimizer: OptimizerSettings = toml::from_str("learning_rate = 1e-4").unwrap();
//! assert_eq!(optimizer.betas, [0.9, 0.999]);
//! # let _ = objective;
//! ```

mod budget;
mod dpo;
mod iterative_dpo;
mod kl;
mod lora;
mod memory;
mod method;
mod model;
mod numbers;
mod objective;
mod optimizer;
mod policy_gradient;
mod policy_loss;
mod ppo;
mod preferences;
mod reward;
mod rollout;
mod rows;
mod sampling;
mod settings;
mod sft;
mod task;
mod task_files;
mod toy;
mod train;

pub use budget::*;
pub use dpo::*;
pub use iterative_dpo::*;
pub use kl::*;
pub use lora::*;
pub use memory::*;
pub use method::*;
pub use model::*;
pub use numbers::*;
pub use objective::*;
pub use optimizer::*;
pub use policy_gradient::*;
pub use policy_loss::*;
pub use ppo::*;
pub use preferences::*;
pub use reward::*;
pub use rollout::*;
pub use rows::*;
pub use sampling::*;
pub use settings::*;
pub use sft::*;
pub use task::*;
pub use toy::*;
pub use train::*;
