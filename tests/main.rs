//! The binary from outside: one test program, one link.
//!
//! - `claims`: the paper's claims from a run and a toy model
//! - `cli`: exit code, stdout and stderr of commands, as inline snapshots
//! - `configs`: every shipped experiment and model can be planned
//! - `data_check`: checks of data, and the choice of rows
//! - `preferences`: a data set as a task, and how on-policy its pairs are
//! - `families`: `train` on a checkpoint of every family
//! - `reproducibility`: the same cell twice gives the same numbers
//! - `resuming`: a run that was killed or interrupted
//! - `training`: `train`, `generate` and `score` on models and data of one's own
//! - `rounds`: iterative DPO and the 3D detector
#![allow(clippy::unwrap_used, reason = "tests")]

mod claims;
mod cli;
mod configs;
mod data_check;
mod families;
mod preferences;
mod preflab;
mod reproducibility;
mod results;
mod resuming;
mod rounds;
mod training;
