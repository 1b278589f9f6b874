//! What was typed, without any effect: what it means is found out in `request.rs` and the commands.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Matched comparisons of ways to align language models with preferences: reward models, PPO and the DPO family.
#[derive(Debug, Parser)]
#[command(name = "preflab", version, propagate_version = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One variant for each command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an experiment: train every cell, evaluate, report; run again to go on after an interruption
    Run(RunArguments),
    /// Show what an experiment would compute, what is on disk already, what is matched; train nothing
    Plan(PlanArguments),
    /// Make the report again from what is on disk
    Report(ReportArguments),
    /// Show what is logged: every tag with unit, direction and definition
    Metrics(MetricsArguments),
}

/// An experiment and how it is changed.
#[derive(Debug, Args)]
pub struct ExperimentArguments {
    /// Experiment file, such as experiments/quickstart.toml, or the preflab.lock of an earlier run
    pub file: PathBuf,
    /// Set a key of the file: `--set budget.updates=100`, `--set seeds=1`, `--set arms.dpo.method.dpo.batch_size=16`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Directory to write to, instead of runs/<experiment>
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where to compute: cpu, or cuda[:N] in a build with that feature
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Write for machines: JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    #[command(flatten)]
    pub experiment: ExperimentArguments,
    /// Threads to compute with, all stages together [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Stages to compute side by side; the results are the same
    #[arg(long, value_name = "N", default_value = "1")]
    pub jobs: NonZeroUsize,
    /// Say nothing but what went wrong
    #[arg(long, short)]
    pub quiet: bool,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    pub experiment: ExperimentArguments,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// Directory of an experiment, such as runs/quickstart
    pub directory: PathBuf,
    /// Arm to compare the others with; may be given several times
    #[arg(long, value_name = "ARM")]
    pub baseline: Vec<String>,
    /// Write for machines: JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `metrics`.
#[derive(Debug, Args)]
pub struct MetricsArguments {
    /// Show this tag alone
    pub tag: Option<String>,
    /// Write for machines: JSON
    #[arg(long)]
    pub json: bool,
}
