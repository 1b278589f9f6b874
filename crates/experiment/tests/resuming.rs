//! A run that was killed ends, run again, in the same records.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use preflab_experiment::records::CELL_FILE;
use preflab_experiment::{Job, LOCK_FILE, Runner, RunnerError, StageOutcome, Store};

use crate::fake::{Fake, TWO_ARMS, plan, reproducible, run};

/// What a killed process leaves behind at its n-th stage: nothing of what was in memory, and a half-written directory.
struct KilledAt {
    fake: Fake,
    stage: usize,
    asked: AtomicUsize,
}

impl Runner for KilledAt {
    fn run(&self, job: &Job<'_>) -> Result<StageOutcome, RunnerError> {
        if self.asked.fetch_add(1, Ordering::Relaxed) < self.stage {
            return self.fake.run(job);
        }
        fs::write(job.logs.join("scalars.jsonl"), "half a li")?;
        fs::write(job.logs.join("events.out.tfevents.0"), "half an event")?;
        Err(RunnerError::Interrupted)
    }
}

/// Half-written files as a kill in the middle of a write leaves them.
fn litter(directory: &Path, name: &str) {
    let partial = directory.join("stages").join(format!(".partial-{name}"));
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("artifact"), "half").unwrap();
    fs::write(directory.join("sft").join(".partial-record.json"), "{").ok();
    fs::write(directory.join(".partial-preflab.lock"), "[").unwrap();
}

fn kill_at(plan: &preflab_experiment::Plan, directory: &Path, stage: usize) {
    let killed = KilledAt {
        fake: Fake::default(),
        stage,
        asked: AtomicUsize::new(0),
    };
    let store = Store::open(directory).unwrap();
    let conclusion = preflab_experiment::Engine {
        plan,
        store: &store,
        runner: &killed,
        observer: &(),
        interrupt: preflab_experiment::Interrupt::new(),
        jobs: std::num::NonZeroUsize::MIN,
        threads: std::num::NonZeroUsize::MIN,
    }
    .run()
    .unwrap();
    assert_eq!(conclusion.computed, stage);
    drop(store);
    litter(directory, &plan.stages[stage].directory_name());
}

#[test]
fn a_run_killed_at_any_stage_ends_in_the_same_records() {
    let plan = plan(TWO_ARMS);
    let whole = tempfile::tempdir().unwrap();
    run(&plan, &Fake::default(), whole.path());
    let lock = fs::read_to_string(whole.path().join(LOCK_FILE)).unwrap();
    for stage in 0..plan.stages.len() {
        let directory = tempfile::tempdir().unwrap();
        kill_at(&plan, directory.path(), stage);
        let fake = Fake::default();
        let conclusion = run(&plan, &fake, directory.path());
        assert_eq!(
            (conclusion.computed, conclusion.reused),
            (plan.stages.len() - stage, stage)
        );
        assert_eq!(reproducible(directory.path()), reproducible(whole.path()));
        assert_eq!(
            fs::read_to_string(directory.path().join(LOCK_FILE)).unwrap(),
            lock
        );
        for curves in [
            "ppo/seed-1/scalars.jsonl",
            "sft/seed-0/evaluation/scalars.jsonl",
        ] {
            let read = |root: &Path| fs::read_to_string(root.join(curves)).unwrap();
            assert_eq!(read(directory.path()), read(whole.path()));
        }
        let left: Vec<_> = fs::read_dir(directory.path().join("stages"))
            .unwrap()
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .starts_with(".partial")
            })
            .collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(
            !directory
                .path()
                .join("dpo/seed-0/events.out.tfevents.0")
                .exists()
        );
    }
}

#[test]
fn a_kill_between_a_stage_and_its_records_loses_nothing() {
    let (plan, directory) = (plan(TWO_ARMS), tempfile::tempdir().unwrap());
    run(&plan, &Fake::default(), directory.path());
    let whole = reproducible(directory.path());
    for file in [
        "records.json",
        LOCK_FILE,
        "dpo/seed-1/record.json",
        "dpo/seed-1/scalars.jsonl",
    ] {
        fs::remove_file(directory.path().join(file)).unwrap();
    }
    let fake = Fake::default();
    run(&plan, &fake, directory.path());
    assert!(fake.asked().is_empty());
    assert_eq!(reproducible(directory.path()), whole);
    assert!(
        directory
            .path()
            .join("dpo/seed-1")
            .join(CELL_FILE)
            .is_file()
    );
    assert!(directory.path().join("dpo/seed-1/scalars.jsonl").is_file());
}
