//! The same experiment twice gives the same numbers, bit by bit, however it is run on the CPU.

use crate::preflab::Workplace;
use crate::results::Results;

fn results(arguments: &[&str]) -> Results {
    let place = Workplace::with_training();
    let output = place.output(&[&["run", "experiment.toml"], arguments].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Results::read(&place.path("runs/experiment"))
}

#[test]
fn threads_and_stages_side_by_side_change_no_number() {
    let expected = results(&[]);
    for arguments in [["--threads", "1"], ["--threads", "3"], ["--jobs", "3"]] {
        expected.assert_equal(&results(&arguments), &format!("{arguments:?}"));
    }
}

#[test]
fn the_lock_computes_the_same_numbers() {
    let place = Workplace::with_training();
    assert!(place.output(&["run", "experiment.toml"]).status.success());
    let output = place.output(&["run", "runs/experiment/preflab.lock", "--out", "again"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Results::read(&place.path("runs/experiment"))
        .assert_equal(&Results::read(&place.path("again")), "from the lock");
}

#[test]
fn an_arm_more_changes_no_number_of_the_others() {
    let place = Workplace::with_training();
    assert!(place.output(&["run", "experiment.toml"]).status.success());
    let before = Results::read(&place.path("runs/experiment"));
    let more = [
        "run",
        "experiment.toml",
        "--set",
        "arms.ipo={ method.dpo = { objective.ipo = {}, batch_size = 8 } }",
    ];
    let output = place.output(&more);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let after = Results::read(&place.path("runs/experiment"));
    assert!(after.cells().len() > before.cells().len());
    after
        .only(before.cells())
        .assert_equal(&before, "with one arm more");
}
