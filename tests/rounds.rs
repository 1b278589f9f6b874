//! Rounds of sampling, judging and training, and the 3D detector, from the command line.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use preflab_experiment::records::{CellRecord, Records};
use preflab_metrics::{Metric, read_scalars};

use crate::preflab::Workplace;
use crate::results::Results;

/// Arms of `experiments/paper/iterative_dpo.toml` in small: budget and labels of both kinds.
const ROUNDS: &str = r#"question = "Do rounds train?"
seeds = 1
varies = ["method"]

[base]
task.verse = { train_prompts = 32, validation_prompts = 8, test_prompts = 8, forms = ["quatrain5"] }
model = { width = 16, layers = 1, heads = 2, kv_heads = 1, feedforward = 32, context = 128 }
sft = { max_updates = 8, batch_size = 8 }
sampling.max_tokens = 24
preferences = { candidates = 4, pairs = 16, held_out_pairs = 8, sampling.max_tokens = 24, tolerance = 0.0 }
reward = { max_updates = 4, batch_size = 8 }
budget.generated-tokens = 9000
monitoring = { every = 2, probes = 4 }

[arms.one-shot]
method.iterative-dpo = { objective.dpo = {}, rounds = 1, epochs = 2, batch_size = 8 }
[arms.iterative]
method.iterative-dpo = { objective.dpo = {}, rounds = 3, epochs = 2, batch_size = 8 }
[arms.iterative-rm]
method.iterative-dpo = { objective.dpo = {}, rounds = 3, labels = "reward-model", reference = "previous", batch_size = 8 }
[arms.ppo]
method.ppo = { batch_size = 8, epochs = 1 }
"#;

fn place() -> Workplace {
    let place = Workplace::new();
    place.write("experiment.toml", ROUNDS);
    place
}

fn run(place: &Workplace, arguments: &[&str]) {
    let output = place.output(&[&["run", "experiment.toml"], arguments].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn cell<'r>(records: &'r Records, arm: &str) -> &'r CellRecord {
    records.cells.iter().find(|cell| cell.arm == arm).unwrap()
}

#[test]
fn rounds_keep_to_the_generated_tokens_and_go_on_where_the_last_stopped() {
    let place = place();
    run(&place, &[]);
    let records = Records::read(&place.path("runs/experiment")).unwrap();
    for arm in ["one-shot", "iterative", "iterative-rm", "ppo"] {
        let cell = cell(&records, arm);
        let tokens = cell.training.generated_tokens;
        // Whole batches of answers: at most one batch is missing or, in a first round, too many.
        assert!((3000..=13_000).contains(&tokens), "{arm}: {tokens}");
        assert!(cell.training.updates > 0, "{arm}");
    }
    let of_rm = &cell(&records, "iterative-rm").training;
    assert!(of_rm.reward_calls > 0);
    assert_eq!(cell(&records, "iterative").training.reward_calls, 0);
    let rounds = cell(&records, "iterative");
    let curves = read_scalars(&records.cell_directory(rounds).join("scalars.jsonl")).unwrap();
    let steps: Vec<u64> = curves
        .series(Metric::Loss)
        .iter()
        .map(|(step, _)| *step)
        .collect();
    let expected: Vec<u64> = (1..=rounds.training.updates).collect();
    assert_eq!(steps, expected, "one step axis over all rounds");
    let sampled: Vec<u64> = curves
        .series(Metric::ObjectiveGold)
        .iter()
        .map(|(step, _)| *step)
        .collect();
    assert_eq!(sampled.len(), 3, "a line for each round: {sampled:?}");
    assert_eq!(sampled[0], 0);
    // Only the first round looks before its first update.
    let looks = curves.series(Metric::DynamicsMassOutside);
    assert!(looks.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn the_detectors_verdict_is_in_the_records_the_report_and_tensorboard() {
    let place = place();
    run(&place, &[]);
    let directory = place.path("runs/experiment");
    let records = Records::read(&directory).unwrap();
    let measures = &cell(&records, "iterative").measures;
    for metric in [
        Metric::DetectorDrop,
        Metric::DetectorDegradation,
        Metric::DetectorDispersion,
        Metric::DetectorFlagged,
        Metric::DynamicsChangeChosen,
        Metric::DynamicsMeanLogpRejected,
    ] {
        assert!(measures.contains_key(metric.tag()), "{metric}");
    }
    assert!(
        !cell(&records, "ppo")
            .measures
            .contains_key(Metric::DetectorDrop.tag()),
        "no pairs, no verdict"
    );
    let report = std::fs::read_to_string(directory.join("report.md")).unwrap();
    assert!(
        report.contains("Likelihoods and the 3D detector"),
        "{report}"
    );
    let events = std::fs::read_dir(directory.join("iterative/seed-0"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("tfevents"))
        .unwrap();
    let bytes = std::fs::read(events).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("dynamics/verdict") && text.contains("lagged**"));
}

#[test]
fn rounds_killed_and_run_again_end_in_the_same_bits() {
    let whole = place();
    run(&whole, &[]);
    let expected = Results::read(&whole.path("runs/experiment"));
    let threads = place();
    run(&threads, &["--threads", "1", "--jobs", "2"]);
    expected.assert_equal(
        &Results::read(&threads.path("runs/experiment")),
        "one thread, two jobs",
    );
    let mut killed = 0;
    let place = place();
    for _ in 0..3 {
        let mut child = place
            .command(&["run", "experiment.toml"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .any(|line| line.unwrap().ends_with("iterative · training"));
        if begun {
            thread::sleep(Duration::from_millis(20));
            child.kill().unwrap();
            killed += 1;
        }
        child.wait().unwrap();
    }
    assert!(killed > 0, "never killed while it trained in rounds");
    run(&place, &[]);
    expected.assert_equal(
        &Results::read(&place.path("runs/experiment")),
        "killed while training in rounds",
    );
}

#[test]
fn a_budget_that_rounds_cannot_share_is_refused_with_a_way_out() {
    let place = place();
    let output = place.output(&["plan", "experiment.toml", "--set", "budget.flops=1e12"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("cannot be divided among the rounds") && said.contains("hint:"),
        "{said}"
    );
}
