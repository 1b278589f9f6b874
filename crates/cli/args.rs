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
    /// The toy model of arXiv:2406.07327: its figures, its claims, the 3D detector's rates, in seconds
    Toy(ToyArguments),
    /// Show what is logged: every tag with unit, direction and definition
    Metrics(MetricsArguments),
    /// Compare our numbers with recorded ones of TRL, verl, OpenRLHF and others
    Parity(ParityArguments),
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

/// Arguments of `toy`.
#[derive(Debug, Args)]
pub struct ToyArguments {
    /// Directory to write to
    #[arg(long, value_name = "DIR", default_value = "runs/toy")]
    pub out: PathBuf,
    /// Runs of each arm in each scenario [default: 64]
    #[arg(long, value_name = "N")]
    pub seeds: Option<NonZeroUsize>,
    /// Updates of preference training [default: 500]
    #[arg(long, value_name = "N")]
    pub epochs: Option<NonZeroUsize>,
    /// Set a setting: `--set rejected=own`, `--set learning_rate=0.003`, `--set arms.dpo.preference.dpo.beta=0.05`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Sweep the learning rate and the strength of regularisation too, and draw the phase map
    #[arg(long)]
    pub map: bool,
    /// Look too for constructions in which the likelihood of unseen responses rises
    #[arg(long)]
    pub constructions: bool,
    /// Show the settings with `--set` applied, and compute nothing
    #[arg(long)]
    pub settings: bool,
    /// Write for machines: JSON
    #[arg(long)]
    pub json: bool,
    /// Say nothing but what went wrong
    #[arg(long, short)]
    pub quiet: bool,
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

/// Arguments of `parity`.
#[derive(Debug, Args)]
pub struct ParityArguments {
    /// Directory of golden figures [default: $PREFLAB_GOLDEN, or the repository's tests/golden]
    pub directory: Option<PathBuf>,
    /// Write for machines: JSON
    #[arg(long)]
    pub json: bool,
}
