//! A real run that is killed at any stage ends, run again, in the same records and curves.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::preflab::Workplace;
use crate::results::Results;

const PLAIN: [&str; 2] = ["run", "experiment.toml"];

/// Adapters are trained, and activations recomputed.
const ADAPTERS: [&str; 8] = [
    "run",
    "experiment.toml",
    "--set",
    "lora.rank=2",
    "--set",
    "reward.lora.rank=2",
    "--set",
    "memory.recompute=true",
];

/// Runs until a stage begins, waits a little, and kills the process (on Unix by SIGKILL). False if it ended before.
fn killed_at(place: &Workplace, arguments: &[&str], stage: usize, wait: Duration) -> bool {
    let mut child = place
        .command(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = format!("[{stage}/");
    let begun = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .any(|line| line.unwrap().starts_with(&start));
    if begun {
        thread::sleep(wait);
    }
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

#[test]
fn a_run_killed_at_any_stage_ends_in_the_same_results() {
    let whole = Workplace::with_training();
    assert!(whole.output(&["run", "experiment.toml"]).status.success());
    let expected = Results::read(&whole.path("runs/experiment"));
    let stages = expected.stages();
    let mut killed = 0;
    for stage in 1..=stages {
        let place = Workplace::with_training();
        killed += usize::from(killed_at(
            &place,
            &PLAIN,
            stage,
            Duration::from_millis(3 * stage as u64),
        ));
        let output = place.output(&["run", "experiment.toml"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        expected.assert_equal(
            &Results::read(&place.path("runs/experiment")),
            &format!("killed at stage {stage}"),
        );
    }
    assert!(
        killed > stages / 2,
        "only {killed} of {stages} runs were still at work when they were killed"
    );
}

#[test]
fn a_run_killed_again_and_again_gets_there() {
    for arguments in [&PLAIN[..], &ADAPTERS] {
        let whole = Workplace::with_training();
        let output = whole.output(arguments);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let expected = Results::read(&whole.path("runs/experiment"));
        let place = Workplace::with_training();
        for stage in 1..=expected.stages() {
            killed_at(&place, arguments, stage, Duration::from_millis(2));
        }
        assert!(place.output(arguments).status.success());
        expected.assert_equal(
            &Results::read(&place.path("runs/experiment")),
            &format!("killed at every stage of {arguments:?}"),
        );
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_between_two_updates_and_says_how_to_go_on() {
    let place = Workplace::with_training();
    let mut child = place
        .command(&[
            "run",
            "experiment.toml",
            "--set",
            "sft.max_updates=1000000",
            "--set",
            "sft.epochs=1000000",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("supervised start")));
    let asked = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(asked.success());
    let said: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said:?}");
    assert_eq!(
        said.last().map(String::as_str),
        Some("interrupted: finished stages are kept; run the same command again to continue")
    );
}

#[cfg(unix)]
#[test]
fn a_write_that_fails_leaves_nothing_half_written() {
    let whole = Workplace::with_training();
    assert!(whole.output(&["run", "experiment.toml"]).status.success());
    let expected = Results::read(&whole.path("runs/experiment"));
    let place = Workplace::with_training();
    // A limit of 4 KiB a file stands in for a full disk: weights and records do not fit, smaller files do.
    let limited = format!(
        "trap '' XFSZ; ulimit -f 4; exec '{}' run experiment.toml",
        env!("CARGO_BIN_EXE_preflab")
    );
    let output = place.shell(&limited).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("File too large"), "{said}");
    let stages = place.path("runs/experiment/stages");
    for entry in std::fs::read_dir(&stages).unwrap() {
        let entry = entry.unwrap().path();
        assert!(
            entry.join("outcome.json").is_file(),
            "{} is half-written",
            entry.display()
        );
    }
    assert!(place.output(&["run", "experiment.toml"]).status.success());
    expected.assert_equal(
        &Results::read(&place.path("runs/experiment")),
        "after a failed write",
    );
}
