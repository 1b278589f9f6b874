//! What every trainer shares: device, optimiser, schedule, random streams, log-probs, supervised fine-tuning.
//!
//! # Shapes
//! `b` rows, `t` tokens, `c` completion tokens, `v` vocabulary, `d` model width.
//!
//! # Conventions
//! Log-probs are natural logs and summed over completion tokens unless a name says `mean`. Masks are 1 on what counts.
//! Randomness comes from [`Streams`] alone; on the CPU the same settings give bitwise the same numbers.

mod accuracy;
mod error;
mod fresh;
mod minibatches;
mod optimizer;
pub mod parity;
mod readings;
mod schedule;
mod sft;
mod snapshot;
mod streams;
mod watch;
mod work;

pub use accuracy::{AccuracyCurve, AccuracyPoint, PairMargins, share_right};
pub use error::TrainError;
pub use fresh::fresh_model;
pub use minibatches::{Minibatches, Order};
pub use optimizer::{Accumulated, Optimizer, OptimizerProgress, Update};
pub use preflab_transformer::{DeviceChoice, DeviceError};
pub use readings::read_together;
pub use schedule::learning_rate;
pub use sft::{SftTrainer, SftUpdate, mean_nll};
pub use snapshot::{Snapshot, StateError, StateReader, StateWriter, Trained};
pub use streams::{Stream, Streams};
pub use watch::Watch;
pub use work::{Parameters, Work, matrix_parameters, policy_parameters, scalar_parameters};
