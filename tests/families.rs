//! `train` on a checkpoint of every family, with adapters, recomputed activations, bfloat16 and other saved numbers.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::preflab::{Workplace, root};

/// Random checkpoints without a tokenizer.
const FAMILIES: [&str; 7] = [
    "gemma2",
    "gpt2_untied",
    "llama3_scaled",
    "mistral",
    "pythia",
    "qwen2_windowed",
    "qwen3",
];

/// A shape whose tokenizer serves all of them.
const SHAPE: &str =
    "width = 16\nlayers = 1\nheads = 2\nkv_heads = 1\nfeedforward = 32\ncontext = 64\n";

fn run(place: &Workplace, arguments: &[&str]) -> String {
    let output = place.output(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A place with pairs and a checkpoint of every family, each with the tokenizer of the pairs.
fn place() -> Workplace {
    let place = Workplace::new();
    let pairs: String = (0..24)
        .map(|row| {
            let (a, b) = (row % 10, row * 7 % 10);
            let pair = json!({
                "prompt": format!("{a}+{b}="),
                "chosen": format!(" {}", a + b),
                "rejected": format!(" {} or so", a + b + 1),
            });
            format!("{pair}\n")
        })
        .collect();
    place.write("pairs.jsonl", &pairs);
    place.write("configs/model/mini.toml", SHAPE);
    let maker = [
        "train",
        "sft",
        "--model",
        "mini",
        "--data",
        "pairs.jsonl",
        "--out",
        "words",
        "--set",
        "max_updates=1",
        "--set",
        "tokenizer=\"characters\"",
        "--set",
        "samples.prompts=0",
    ];
    run(&place, &maker);
    let checkpoints = root().join("crates/transformer/tests/families/checkpoints");
    for family in FAMILIES {
        fs::create_dir(place.path(family)).unwrap();
        for entry in fs::read_dir(checkpoints.join(family)).unwrap().flatten() {
            let to = place.path(family).join(entry.file_name());
            fs::copy(entry.path(), to).unwrap();
        }
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            fs::copy(
                place.path("words").join(name),
                place.path(family).join(name),
            )
            .unwrap();
        }
    }
    place
}

/// `train METHOD` for three updates.
fn train(place: &Workplace, method: &str, model: &str, out: &str, more: &[&str]) -> Value {
    let mut arguments = vec![
        "train",
        method,
        "--model",
        model,
        "--data",
        "pairs.jsonl",
        "--out",
        out,
        "--json",
    ];
    let common = [
        "max_updates=3",
        "batch_size=8",
        "samples.prompts=0",
        "optimizer.learning_rate=3e-3",
    ];
    arguments.extend(
        common
            .iter()
            .chain(more)
            .flat_map(|setting| ["--set", setting]),
    );
    serde_json::from_str(&run(place, &arguments)).unwrap()
}

fn weights(place: &Workplace, model: &str) -> Vec<u8> {
    fs::read(place.path(model).join("model.safetensors")).unwrap()
}

/// Log-probabilities that a model gives the chosen completions.
fn logps(place: &Workplace, model: &str) -> Vec<f64> {
    let text = run(
        place,
        &["score", "--model", model, "--data", "pairs.jsonl", "--json"],
    );
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let logps: Vec<f64> = rows
        .filter_map(|row| {
            row["chosen"]["logp"]
                .as_f64()
                .or(row["logp_chosen"].as_f64())
        })
        .collect();
    assert_eq!(logps.len(), 24, "{text}");
    logps
}

#[test]
fn recomputed_activations_change_no_bit_in_any_family() {
    let place = place();
    for family in FAMILIES {
        for method in ["dpo", "reward"] {
            let of = |name: &str, more: &[&str]| {
                let out = format!("{family}-{method}-{name}");
                train(&place, method, family, &out, more);
                weights(&place, &out)
            };
            let kept = of("kept", &[]);
            assert!(
                kept == of("again", &["memory.recompute=true"]),
                "{method} of {family}"
            );
            assert!(kept != weights(&place, family), "{method} of {family}");
        }
    }
}

#[test]
fn bfloat16_trains_every_family_about_as_32_bits_do() {
    let place = place();
    for family in FAMILIES {
        let loss = |name: &str, more: &[&str]| {
            let out = format!("{family}-{name}");
            let report = train(&place, "sft", family, &out, more);
            report["metrics"]["loss"].as_f64().unwrap()
        };
        let (full, half) = (loss("f32", &[]), loss("bf16", &["precision=\"bf16\""]));
        assert!((full - half).abs() < 0.02 * full, "{family}: {full} {half}");
        assert!(full != half, "{family}");
    }
}

#[test]
fn models_are_saved_in_the_numbers_asked_for() {
    let place = place();
    for family in FAMILIES {
        train(&place, "dpo", family, &format!("{family}-f32"), &[]);
        let full = logps(&place, &format!("{family}-f32"));
        for (number, name, tolerance) in [("f16", "float16", 0.02), ("bf16", "bfloat16", 0.15)] {
            let out = format!("{family}-{number}");
            let save = format!("save_as=\"{number}\"");
            train(&place, "dpo", family, &out, &[&save]);
            let config = fs::read(place.path(&out).join("config.json")).unwrap();
            let config: Value = serde_json::from_slice(&config).unwrap();
            assert_eq!(config["dtype"].as_str().unwrap(), name, "{family}");
            assert!(weights(&place, &out).len() < weights(&place, &format!("{family}-f32")).len());
            for (half, full) in logps(&place, &out).iter().zip(&full) {
                assert!((half - full).abs() < tolerance, "{out}: {half} {full}");
            }
        }
    }
}

const PEFT: &str = r#"
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
found = {}
for family in json.load(sys.stdin):
    tok = PreTrainedTokenizerFast.from_pretrained(family)
    base = AutoModelForCausalLM.from_pretrained(family, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, f"{family}-lora/adapter").eval()
    logps = []
    for line in open("pairs.jsonl"):
        row = json.loads(line)
        encode = lambda text: tok(text, add_special_tokens=False)["input_ids"]
        prompt, completion = encode(row["prompt"]), encode(row["chosen"]) + [tok.eos_token_id]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
        at = range(len(prompt) - 1, len(prompt) + len(completion) - 1)
        logps.append(sum(logits[t, token].item() for t, token in zip(at, completion)))
    found[family] = logps
json.dump(found, sys.stdout)
"#;

#[test]
fn peft_loads_the_adapters_that_a_run_leaves() {
    let place = place();
    for family in FAMILIES {
        let out = format!("{family}-lora");
        train(&place, "dpo", family, &out, &["lora.rank=2"]);
        let (merged, start) = (logps(&place, &out), logps(&place, family));
        assert!(merged != start, "{family} learnt nothing");
    }
    let Ok(python) = std::env::var("PREFLAB_PYTHON") else {
        eprintln!("skipped: PREFLAB_PYTHON names no Python with peft");
        return;
    };
    place.write("check.py", PEFT);
    place.write("families.json", &json!(FAMILIES).to_string());
    let output = Command::new(python)
        .arg("check.py")
        .stdin(fs::File::open(place.path("families.json")).unwrap())
        .current_dir(place.path(""))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
    for family in FAMILIES {
        let theirs = theirs[family].as_array().unwrap().iter();
        let ours = logps(&place, &format!("{family}-lora"));
        for (ours, theirs) in ours.iter().zip(theirs) {
            let theirs = theirs.as_f64().unwrap();
            assert!((ours - theirs).abs() < 1e-3, "{family}: {ours} {theirs}");
        }
    }
}
