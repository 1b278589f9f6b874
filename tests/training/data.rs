//! What becomes of the rows.

use std::fs;

use serde_json::{Value, json};

use super::{golden, lines, metrics, pairs, place, run, train};

#[test]
fn what_is_bad_about_the_data_is_dropped_and_counted() {
    let place = place();
    let mut rows = pairs(30);
    rows[3]["rejected"] = rows[3]["chosen"].clone();
    rows[5]["chosen"] = "  ".into();
    rows[7]["rejected"] = "9".repeat(100).into();
    place.write("pairs.jsonl", &lines(&rows));
    let arguments = train("dpo", "mini", "out", &["--json"]);
    let report: Value = serde_json::from_str(&run(&place, &arguments)).unwrap();
    let counted = &report["data"]["counted"];
    for (reason, line) in [("identical", 4), ("empty", 6), ("over-long", 8)] {
        assert_eq!(counted[reason]["rows"], 1, "{reason}");
        assert_eq!(
            counted[reason]["places"],
            json!([format!("pairs.jsonl:{line}")])
        );
    }
    let used =
        report["data"]["train"].as_u64().unwrap() + report["data"]["held_out"].as_u64().unwrap();
    assert_eq!(used, 27);
    let card = fs::read_to_string(place.path("out/README.md")).unwrap();
    for said in [
        "- dropped: 1 with chosen and rejected the same",
        "preflab train dpo",
        "batch_size = 4",
        "| `eval_loss` |",
    ] {
        assert!(card.contains(said), "{said}: {card}");
    }
}

#[test]
fn every_layout_of_rows_trains() {
    let place = place();
    let texts = pairs(12);
    let chat = |row: &Value| {
        let message = |role: &str, key: &str| json!({ "role": role, "content": row[key] });
        json!({
            "chosen": [message("user", "prompt"), message("assistant", "chosen")],
            "rejected": [message("user", "prompt"), message("assistant", "rejected")],
        })
    };
    let transcript = |row: &Value| {
        let side = |key: &str| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            format!("\n\nHuman: {}\n\nAssistant:{}", text("prompt"), text(key))
        };
        json!({ "chosen": side("chosen"), "rejected": side("rejected") })
    };
    let judged = texts.iter().flat_map(|row| {
        ["chosen", "rejected"].map(|side| {
            json!({ "prompt": row["prompt"], "completion": row[side], "label": side == "chosen" })
        })
    });
    let scored = texts.iter().map(|row| {
        json!({ "prompt": row["prompt"], "completions": [row["rejected"], row["chosen"]], "scores": [0.5, 2.0] })
    });
    let csv: String = texts
        .iter()
        .fold("prompt,chosen,rejected\n".to_owned(), |all, row| {
            format!(
                "{all}{},{},{}\n",
                row["prompt"], row["chosen"], row["rejected"]
            )
        });
    place.write(
        "chat.jsonl",
        &lines(&texts.iter().map(chat).collect::<Vec<_>>()),
    );
    place.write(
        "hh.jsonl",
        &lines(&texts.iter().map(transcript).collect::<Vec<_>>()),
    );
    place.write("kto.jsonl", &lines(&judged.collect::<Vec<_>>()));
    place.write("scored.jsonl", &lines(&scored.collect::<Vec<_>>()));
    place.write("array.json", &Value::Array(texts.clone()).to_string());
    place.write("table.csv", &csv);
    let model = golden("qwen2");
    for (index, file) in [
        "chat.jsonl",
        "hh.jsonl",
        "kto.jsonl",
        "scored.jsonl",
        "array.json",
        "table.csv",
    ]
    .into_iter()
    .enumerate()
    {
        for method in ["dpo", "kto", "sft", "reward"] {
            if (method, file) == ("kto", "scored.jsonl") {
                continue;
            }
            let out = format!("{method}-{index}");
            let report: Value = serde_json::from_str(&run(
                &place,
                &[
                    "train",
                    method,
                    "--model",
                    &model,
                    "--data",
                    file,
                    "--out",
                    &out,
                    "--json",
                    "--set",
                    "max_updates=1",
                    "--set",
                    "batch_size=4",
                    "--set",
                    "samples.prompts=0",
                ],
            ))
            .unwrap();
            let rows = match method {
                "kto" => 2 * texts.len(),
                _ => texts.len(),
            };
            assert_eq!(report["data"]["train"], rows, "{method} on {file}");
        }
    }
}

/// Answers of which two thirds are right, in one order, some prompts with one answer alone.
fn labelled(count: usize) -> Vec<Value> {
    let rows = pairs(count).into_iter().enumerate();
    rows.map(|(index, row)| {
        let wanted = index % 3 != 0;
        let side = if wanted { "chosen" } else { "rejected" };
        json!({ "prompt": row["prompt"], "completion": row[side], "label": wanted })
    })
    .collect()
}

#[test]
fn completions_with_labels_train_without_pairs() {
    let place = place();
    run(&place, &train("sft", "mini", "sft", &[]));
    place.write("labelled.jsonl", &lines(&labelled(60)));
    let arguments = [
        "train",
        "kto",
        "--model",
        "sft",
        "--data",
        "labelled.jsonl",
        "--eval-share",
        "0.2",
        "--out",
        "kto",
        "--json",
        "--set",
        "epochs=20",
        "--set",
        "batch_size=8",
        "--set",
        "optimizer.learning_rate=3e-3",
        "--set",
        "samples.prompts=0",
    ];
    let output = place.output(&arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains(" wanted, "), "{said}");
    assert!(
        said.contains("KTO's authors advise 1 to 4/3: `objective.kto.desirable_weight` from 0."),
        "{said}"
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let figure = |tag: &str| report["metrics"][tag].as_f64().unwrap();
    assert!(figure("eval_rewards/accuracies") > 0.9, "{report:#}");
    assert!(figure("eval_rewards/margins") > 0.5, "{report:#}");
}

/// Every text that is learnt whole starts with the same token.
#[test]
fn a_share_of_texts_is_held_out() {
    let place = place();
    let texts: Vec<Value> = pairs(40)
        .iter()
        .enumerate()
        .map(|(row, pair)| json!({ "text": format!("{row}: {}", pair["prompt"]) }))
        .collect();
    place.write("pairs.jsonl", &lines(&texts));
    run(
        &place,
        &train("sft", "mini", "sft", &["--set", "max_updates=1"]),
    );
    let data = metrics(&place.path("sft"))["data"].clone();
    assert_eq!((&data["train"], &data["held_out"]), (&json!(32), &json!(8)));
}

#[test]
fn memory_is_told_model_by_model_before_training() {
    let place = place();
    let said = |arguments: &[&str]| {
        let output = place.output(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        let lines = said.lines().filter(|line| line.contains("memory: "));
        lines.map(str::to_owned).collect::<Vec<String>>()
    };
    let few = ["--set", "max_updates=1"];
    let sft = said(&train("sft", "mini", "sft", &few));
    assert!(sft[0].contains("memory: about 64 MB at most"), "{sft:?}");
    assert!(
        sft[1].contains("memory: policy: weights 1 MB, gradients"),
        "{sft:?}"
    );
    let reward = said(&train("reward", "sft", "reward", &few));
    assert!(
        reward[1].contains("memory: reward model: weights"),
        "{reward:?}"
    );
    let adapted = [&few[..], &["--set", "lora.rank=2"]].concat();
    let dpo = said(&train("dpo", "sft", "dpo", &adapted));
    assert!(dpo[2].contains("memory: reference: activations"), "{dpo:?}");
    let ppo = said(&[
        "train",
        "ppo",
        "--model",
        "sft",
        "--reward",
        "reward",
        "--data",
        "pairs.jsonl",
        "--out",
        "ppo",
        "--set",
        "sampling.max_tokens=4",
        "--set",
        "budget.updates=1",
        "--set",
        "batch_size=4",
        "--set",
        "samples.prompts=0",
    ]);
    assert_eq!(ppo.len(), 5, "{ppo:?}");
    assert!(ppo[1].contains("sampling"), "{ppo:?}");
    assert!(ppo[4].contains("memory: value model"), "{ppo:?}");
}
