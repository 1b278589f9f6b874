//! `train`, `generate` and `score` from outside: real training of tiny models on small data.

mod data;
mod keeping;
mod refusals;
mod resuming;
mod using;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::preflab::{Workplace, root};

/// A shape that trains in milliseconds.
const SHAPE: &str =
    "width = 16\nlayers = 1\nheads = 2\nkv_heads = 1\nfeedforward = 32\ncontext = 64\n";

/// Settings that leave something to see after a few updates.
const SHORT: [&str; 14] = [
    "--eval-share",
    "0.2",
    "--set",
    "batch_size=4",
    "--set",
    "evaluate_every=3",
    "--set",
    "checkpoints.every=4",
    "--set",
    "samples.sampling.max_tokens=4",
    "--set",
    "samples.prompts=1",
    "--set",
    "tokenizer=\"characters\"",
];

/// Sums with a right and a wrong answer, as text.
fn pairs(count: usize) -> Vec<Value> {
    (0..count)
        .map(|row| {
            let (a, b) = (row % 10, row * 7 % 10);
            json!({
                "prompt": format!("{a}+{b}="),
                "chosen": format!(" {}", a + b),
                "rejected": format!(" {} or so", a + b + 1 + row % 3),
                "margin": 1.0 + (row % 3) as f64,
            })
        })
        .collect()
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// A place with pairs and a shape.
fn place() -> Workplace {
    let place = Workplace::new();
    place.write("configs/model/mini.toml", SHAPE);
    place.write("pairs.jsonl", &lines(&pairs(40)));
    place
}

fn golden(name: &str) -> String {
    root()
        .join("tests/golden/checkpoints")
        .join(name)
        .display()
        .to_string()
}

fn run(place: &Workplace, arguments: &[&str]) -> String {
    let output = place.output(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// `train METHOD --data pairs.jsonl`, short, with more arguments.
fn train<'a>(method: &'a str, model: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec![
        "train",
        method,
        "--model",
        model,
        "--data",
        "pairs.jsonl",
        "--out",
        out,
    ];
    all.extend(SHORT);
    all.extend(more);
    all
}

/// What a run leaves that a second run repeats.
fn results(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut results = BTreeMap::new();
    for name in ["model.safetensors", "metrics.json", "config.json"] {
        results.insert(name.to_owned(), fs::read(run.join(name)).unwrap());
    }
    let scalars = fs::read_to_string(run.join("scalars.jsonl")).unwrap();
    let repeated: String = scalars
        .lines()
        .filter(|line| !line.contains("\"timing/") && !line.contains("\"eps\""))
        .map(|line| format!("{line}\n"))
        .collect();
    results.insert("scalars.jsonl".to_owned(), repeated.into_bytes());
    results
}

fn metrics(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("metrics.json")).unwrap()).unwrap()
}
