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
    /// Train a model on your own data: sft, reward, dpo, kto, ppo, rloo or grpo
    Train(TrainArguments),
    /// Answer prompts with a saved model
    Generate(GenerateArguments),
    /// Score completions with a saved reward model, or give their log-probs under a language model
    Score(ScoreArguments),
    /// Check the paper's claims against finished runs: PASS, FAIL or INCONCLUSIVE, from the records alone
    Claims(ClaimsArguments),
    /// The toy model of arXiv:2406.07327: its figures, its claims, the 3D detector's rates, in seconds
    Toy(ToyArguments),
    /// Show what is logged: every tag with unit, direction and definition
    Metrics(MetricsArguments),
    /// Look at data before training on them
    Data(DataArguments),
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
    /// Stages to compute side by side; the results are the same [default: as many as pay]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
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

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArguments {
    /// sft, reward, dpo, kto, ppo, rloo or grpo; may be named in the file instead
    pub method: Option<String>,
    /// TOML file with the settings; options and `--set` go before it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The start: a checkpoint directory, or the name of a shape in configs/model/ for fresh weights
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
    /// Data file: JSON lines, a JSON array, CSV or Parquet, gzip or plain; may be given several times
    #[arg(long, value_name = "FILE")]
    pub data: Vec<String>,
    /// File of held-out rows; may be given several times
    #[arg(long, value_name = "FILE")]
    pub eval: Vec<String>,
    /// Train on the rows alone that have this value in this column: `--where split=train`; several values of one column are
    /// alternatives
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    pub rows: Vec<String>,
    /// The same for held-out rows, taken from the data where there is no `--eval`
    #[arg(long, value_name = "COLUMN=VALUE")]
    pub eval_where: Vec<String>,
    /// Share of the data's rows to hold out instead
    #[arg(long, value_name = "SHARE")]
    pub eval_share: Option<String>,
    /// DPO family: checkpoint directory of the reference [default: the start]
    #[arg(long, value_name = "DIR")]
    pub reference: Option<String>,
    /// PPO, RLOO and GRPO: directory of the reward model
    #[arg(long, value_name = "DIR")]
    pub reward: Option<String>,
    /// Directory the model ends up in; training goes on there if it was interrupted
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Seed of every random number
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,
    /// Set a key of the settings: `--set objective.dpo.beta=0.2`, `--set optimizer.learning_rate=1e-5`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Show the complete settings, and train nothing
    #[arg(long)]
    pub settings: bool,
    #[command(flatten)]
    pub computing: ComputingArguments,
}

/// On what a command computes, and how it speaks.
#[derive(Debug, Args)]
pub struct ComputingArguments {
    /// Where to compute: cpu, or cuda[:N] in a build with that feature
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Write for machines: JSON
    #[arg(long)]
    pub json: bool,
    /// Say nothing but what went wrong
    #[arg(long, short)]
    pub quiet: bool,
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// Checkpoint directory of a language model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// A prompt; of a model with a chat template, what the user says
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "data",
        required_unless_present = "data"
    )]
    pub prompt: Vec<String>,
    /// Data file whose prompts are answered
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Take a prompt as text, though the model has a chat template
    #[arg(long)]
    pub raw: bool,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value = "128")]
    pub max_tokens: NonZeroUsize,
    /// Temperature; 0 takes the most probable token
    #[arg(long, value_name = "T", default_value = "1.0")]
    pub temperature: f64,
    /// Sample among the K most probable tokens
    #[arg(long, value_name = "K")]
    pub top_k: Option<NonZeroUsize>,
    /// Sample among the fewest tokens that have this probability together
    #[arg(long, value_name = "P", default_value = "1.0")]
    pub top_p: f64,
    /// Answers to each prompt
    #[arg(long, value_name = "N", default_value = "1")]
    pub samples: NonZeroUsize,
    /// Seed of the sampling
    #[arg(long, value_name = "N", default_value = "0")]
    pub seed: u64,
    #[command(flatten)]
    pub computing: ComputingArguments,
}

/// Arguments of `score`.
#[derive(Debug, Args)]
pub struct ScoreArguments {
    /// Checkpoint directory of a reward model, or of a language model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Data file: rows with `prompt` and `completion`, or pairs
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    #[command(flatten)]
    pub computing: ComputingArguments,
}

/// Arguments of `claims`.
#[derive(Debug, Args)]
pub struct ClaimsArguments {
    /// Directories of experiments and of the toy model, or directories that hold several, such as runs
    #[arg(required = true, value_name = "DIR")]
    pub directories: Vec<PathBuf>,
    /// Show every comparison, not only the one that decides a claim
    #[arg(long)]
    pub every: bool,
    /// Write a Markdown table
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
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

/// Arguments of `data`.
#[derive(Debug, Args)]
pub struct DataArguments {
    /// What to do with them.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// One variant for each command under `data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Count what is wrong with rows of any kind, with examples: exit code 0 for nothing but notes, 1 for more, 2 if a file
    /// cannot be read
    Check(DataCheckArguments),
}

/// Arguments of `data check`.
#[derive(Debug, Args)]
pub struct DataCheckArguments {
    /// Files of pairs, labelled rows, scored candidates, texts or prompts: JSON lines, JSON arrays (both plain or gzip), CSV or
    /// Parquet; together they are one split
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Files of the other split, such as the test set: no prompt may stand in both
    #[arg(long, value_name = "FILE")]
    pub split_against: Vec<PathBuf>,
    /// Read rows as pairs, kto, scored, supervised or prompts [default: told from the columns]
    #[arg(long = "as", value_name = "KIND")]
    pub kind: Option<String>,
    /// Read the file's column THEIRS where OURS is meant: `--columns prompt=question`
    #[arg(long, value_name = "OURS=THEIRS")]
    pub columns: Vec<String>,
    /// Look at the rows alone that have this value in this column: `--where split=train`; several values of one column are
    /// alternatives
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    pub rows: Vec<String>,
    /// The same for the other split, taken from the same files where there is no `--split-against`
    #[arg(long, value_name = "COLUMN=VALUE")]
    pub against_where: Vec<String>,
    /// Tokenizer to count with: a tokenizer.json, or the directory it lies in [default: the model's]
    #[arg(long, value_name = "DIR")]
    pub tokenizer: Option<PathBuf>,
    /// Longest sequence, tokens: count what is cut off
    #[arg(long, value_name = "N")]
    pub max_length: Option<NonZeroUsize>,
    /// Model directory: say how likely it finds the pairs, beside what it says itself
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Pairs that the model reads, a random draw
    #[arg(long, value_name = "N", default_value = "256")]
    pub pairs: NonZeroUsize,
    /// Where the model computes: cpu, or cuda[:N] in a build with that feature
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Examples shown of each finding
    #[arg(long, value_name = "N", default_value = "3")]
    pub examples: usize,
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

impl ComputingArguments {
    /// How many threads to compute with.
    pub fn threads(&self) -> NonZeroUsize {
        self.threads
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN)
    }
}
