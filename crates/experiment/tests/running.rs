//! Order, sharing, failures, interrupts.

use std::fs;

use preflab_experiment::records::{CellStatus, ExperimentStatus, Records};
use preflab_experiment::{LOCK_FILE, Plan, Spec, StageKind, Store};

use crate::fake::{
    Fake, Mischief, TWO_ARMS, environment, plan, plan_of, reproducible, run, run_with, three_arms,
};

#[test]
fn every_stage_runs_once_in_the_order_of_the_plan() {
    let (plan, fake, directory) = (
        plan(TWO_ARMS),
        Fake::default(),
        tempfile::tempdir().unwrap(),
    );
    let conclusion = run(&plan, &fake, directory.path());
    let labels: Vec<_> = plan
        .stages
        .iter()
        .map(preflab_experiment::Stage::label)
        .collect();
    assert_eq!(fake.asked(), labels);
    assert_eq!((conclusion.computed, conclusion.reused), (labels.len(), 0));
    assert!(conclusion.failures.is_empty() && !conclusion.interrupted);
    let records = Records::read(directory.path()).unwrap();
    assert_eq!(records.experiment.status, ExperimentStatus::Complete);
    assert_eq!(records.cells.len(), 6);
}

#[test]
fn a_second_run_computes_nothing() {
    let (plan, directory) = (plan(TWO_ARMS), tempfile::tempdir().unwrap());
    run(&plan, &Fake::default(), directory.path());
    let before = Records::read(directory.path()).unwrap();
    let again = Fake::default();
    let conclusion = run(&plan, &again, directory.path());
    assert_eq!(again.asked(), Vec::<String>::new());
    assert_eq!(
        (conclusion.computed, conclusion.reused),
        (0, plan.stages.len())
    );
    assert_eq!(Records::read(directory.path()).unwrap(), before);
}

#[test]
fn an_arm_more_computes_only_what_is_new() {
    let directory = tempfile::tempdir().unwrap();
    run(&plan(TWO_ARMS), &Fake::default(), directory.path());
    let fake = Fake::default();
    run(&plan(&three_arms()), &fake, directory.path());
    assert_eq!(
        fake.asked(),
        [
            "seed 0 · ipo · training",
            "seed 0 · ipo · evaluation",
            "seed 1 · ipo · training",
            "seed 1 · ipo · evaluation"
        ]
    );
}

#[test]
fn a_seed_more_computes_only_its_cells() {
    let directory = tempfile::tempdir().unwrap();
    run(&plan(TWO_ARMS), &Fake::default(), directory.path());
    let fake = Fake::default();
    run(
        &plan_of(TWO_ARMS, &["seeds=3"]).unwrap(),
        &fake,
        directory.path(),
    );
    assert_eq!(fake.asked().len(), 10);
    assert!(
        fake.asked()
            .iter()
            .all(|label| label.starts_with("seed 2 "))
    );
}

#[test]
fn a_failing_stage_takes_only_its_dependants_with_it() {
    for mischief in [Mischief::Fail, Mischief::Panic] {
        let (plan, directory) = (plan(TWO_ARMS), tempfile::tempdir().unwrap());
        let fake = Fake::with("seed 0 · reward model", mischief);
        let conclusion = run(&plan, &fake, directory.path());
        assert_eq!(conclusion.failures.len(), 1);
        assert_eq!(conclusion.failures[0].cells, 1);
        let records = Records::read(directory.path()).unwrap();
        assert_eq!(records.experiment.status, ExperimentStatus::Failed);
        for cell in &records.cells {
            let failed = cell.arm == "ppo" && cell.seed == 0;
            match &cell.status {
                CellStatus::Done => assert!(!failed),
                CellStatus::Failed { stage, message } => {
                    assert!(failed);
                    assert_eq!(*stage, StageKind::RewardModel);
                    let expected = match mischief {
                        Mischief::Panic => "the program broke off: index out of bounds",
                        Mischief::Fail | Mischief::Interrupt => "the loss is NaN at update 3",
                    };
                    assert_eq!(message, expected);
                }
            }
        }
        // The next run tries again, and heals the record.
        run(&plan, &Fake::default(), directory.path());
        assert_eq!(
            Records::read(directory.path()).unwrap().experiment.status,
            ExperimentStatus::Complete
        );
    }
}

#[test]
fn stages_side_by_side_give_the_same_records() {
    let plan = plan(&three_arms());
    let (one, four) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&plan, &Fake::default(), one.path());
    run_with(&plan, &Fake::default(), four.path(), 4).unwrap();
    assert_eq!(reproducible(one.path()), reproducible(four.path()));
    let lock = |directory: &std::path::Path| fs::read_to_string(directory.join(LOCK_FILE)).unwrap();
    assert_eq!(lock(one.path()), lock(four.path()));
}

#[test]
fn a_wish_to_stop_ends_the_run_and_keeps_what_is_done() {
    let (plan, directory) = (plan(TWO_ARMS), tempfile::tempdir().unwrap());
    let conclusion = run(
        &plan,
        &Fake::with("seed 0 · dpo · training", Mischief::Interrupt),
        directory.path(),
    );
    assert!(conclusion.interrupted && conclusion.failures.is_empty());
    let records = Records::read(directory.path()).unwrap();
    assert_eq!(records.experiment.status, ExperimentStatus::Running);
    let cells: Vec<_> = records.cells.iter().map(|cell| cell.arm.as_str()).collect();
    assert_eq!(cells, ["sft", "ppo"]);
    assert_eq!(records.experiment.shared.len(), 6);
}

#[test]
fn costs_are_split_into_training_preparation_and_evaluation() {
    let (plan, directory) = (plan(TWO_ARMS), tempfile::tempdir().unwrap());
    run(&plan, &Fake::default(), directory.path());
    let records = Records::read(directory.path()).unwrap();
    let updates = |arm: &str| {
        let cell = records.cells.iter().find(|cell| cell.arm == arm).unwrap();
        [
            cell.preparation.updates,
            cell.training.updates,
            cell.evaluation.updates,
        ]
    };
    // three updates a stage: task data, sft | + candidates, pairs, reward model | + candidates, pairs, reference
    assert_eq!(updates("sft"), [6, 0, 3]);
    assert_eq!(updates("ppo"), [15, 3, 3]);
    assert_eq!(updates("dpo"), [15, 3, 3]);
}

#[test]
fn curves_are_in_the_cell_of_the_arm_even_if_another_arm_trained_it() {
    let text =
        format!("{TWO_ARMS}\n[arms.again]\nmethod.dpo = {{ objective.dpo = {{ beta = 0.1 }} }}\n");
    let (plan, directory) = (plan(&text), tempfile::tempdir().unwrap());
    run(&plan, &Fake::default(), directory.path());
    for arm in ["sft", "ppo", "dpo", "again"] {
        for name in [
            "scalars.jsonl",
            "events.out.tfevents.1",
            "evaluation/scalars.jsonl",
            "record.json",
        ] {
            let file = directory.path().join(arm).join("seed-1").join(name);
            assert!(file.is_file(), "{}", file.display());
        }
    }
    let curves = fs::read_to_string(directory.path().join("again/seed-0/scalars.jsonl")).unwrap();
    assert_eq!(curves, "seed 0 · dpo · training done\n");
}

#[test]
fn curves_follow_the_settings_when_these_change_and_change_back() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (
        plan(TWO_ARMS),
        plan_of(TWO_ARMS, &["budget.updates=9"]).unwrap(),
    );
    let curves = || fs::read(directory.path().join("dpo/seed-0/events.out.tfevents.1"));
    run(&one, &Fake::default(), directory.path());
    run(&other, &Fake::default(), directory.path());
    fs::write(
        directory.path().join("dpo/seed-0/events.out.tfevents.2"),
        "of the other settings",
    )
    .unwrap();
    let fake = Fake::default();
    run(&one, &fake, directory.path());
    assert!(fake.asked().is_empty());
    assert!(curves().is_ok());
    assert!(
        !directory
            .path()
            .join("dpo/seed-0/events.out.tfevents.2")
            .exists()
    );
}

#[test]
fn a_record_of_other_settings_does_not_outlive_an_interrupted_run() {
    let directory = tempfile::tempdir().unwrap();
    run(&plan(TWO_ARMS), &Fake::default(), directory.path());
    let other = plan_of(TWO_ARMS, &["budget.updates=9"]).unwrap();
    run(
        &other,
        &Fake::with("seed 0 · ppo · training", Mischief::Interrupt),
        directory.path(),
    );
    let cells: Vec<_> = Records::read(directory.path())
        .unwrap()
        .cells
        .into_iter()
        .map(|cell| cell.arm)
        .collect();
    assert_eq!(cells, ["sft", "sft"]);
}

#[test]
fn a_stage_that_was_tampered_with_is_computed_again() {
    let (plan, directory) = (plan(TWO_ARMS), tempfile::tempdir().unwrap());
    run(&plan, &Fake::default(), directory.path());
    let sft = plan
        .stages
        .iter()
        .find(|stage| stage.kind == StageKind::Sft)
        .unwrap();
    fs::write(
        directory
            .path()
            .join("stages")
            .join(sft.directory_name())
            .join("artifact"),
        "else",
    )
    .unwrap();
    let fake = Fake::default();
    run(&plan, &fake, directory.path());
    assert_eq!(fake.asked(), ["seed 0 · supervised start"]);
}

#[test]
fn one_directory_is_for_one_run_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let _held = Store::open(directory.path()).unwrap();
    let error = Store::open(directory.path()).unwrap_err().to_string();
    assert!(
        error.starts_with("another `preflab` is working in"),
        "{error}"
    );
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("runs")).unwrap_err().to_string();
    assert!(
        error.contains("could not create") && error.contains("file/runs/stages"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_written_breaks_the_run_off_without_a_half_written_file() {
    use std::os::unix::fs::PermissionsExt;
    let (plan, directory) = (plan(TWO_ARMS), tempfile::tempdir().unwrap());
    run(&plan, &Fake::default(), directory.path());
    let cell = directory.path().join("dpo");
    fs::set_permissions(&cell, fs::Permissions::from_mode(0o500)).unwrap();
    let superuser = fs::write(cell.join("probe"), "").is_ok();
    let more = plan_of(TWO_ARMS, &["seeds=3"]).unwrap();
    let result = run_with(&more, &Fake::default(), directory.path(), 1);
    fs::set_permissions(&cell, fs::Permissions::from_mode(0o700)).unwrap();
    if superuser {
        eprintln!("skipped: permissions do not bind this user");
        return;
    }
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains("could not create") && error.contains("hint: write to a directory of yours"),
        "{error}"
    );
}

#[test]
fn the_lock_is_an_experiment_that_computes_the_same() {
    let text = format!(
        "{}\n[ablate]\narm = \"dpo\"\ngrid = {{ \"method.dpo.batch_size\" = [8, 16] }}\n",
        TWO_ARMS.replace("width = 16", "rope_theta = 500.0, width = 16")
    );
    let (plan, directory) = (
        plan_of(&text, &["sft.epochs=2"]).unwrap(),
        tempfile::tempdir().unwrap(),
    );
    run(&plan, &Fake::default(), directory.path());
    let lock = directory.path().join(LOCK_FILE);
    let spec = Spec::load(&lock, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let again = Plan::new(&spec, environment()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(again.name, "test");
    assert_eq!(again.stages, plan.stages);
    assert_eq!(again.cells, plan.cells);
    assert_eq!(
        (again.matched, again.varies, again.baseline),
        (plan.matched, plan.varies, plan.baseline)
    );
    let text = fs::read_to_string(&lock).unwrap();
    for line in [
        "overrides = [\"sft.epochs=2\"]",
        "version = \"0.0.0\"",
        "device = \"cpu\"",
        "\"sft.initial-weights.seed-1\" = ",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert_eq!(text.matches("output = ").count(), plan.stages.len());
}

#[test]
fn a_lock_refuses_other_data() {
    let directory = tempfile::tempdir().unwrap();
    let (poems, table) = (
        directory.path().join("poems.jsonl"),
        directory.path().join("table.tsv"),
    );
    fs::write(&poems, "one").unwrap();
    fs::write(&table, "two").unwrap();
    let set = format!("task.verse.source.poems={{ poems = {poems:?}, characters = {table:?} }}");
    let plan = plan_of(TWO_ARMS, &[&set]).unwrap();
    let runs = directory.path().join("runs");
    run(&plan, &Fake::default(), &runs);
    let load =
        || Spec::load(&runs.join(LOCK_FILE), &[]).and_then(|spec| Plan::new(&spec, environment()));
    assert_eq!(load().unwrap().stages, plan.stages);
    fs::write(&poems, "another").unwrap();
    let error = load().unwrap_err().to_string();
    assert!(
        error.contains("is not the file this lock was written for"),
        "{error}"
    );
}
