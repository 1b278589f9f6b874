//! A preference data set as a task with a reward model as an arm, and how on-policy pairs are.

use std::collections::BTreeMap;

use preflab_data::check::CheckReport;
use preflab_experiment::records::{CellRecord, Records};
use preflab_metrics::{Metric, SCALARS_FILE, read_scalars};

use crate::preflab::Workplace;

/// Transcripts in which a polite answer is preferred to a rude one.
pub fn transcripts(rows: std::ops::Range<usize>) -> String {
    let things = ["tea", "rain", "bread", "maps", "chess"];
    let row = |i: usize| {
        let thing = things[i % things.len()];
        let prompt = format!("\\n\\nHuman: tell me of {thing} {i}\\n\\nAssistant:");
        format!(
            "{{\"chosen\": \"{prompt} {thing} is fine, thank you\", \"rejected\": \"{prompt} go away, no {thing}\"}}\n"
        )
    };
    rows.map(row).collect()
}

const EXPERIMENT: &str = r#"
question = "Which of the two prefers politeness?"
seeds = 2
varies = ["method"]
baseline = "dpo"
[base]
task.preferences = { train = "pairs.jsonl", held_out = 0.2 }
tokenizer.bpe.vocabulary = 300
model = { width = 16, layers = 1, heads = 2, kv_heads = 1, feedforward = 32, context = 128 }
sft = { epochs = 2, batch_size = 16, on_prompts = true, optimizer.learning_rate = 5e-3 }
sampling.max_tokens = 8
budget.updates = 12
monitoring = { every = 2, probes = 4, accuracy_pairs = 16 }
evaluation.prompts = 4
[arms.dpo]
method.dpo = { objective.dpo = { beta = 0.1 }, batch_size = 16, optimizer.learning_rate = 3e-3 }
[arms.reward]
method.reward = { batch_size = 16, optimizer.learning_rate = 3e-3 }
"#;

#[test]
fn a_reward_model_and_dpo_are_compared_by_accuracy_on_the_same_pairs() {
    let place = Workplace::new();
    place.write("pairs.jsonl", &transcripts(0..160));
    place.write("experiment.toml", EXPERIMENT);
    let output = place.output(&["run", "experiment.toml", "--out", "out", "-q"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let records = Records::read(&place.path("out")).unwrap();
    assert_eq!(records.cells.len(), 6);
    let cells: BTreeMap<(&str, u64), &CellRecord> = records
        .cells
        .iter()
        .map(|cell| ((cell.arm.as_str(), cell.seed), cell))
        .collect();
    let steps: Vec<u64> = (0..=12).step_by(2).collect();
    for seed in [0, 1] {
        for arm in ["dpo", "reward"] {
            let cell = cells[&(arm, seed)];
            for metric in [
                Metric::AccuracyHeldOut,
                Metric::AccuracyGap,
                Metric::AccuracyFluctuation,
                Metric::AccuracyDrop,
            ] {
                assert!(cell.measures.contains_key(metric.tag()), "{arm}: {metric}");
            }
            let file = records.cell_directory(cell).join(SCALARS_FILE);
            let curves = read_scalars(&file).unwrap();
            let held_out = curves.series(Metric::AccuracyHeldOut);
            let looked: Vec<u64> = held_out.iter().map(|&(step, _)| step).collect();
            assert_eq!(looked, steps, "{arm}");
            let last = held_out.last().unwrap().1;
            assert_eq!(last, cell.measures[Metric::AccuracyHeldOut.tag()]);
            assert!(last > 0.8, "{arm}, seed {seed}: {last}");
        }
        let reward = cells[&("reward", seed)];
        let right = &reward.per_prompt[Metric::EvalAccuracy.tag()];
        let share = right.iter().sum::<f64>() / right.len() as f64;
        assert!((share - reward.measures[Metric::EvalAccuracy.tag()]).abs() < 1e-12);
        assert!(reward.samples.is_empty());
        // There is no gold score to be told, and policies still show what they say.
        let dpo = cells[&("dpo", seed)];
        assert!(!dpo.measures.contains_key(Metric::TaskGold.tag()));
        assert!(dpo.measures.contains_key(Metric::TaskKl.tag()) && !dpo.samples.is_empty());
    }
    let report = std::fs::read_to_string(place.path("out/report.md")).unwrap();
    assert!(
        report.contains("**Answer**, on `accuracy/held_out`"),
        "{report}"
    );
    assert!(report.contains("### Against dpo"), "{report}");
}

#[test]
fn pairs_that_do_not_fit_are_left_out_and_counted() {
    let place = Workplace::new();
    let long = "word ".repeat(400);
    let rows = format!(
        "{{\"prompt\": \"{long}\", \"chosen\": \"yes\", \"rejected\": \"no\"}}\n{{\"prompt\": \"q\", \"chosen\": \"same\", \"rejected\": \"same\"}}\n"
    );
    place.write("pairs.jsonl", &(transcripts(0..120) + &rows));
    place.write("experiment.toml", EXPERIMENT);
    let output = place.output(&[
        "run",
        "experiment.toml",
        "--out",
        "out",
        "-q",
        "--set",
        "seeds=1",
        "--set",
        "budget.updates=1",
        "--set",
        "sft.epochs=1",
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let records = Records::read(&place.path("out")).unwrap();
    let dropped = records
        .experiment
        .shared
        .iter()
        .find_map(|stage| stage.measures.get(Metric::PairsDroppedBroken.tag()));
    assert_eq!(dropped, Some(&2.0));
}

#[test]
fn data_check_says_how_on_policy_pairs_are() {
    let place = Workplace::new();
    place.write("pairs.jsonl", &transcripts(0..80));
    place.write("experiment.toml", EXPERIMENT);
    let trained = place.output(&[
        "run",
        "experiment.toml",
        "--out",
        "out",
        "-q",
        "--set",
        "seeds=1",
        "--set",
        "budget.updates=1",
        "--set",
        "sft.epochs=20",
    ]);
    assert_eq!(trained.status.code(), Some(0), "{trained:?}");
    let model = std::fs::read_dir(place.path("out/stages"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("sft-")
        })
        .unwrap();
    let model = walk(&model);
    let output = place.output(&[
        "data",
        "check",
        "pairs.jsonl",
        "--model",
        model.to_str().unwrap(),
        "--pairs",
        "24",
        "--json",
    ]);
    let error = String::from_utf8_lossy(&output.stderr);
    let report: CheckReport =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    let on_policy = report.on_policy.unwrap();
    assert_eq!(on_policy.pairs, 24);
    // The model was trained on the polite answers.
    assert!(
        on_policy.chosen.mean > on_policy.rejected.mean,
        "{on_policy:?}"
    );
    assert!(on_policy.prefers_chosen.mean > 0.8, "{on_policy:?}");
    assert!(on_policy.difference.interval[0] > 0.0, "{on_policy:?}");
    assert!(on_policy.sampled.mean < 0.0, "{on_policy:?}");
}

/// The model directory below a stage's.
fn walk(stage: &std::path::Path) -> std::path::PathBuf {
    let mut open = vec![stage.to_owned()];
    while let Some(directory) = open.pop() {
        if directory.join("config.json").is_file() {
            return directory;
        }
        let entries = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        open.extend(entries.filter(|path| path.is_dir()));
    }
    panic!("no model below {}", stage.display())
}
