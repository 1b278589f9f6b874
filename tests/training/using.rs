//! Answers and scores of saved models, and transformers on them.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::{golden, lines, pairs, place, run};

#[test]
fn samples_depend_on_the_seed_and_the_prompt_alone() {
    let place = place();
    let model = golden("gpt2");
    let answers = |more: &[&str]| {
        let mut all = vec!["generate", "--model", &model, "--json", "--max-tokens", "6"];
        all.extend(more);
        run(&place, &all)
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .collect::<Vec<_>>()
    };
    let two = answers(&["--prompt", "one", "--prompt", "two", "--samples", "2"]);
    assert_eq!(two.len(), 4);
    assert_eq!(
        two,
        answers(&[
            "--prompt",
            "one",
            "--prompt",
            "two",
            "--samples",
            "2",
            "--threads",
            "1"
        ])
    );
    assert_eq!(two[..2], answers(&["--prompt", "one", "--samples", "2"]));
    assert_ne!(two[0]["completion"], two[1]["completion"]);
    assert_ne!(
        two,
        answers(&[
            "--prompt",
            "one",
            "--prompt",
            "two",
            "--samples",
            "2",
            "--seed",
            "1"
        ])
    );
    let greedy = answers(&["--prompt", "one", "--temperature", "0", "--samples", "2"]);
    assert_eq!(greedy[0]["completion"], greedy[1]["completion"]);
    assert_eq!(answers(&["--data", "pairs.jsonl"]).len(), 40);
}

#[test]
fn scores_of_pairs_come_with_a_summary() {
    let place = place();
    for (model, key) in [("llama_rm", "reward"), ("llama_gqa_untied", "logp")] {
        let text = run(
            &place,
            &[
                "score",
                "--model",
                &golden(model),
                "--data",
                "pairs.jsonl",
                "--json",
            ],
        );
        let rows: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(rows.len(), 41);
        let above = rows[..40]
            .iter()
            .filter(|row| row["margin"].as_f64().unwrap() > 0.0)
            .count();
        let summary = &rows[40]["summary"];
        assert_eq!(
            summary["pairs"]["accuracy"].as_f64().unwrap(),
            above as f64 / 40.0
        );
        let margin =
            rows[0]["chosen"][key].as_f64().unwrap() - rows[0]["rejected"][key].as_f64().unwrap();
        assert_eq!(rows[0]["margin"].as_f64().unwrap(), margin);
    }
}

/// Compares log-probs and rewards with ours, trains one step, saves. Reads {model, reward, rows, next} from stdin.
const TRANSFORMERS: &str = r#"
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedTokenizerFast
job = json.load(sys.stdin)
def ids(tok, row):
    encode = lambda text: tok(text, add_special_tokens=False)["input_ids"]
    if isinstance(row["prompt"], str):
        prompt, whole, end = row["prompt"], row["prompt"] + row["completion"], [tok.eos_token_id]
    else:
        render = lambda messages, start: tok.apply_chat_template(messages, add_generation_prompt=start, tokenize=False)
        prompt, whole, end = render(row["prompt"], True), render(row["prompt"] + row["completion"], False), []
    prompt, whole = encode(prompt), encode(whole)
    assert whole[:len(prompt)] == prompt
    return prompt, whole[len(prompt):] + end
def logp(model, prompt, completion):
    logits = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
    at = range(len(prompt) - 1, len(prompt) + len(completion) - 1)
    return sum(logits[t, token] for t, token in zip(at, completion))
# `AutoTokenizer` would take the Qwen family's own rules for digits; these small checkpoints have others.
tok = PreTrainedTokenizerFast.from_pretrained(job["model"])
model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32).eval()
rows = [ids(tok, row) for row in job["rows"]]
logps = [logp(model, *row).item() for row in rows]
reward_tok = PreTrainedTokenizerFast.from_pretrained(job["reward"])
reward = AutoModelForSequenceClassification.from_pretrained(job["reward"], dtype=torch.float32).eval()
rewards = [reward(torch.tensor([sum(ids(reward_tok, row), [])])).logits[0, 0].item() for row in job["rows"]]
model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
loss = -sum(logp(model, *row) for row in rows)
loss.backward()
optimizer.step()
model.save_pretrained(job["next"])
tok.save_pretrained(job["next"])
json.dump({"logps": logps, "rewards": rewards}, sys.stdout)
"#;

#[test]
fn transformers_loads_what_was_trained_here_and_goes_on() {
    let Ok(python) = std::env::var("PREFLAB_PYTHON") else {
        eprintln!("skipped: PREFLAB_PYTHON names no Python with transformers");
        return;
    };
    for name in ["qwen2", "gpt2", "llama_gqa_untied"] {
        let place = place();
        let model = golden(name);
        let short = [
            "--data",
            "pairs.jsonl",
            "--set",
            "max_updates=4",
            "--set",
            "batch_size=8",
            "--set",
            "optimizer.learning_rate=0.001",
        ];
        let train = |method: &str, out: &str| {
            let mut all = vec!["train", method, "--model", &model, "--out", out];
            all.extend(short);
            run(&place, &all);
        };
        train("dpo", "policy");
        train("reward", "reward");
        let texts = pairs(6);
        let mut rows: Vec<Value> = texts
            .iter()
            .map(|row| json!({ "prompt": row["prompt"], "completion": row["chosen"] }))
            .collect();
        rows.extend(texts.iter().map(|row| {
            json!({
                "prompt": [{ "role": "user", "content": row["prompt"] }],
                "completion": [{ "role": "assistant", "content": row["chosen"] }],
            })
        }));
        place.write("rows.jsonl", &lines(&rows));
        let scores = |model: &str, key: &str| -> Vec<f64> {
            run(
                &place,
                &["score", "--model", model, "--data", "rows.jsonl", "--json"],
            )
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter_map(|row| row[key].as_f64())
            .collect()
        };
        let job = json!({ "model": "policy", "reward": "reward", "rows": rows, "next": "next" });
        place.write("job.json", &job.to_string());
        place.write("check.py", TRANSFORMERS);
        let output = Command::new(&python)
            .arg("check.py")
            .stdin(fs::File::open(place.path("job.json")).unwrap())
            .current_dir(place.path(""))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
        let numbers = |key: &str| -> Vec<f64> {
            let values = theirs[key].as_array().unwrap().iter();
            values.map(|value| value.as_f64().unwrap()).collect()
        };
        let ours = scores("policy", "logp");
        assert_eq!(ours.len(), rows.len());
        for (ours, theirs) in ours.iter().zip(numbers("logps")) {
            assert!(
                (ours - theirs).abs() < 1e-4 * theirs.abs().max(1.0),
                "{name}: {ours} {theirs}"
            );
        }
        let scale: Value =
            serde_json::from_slice(&fs::read(place.path("reward/normalisation.json")).unwrap())
                .unwrap();
        let (gain, bias) = (
            scale["gain"].as_f64().unwrap(),
            scale["bias"].as_f64().unwrap(),
        );
        for (ours, raw) in scores("reward", "reward").iter().zip(numbers("rewards")) {
            let theirs = gain * raw + bias;
            assert!((ours - theirs).abs() < 1e-4, "{name}: {ours} {theirs}");
        }
        // One step of torch makes the rows it was taken on likelier, as we see it.
        let sum = |scores: Vec<f64>| scores.iter().sum::<f64>();
        assert!(sum(scores("next", "logp")) > sum(ours), "{name}");
    }
}
