//! What is saved here, transformers loads with equal logits. Runs where Python has transformers (the interpreter is
//! `python3`, or the one that `PREFLAB_PYTHON` names).

use std::process::Command;

use burn::tensor::Device;
use preflab_transformer::checkpoint::{self, Config, SaveOptions, SpecialTokens};
use preflab_transformer::{Architecture, CausalLm, ScalarModel, Sequences};
use serde_json::json;

use crate::golden::checkpoints;
use crate::support::{floats, settings};

const PROGRAM: &str = r#"
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
cases = json.load(open(sys.argv[1]))
for case in cases:
    kind = AutoModelForSequenceClassification if case["scalar"] else AutoModelForCausalLM
    model, info = kind.from_pretrained(case["dir"], dtype=torch.float32, output_loading_info=True)
    assert not any(info[key] for key in ["missing_keys", "unexpected_keys", "mismatched_keys"]), (case["dir"], info)
    with torch.no_grad():
        found = model.eval()(torch.tensor([case["row"]])).logits.flatten()
    difference = (found - torch.tensor(case["expected"])).abs().max().item()
    assert difference < 1e-4, (case["dir"], difference)
print(len(cases))
"#;

#[test]
fn transformers_loads_what_is_saved() {
    let python = std::env::var("PREFLAB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let available = Command::new(&python)
        .args(["-c", "import torch, transformers"])
        .output();
    if !available.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "skipped: `{python}` has no transformers (PREFLAB_PYTHON names another interpreter)"
        );
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let row = [7, 3, 11, 20, 9];
    let sequences = Sequences::right_padded(&[&row], &device);
    let mut cases = Vec::new();
    let mut add = |scalar: bool, expected: Vec<f32>| {
        let dir = out.path().join(cases.len().to_string());
        cases.push(json!({ "dir": dir, "scalar": scalar, "row": row, "expected": expected }));
        dir
    };
    // Small shards, so that most are written in several files.
    let options = SaveOptions {
        shard: 20_000,
        ..Default::default()
    };
    for (path, scalar) in checkpoints() {
        if scalar {
            let (model, config) = checkpoint::load::<ScalarModel>(&path, &device).unwrap();
            let dir = add(true, floats(model.scores(&sequences)));
            checkpoint::save(&model, &config, options, &dir).unwrap();
        } else {
            let (model, config) = checkpoint::load::<CausalLm>(&path, &device).unwrap();
            let dir = add(false, floats(model.forward(&sequences)));
            checkpoint::save(&model, &config, options, &dir).unwrap();
            // A reward model made of a language model.
            let model = ScalarModel::from_decoder(&model.decoder, 0.1, 1);
            let dir = add(true, floats(model.scores(&sequences)));
            checkpoint::save(&model, &config, options, &dir).unwrap();
        }
    }
    let tokens = SpecialTokens {
        beginning: Some(2),
        end: vec![1, 3],
        padding: Some(0),
    };
    for tied in [true, false] {
        let architecture = Architecture::new(&settings(tied), 40);
        let model = CausalLm::init(&architecture, 3, &device);
        let dir = add(false, floats(model.forward(&sequences)));
        checkpoint::save(
            &model,
            &Config::llama(&architecture, &tokens),
            options,
            &dir,
        )
        .unwrap();
    }
    let list = out.path().join("cases.json");
    std::fs::write(&list, serde_json::to_vec(&cases).unwrap()).unwrap();
    let output = Command::new(&python)
        .args(["-c", PROGRAM])
        .arg(&list)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        cases.len().to_string()
    );
}
