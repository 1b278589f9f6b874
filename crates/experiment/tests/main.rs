//! The experiment crate from outside, with a runner that computes nothing slow.
//!
//! - `planning`: which cells and stages a file becomes, and that the order of arms changes nothing
//! - `problems`: what a wrong file is answered with
//! - `running`: order, sharing, failures, interrupts
//! - `resuming`: a run that was killed at any stage ends in the same records
#![allow(clippy::unwrap_used, reason = "tests")]

mod fake;
mod planning;
mod problems;
mod resuming;
mod running;
