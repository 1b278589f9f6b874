//! A runner that writes a few bytes for each stage and remembers what it was asked.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Mutex;

use preflab_experiment::records::{Records, Sample};
use preflab_experiment::{
    Conclusion, Engine, Environment, Interrupt, Job, Ledger, Plan, Problems, Runner, RunnerError,
    Spec, StageKind, StageOutcome, Store, StoreError,
};

/// An experiment of two methods and two seeds.
pub const TWO_ARMS: &str = r#"
question = "Which is better?"
seeds = 2
varies = ["method"]

[base]
task.verse = { train_prompts = 16, test_prompts = 4 }
model = { width = 16, layers = 1, heads = 2, kv_heads = 1, feedforward = 32, context = 128 }
budget.updates = 4

[arms.ppo]
method.ppo = { kl.fixed = 0.05 }
[arms.dpo]
method.dpo = { objective.dpo = { beta = 0.1 } }
"#;

/// `TWO_ARMS` and one arm more.
pub fn three_arms() -> String {
    format!("{TWO_ARMS}\n[arms.ipo]\nmethod.dpo = {{ objective.ipo = {{ eta = 0.1 }} }}\n")
}

/// A CPU, and no particular version.
pub fn environment() -> Environment {
    Environment {
        device: "cpu".to_owned(),
        version: "0.0.0".to_owned(),
    }
}

/// The plan of a text with overrides.
pub fn plan_of(text: &str, overrides: &[&str]) -> Result<Plan, Problems> {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let spec = Spec::parse(Path::new("experiments/test.toml"), text, &overrides)?;
    Plan::new(&spec, environment())
}

/// The plan of a text that has no problems.
pub fn plan(text: &str) -> Plan {
    plan_of(text, &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

/// What a stage is told to do instead of what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// Returns an error.
    Fail,
    /// Panics.
    Panic,
    /// Says that the user asked to stop.
    Interrupt,
}

/// Remembers the stages it was asked for.
#[derive(Default)]
pub struct Fake {
    asked: Mutex<Vec<String>>,
    mischief: BTreeMap<String, Mischief>,
}

impl Fake {
    /// Plays a trick at the stage with a label.
    pub fn with(label: &str, mischief: Mischief) -> Self {
        Self {
            asked: Mutex::default(),
            mischief: [(label.to_owned(), mischief)].into(),
        }
    }

    /// Labels of the stages it was asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Runner for Fake {
    fn run(&self, job: &Job<'_>) -> Result<StageOutcome, RunnerError> {
        let label = job.stage.label();
        self.asked.lock().unwrap().push(label.clone());
        fs::write(job.logs.join("events.out.tfevents.1"), &label)?;
        fs::write(job.logs.join("scalars.jsonl"), format!("{label} begun\n"))?;
        match self.mischief.get(&label) {
            Some(Mischief::Fail) => {
                return Err(RunnerError::failed("the loss is NaN at update 3"));
            }
            Some(Mischief::Panic) => panic!("index out of bounds"),
            Some(Mischief::Interrupt) => return Err(RunnerError::Interrupted),
            None => {}
        }
        // The artifact depends on everything it may depend on, so that a mistake in the wiring changes a number.
        let mut content = format!("{:?} {}", job.stage.seed, job.stage.kind);
        for input in job.inputs {
            content.push_str(&fs::read_to_string(input.directory.join("artifact"))?);
        }
        if job.stage.kind == StageKind::Training {
            content.push_str(&format!("{:?}", job.settings().method));
        }
        fs::write(job.directory.join("artifact"), &content)?;
        fs::write(job.logs.join("scalars.jsonl"), format!("{label} done\n"))?;
        let number = content.bytes().map(u64::from).sum::<u64>();
        Ok(StageOutcome {
            measures: [(format!("{}/number", job.stage.kind), number as f64)].into(),
            ledger: Ledger {
                updates: 3,
                trained_tokens: number,
                ..Ledger::default()
            },
            samples: vec![Sample {
                prompt: "p".into(),
                completion: label,
                scores: BTreeMap::new(),
            }],
            fingerprints: [("initial-weights".to_owned(), format!("{number:x}"))].into(),
            ..StageOutcome::default()
        })
    }
}

/// Runs a plan on some threads.
pub fn run_with(
    plan: &Plan,
    fake: &Fake,
    directory: &Path,
    jobs: usize,
) -> Result<Conclusion, StoreError> {
    let store = Store::open(directory)?;
    Engine {
        plan,
        store: &store,
        runner: fake,
        observer: &(),
        interrupt: Interrupt::new(),
        jobs: NonZeroUsize::new(jobs).unwrap(),
        threads: NonZeroUsize::new(4).unwrap(),
    }
    .run()
}

/// Runs a plan on one thread.
pub fn run(plan: &Plan, fake: &Fake, directory: &Path) -> Conclusion {
    run_with(plan, fake, directory, 1).unwrap()
}

/// Records without wall-clock times, which are all that two runs may differ in.
pub fn reproducible(directory: &Path) -> Records {
    let mut records = Records::read(directory).unwrap();
    records.directory = Path::new("").to_owned();
    for shared in &mut records.experiment.shared {
        shared.ledger.seconds = 0.0;
    }
    for cell in &mut records.cells {
        cell.training.seconds = 0.0;
        cell.preparation.seconds = 0.0;
        cell.evaluation.seconds = 0.0;
        for stage in &mut cell.stages {
            stage.ledger.seconds = 0.0;
        }
    }
    records
}
