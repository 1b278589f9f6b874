//! Runs the binary in a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory to run the binary in.
pub struct Workplace(tempfile::TempDir);

impl Workplace {
    /// An empty one.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One with a small experiment in `small.toml`.
    pub fn with_experiment() -> Self {
        let place = Self::new();
        place.write("small.toml", SMALL);
        place
    }

    /// One with an experiment in `experiment.toml` that trains in a fraction of a second.
    pub fn with_training() -> Self {
        let place = Self::new();
        place.write("experiment.toml", TRAINING);
        place
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file in it.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The binary with arguments, to be run in it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_preflab"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("RUST_BACKTRACE")
            .env("COLUMNS", "100");
        command
    }

    /// A line of shell, to be run in it.
    #[cfg(unix)]
    pub fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", line]).current_dir(self.0.path());
        command
    }

    /// What the binary answers.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What the binary answers, as a snapshot holds it.
    pub fn snapshot(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let text = format!(
            "exit code: {}\n----- stdout -----\n{}\n----- stderr -----\n{}",
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap().trim_end(),
            String::from_utf8(output.stderr).unwrap().trim_end()
        );
        text.replace(&self.0.path().display().to_string(), "[DIR]")
            .replace(env!("CARGO_PKG_VERSION"), "[VERSION]")
    }
}

/// A plan for people without most of what is matched, which is every default there is.
pub fn shortened(plan: &str) -> String {
    let (before, rest) = plan.split_once("matched:\n").unwrap();
    let (matched, after) = rest.split_once("\n\n").unwrap();
    let budget = matched
        .lines()
        .find(|line| line.starts_with("  budget: "))
        .unwrap();
    format!("{before}matched:\n  ...\n{budget}\n  ...\n\n{after}")
}

/// An experiment that plans at once.
const SMALL: &str = r#"question = "Does it plan?"
seeds = 2
varies = ["method"]

[base]
task.verse = { train_prompts = 16, test_prompts = 4 }
model = { width = 64, layers = 2, heads = 4, kv_heads = 2, feedforward = 128, context = 128 }
budget.updates = 4

[arms.ppo]
method.ppo = { kl.fixed = 0.05 }
[arms.dpo]
method.dpo = { objective.dpo = { beta = 0.1 } }
"#;

/// An experiment that trains in a fraction of a second.
const TRAINING: &str = r#"question = "Does it train?"
seeds = 1
varies = ["method"]

[base]
task.verse = { train_prompts = 32, validation_prompts = 8, test_prompts = 8, forms = ["quatrain5"] }
model = { width = 16, layers = 1, heads = 2, kv_heads = 1, feedforward = 32, context = 128 }
sft = { max_updates = 8, batch_size = 8 }
sampling.max_tokens = 24
preferences = { candidates = 4, pairs = 16, held_out_pairs = 8, sampling.max_tokens = 24 }
reward = { max_updates = 4, batch_size = 8 }
budget.updates = 8
monitoring = { every = 2, probes = 4 }

[arms.ppo]
method.ppo = { batch_size = 8 }
[arms.dpo]
method.dpo = { objective.dpo = {}, batch_size = 8 }
"#;
