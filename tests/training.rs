//! `train`, `generate` and `score` from outside: real training of tiny models on small data.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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

/// Starts a run and kills it (on Unix by SIGKILL) as soon as it has a new checkpoint after `update`. False if it ended first.
fn killed_after(place: &Workplace, arguments: &[&str], out: &str, update: u64) -> bool {
    let mut child = place
        .command(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let checkpoints = place.path(out).join("checkpoints");
    let begun = Instant::now();
    let is_new = || {
        fs::read_dir(&checkpoints)
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                let number = name.strip_prefix("update-").unwrap_or_default();
                number.parse::<u64>().is_ok_and(|number| number > update)
            })
    };
    while !is_new() && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(120), "no checkpoint");
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

/// Trains once in one go, and once killed again and again.
fn killing_changes_nothing(method: &str, model: &str, more: &[&str], place: &Workplace) {
    killing_changes_nothing_of(method, method, model, more, place);
}

/// The same, with a name for the two runs.
fn killing_changes_nothing_of(
    name: &str,
    method: &str,
    model: &str,
    more: &[&str],
    place: &Workplace,
) {
    let (whole, killed) = (format!("{name}-whole"), format!("{name}-killed"));
    run(place, &train(method, model, &whole, more));
    let again = train(method, model, &killed, more);
    let mut kills = 0;
    for after in [0, 4, 12] {
        kills += usize::from(killed_after(place, &again, &killed, after));
    }
    assert!(
        kills > 0,
        "{method}: no run was still at work when it was killed"
    );
    run(place, &again);
    let (expected, found) = (results(&place.path(&whole)), results(&place.path(&killed)));
    for (name, content) in expected {
        assert!(
            found[&name] == content,
            "{method}: `{name}` differs after {kills} kills"
        );
    }
}

#[test]
fn a_killed_run_of_every_offline_method_ends_in_the_same_bits() {
    let place = place();
    killing_changes_nothing("sft", "mini", &["--set", "epochs=3"], &place);
    killing_changes_nothing("reward", "sft-whole", &["--set", "epochs=3"], &place);
    killing_changes_nothing(
        "dpo",
        "sft-whole",
        &[
            "--set",
            "epochs=3",
            "--set",
            "objective.bco.shift=\"running-mean\"",
        ],
        &place,
    );
    killing_changes_nothing("kto", "sft-whole", &["--set", "epochs=3"], &place);
    let running = ["--set", "epochs=2", "--set", "objective.bco={}"];
    killing_changes_nothing_of("bco", "kto", "sft-whole", &running, &place);
    let adapters = ["--set", "epochs=3", "--set", "lora.rank=2"];
    killing_changes_nothing_of("adapters", "dpo", "sft-whole", &adapters, &place);
    for side in ["whole", "killed"] {
        let adapter = place.path(&format!("adapters-{side}/adapter"));
        assert!(adapter.join("adapter_config.json").is_file());
        assert!(adapter.join("adapter_model.safetensors").is_file());
    }
}

#[test]
fn a_killed_run_of_every_on_policy_method_ends_in_the_same_bits() {
    let place = place();
    run(&place, &train("sft", "mini", "sft", &[]));
    run(&place, &train("reward", "sft", "reward", &[]));
    let common = [
        "--reward",
        "reward",
        "--set",
        "sampling.max_tokens=6",
        "--set",
        "budget.updates=24",
    ];
    // Everything that has a memory: KL controller, reward scale, reference, critic, schedule.
    let ppo = [
        &common[..],
        &[
            "--set",
            "kl.adaptive={ initial = 0.1, target = 2.0, horizon = 100.0 }",
            "--set",
            "reward.scale=\"running\"",
            "--set",
            "reference.ema=0.9",
            "--set",
            "optimizer.schedule=\"linear\"",
            "--set",
            "critic_warmup=1",
        ],
    ]
    .concat();
    killing_changes_nothing("ppo", "sft", &ppo, &place);
    let groups = [&common[..], &["--set", "group_size=2"]].concat();
    killing_changes_nothing("rloo", "sft", &groups, &place);
    killing_changes_nothing("grpo", "sft", &groups, &place);
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_done() {
    let place = place();
    let arguments = train(
        "sft",
        "mini",
        "out",
        &["--set", "epochs=2000", "--set", "checkpoints.every=1000000"],
    );
    let child = place
        .command(&arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !place.path("out/scalars.jsonl").exists() {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(100));
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("run the same command again"), "{said}");
    let kept: Vec<_> = fs::read_dir(place.path("out/checkpoints"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("update-"))
        .collect();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].path().join("trainer").is_dir());
    assert!(!place.path("out/config.json").exists());
}

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

#[test]
fn the_best_and_the_newest_checkpoints_are_kept_and_the_best_can_be_the_output() {
    let place = place();
    let arguments = train(
        "sft",
        "mini",
        "out",
        &[
            "--set",
            "epochs=8",
            "--set",
            "optimizer.learning_rate=0.3",
            "--set",
            "checkpoints.keep_best=2",
            "--set",
            "checkpoints.keep_last=2",
            "--set",
            "checkpoints.output=\"best\"",
            "--json",
        ],
    );
    let report: Value = serde_json::from_str(&run(&place, &arguments)).unwrap();
    let best = report["best"]["update"].as_u64().unwrap();
    assert_eq!(report["output_update"], best);
    let checkpoint = place.path(&format!("out/checkpoints/update-{best:06}"));
    assert_eq!(
        fs::read(checkpoint.join("model.safetensors")).unwrap(),
        fs::read(place.path("out/model.safetensors")).unwrap()
    );
    // By the log, no evaluation was better.
    let scalars = fs::read_to_string(place.path("out/scalars.jsonl")).unwrap();
    let losses = scalars
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["tag"] == "eval_loss")
        .filter_map(|line| line["value"].as_f64());
    let least = losses.fold(f64::INFINITY, f64::min);
    assert_eq!(report["best"]["value"].as_f64().unwrap(), least);
    let kept = fs::read_dir(place.path("out/checkpoints"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("update-"))
        .count();
    assert!((2..=4).contains(&kept), "{kept}");
    // A checkpoint is a model of its own.
    let checkpoint = checkpoint.display().to_string();
    run(
        &place,
        &[
            "generate",
            "--model",
            &checkpoint,
            "--prompt",
            "1+1=",
            "--max-tokens",
            "2",
        ],
    );
}

#[test]
fn training_ends_when_the_metric_no_longer_improves() {
    let place = place();
    let arguments = train(
        "sft",
        "mini",
        "out",
        &[
            "--set",
            "epochs=100",
            "--set",
            "optimizer.learning_rate=0.5",
            "--set",
            "early_stop.patience=2",
            "--json",
        ],
    );
    let report: Value = serde_json::from_str(&run(&place, &arguments)).unwrap();
    assert_eq!(report["stopped_early"], true);
    let updates = report["updates"].as_u64().unwrap();
    assert!(updates < 100 && updates.is_multiple_of(3), "{updates}");
    // The same command finds it finished.
    let again: Value = serde_json::from_str(&run(&place, &arguments)).unwrap();
    assert_eq!(again["already_finished"], true);
    assert_eq!(again["metrics"], report["metrics"]);
}

#[test]
fn an_explicit_reference_is_not_the_start_and_stale_log_probs_are_computed_anew() {
    let place = place();
    run(&place, &train("sft", "mini", "sft", &[]));
    let dpo = |out: &'static str, more: &[&'static str]| {
        let mut all = train("dpo", "sft", out, &["--set", "max_updates=1"]);
        all.extend(more);
        all
    };
    run(&place, &dpo("own", &[]));
    run(
        &place,
        &train(
            "sft",
            "sft",
            "other",
            &["--set", "optimizer.learning_rate=0.1"],
        ),
    );
    run(&place, &dpo("others", &["--reference", "other"]));
    let reference = |run: &str| metrics(&place.path(run))["metrics"]["ref_logps/chosen"].clone();
    assert_ne!(reference("own"), reference("others"));
    // What is on disk for other pairs or another model is not believed.
    let file = "own/checkpoints/reference_logps.json";
    let kept: Value = serde_json::from_slice(&fs::read(place.path(file)).unwrap()).unwrap();
    assert_eq!(kept["model"].as_str().unwrap().len(), 64);
    let mut stale = kept.clone();
    stale["model"] = "0".repeat(64).into();
    stale["train"][0]["sides"]["chosen"][0] = json!(-99.0);
    fs::remove_file(place.path("own/metrics.json")).unwrap();
    place.write(file, &stale.to_string());
    let output = place.output(&dpo("own", &[]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("of another model or other rows, and are computed anew"),
        "{said}"
    );
    let again: Value = serde_json::from_slice(&fs::read(place.path(file)).unwrap()).unwrap();
    assert_eq!(again, kept);
}

/// Exit code 2 and a message, and nothing written.
fn refused(place: &Workplace, arguments: &[&str]) -> String {
    let output = place.output(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr)
        .unwrap()
        .replace(&root().display().to_string(), "[ROOT]")
}

#[test]
fn each_bad_request_is_refused_with_its_reason() {
    let place = place();
    let reward = golden("llama_rm");
    let model = golden("qwen2");
    place.write(
        "broken.jsonl",
        "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n{\"prompt\": 3}\n",
    );
    place.write("empty.jsonl", "");
    place.write(
        "same.jsonl",
        "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"b\"}\n",
    );
    place.write("taken/thesis.tex", "");
    place.write("method.toml", "method = \"dpo\"\nbatch_size = 0\n");
    place.write("hollow/notes.txt", "");
    place.write(
        "scored.jsonl",
        "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"scores\": [1, 2]}\n",
    );
    // Options given here take the place of the usual ones.
    let dpo = |more: &[&str]| {
        let usual = [
            ["--model", &model],
            ["--data", "pairs.jsonl"],
            ["--out", "out"],
        ];
        let usual = usual.into_iter().filter(|[name, _]| !more.contains(name));
        let all: Vec<&str> = ["train", "dpo"]
            .into_iter()
            .chain(usual.flatten())
            .chain(more.iter().copied())
            .collect();
        refused(&place, &all)
    };
    let message = |arguments: &[&str]| refused(&place, arguments);
    let kto = |more: &[&str]| {
        let mut all = vec!["train", "kto", "--model", &model, "--out", "out"];
        if !more.contains(&"--data") {
            all.extend(["--data", "pairs.jsonl"]);
        }
        all.extend(more);
        refused(&place, &all)
    };
    for (said, expected) in [
        (
            message(&[
                "train",
                "--model",
                &model,
                "--data",
                "pairs.jsonl",
                "--out",
                "out",
            ]),
            "which method?",
        ),
        (
            message(&[
                "train",
                "dop",
                "--model",
                &model,
                "--data",
                "pairs.jsonl",
                "--out",
                "out",
            ]),
            "did you mean `dpo`?",
        ),
        (
            message(&["train", "dpo", "--data", "pairs.jsonl", "--out", "out"]),
            "`model` is missing",
        ),
        (
            message(&["train", "dpo", "--model", &model, "--out", "out"]),
            "`data` is missing",
        ),
        (
            message(&["train", "dpo", "--model", &model, "--data", "pairs.jsonl"]),
            "where is the model to be saved?",
        ),
        (
            kto(&["--data", "scored.jsonl"]),
            "expected a row with `prompt`, `completion` and `label`, or with `chosen` and `rejected`",
        ),
        (
            kto(&["--set", "objective.dpo.beta=0.1"]),
            "`kto` judges each completion by itself: the objective compares the two completions of a pair",
        ),
        (
            kto(&["--set", "objective.kto.baseline=\"other-side\""]),
            "the baseline `other-side` reads the other completion of a pair",
        ),
        (
            kto(&["--set", "batch_size=1"]),
            "set `batch_size` to 2 or more",
        ),
        (
            message(&["train", "sft", "--config", "method.toml", "--model", &model]),
            "is `sft` on the command line and `dpo` in the file",
        ),
        (
            message(&[
                "train",
                "--config",
                "method.toml",
                "--model",
                &model,
                "--data",
                "pairs.jsonl",
            ]),
            "method.toml:2:14",
        ),
        (
            dpo(&["--model", "hollow"]),
            "holds no model: there is no `config.json` in it",
        ),
        (dpo(&["--model", "nowhere"]), "there is no model `nowhere`"),
        (
            dpo(&["--model", &reward]),
            "holds a reward model (a sequence classifier), not a language model",
        ),
        (
            dpo(&["--data", "nowhere.jsonl"]),
            "`nowhere.jsonl` cannot be read",
        ),
        (
            dpo(&["--set", "data=broken.jsonl"]),
            "broken.jsonl:2: no column `chosen`; expected a row with `chosen` and `rejected`",
        ),
        (
            dpo(&["--set", "data=empty.jsonl"]),
            "no row is left to train on",
        ),
        (
            dpo(&["--set", "data=same.jsonl"]),
            "no row is left to train on",
        ),
        (
            dpo(&["--out", "taken"]),
            "`taken` is not empty and holds no run of preflab",
        ),
        (
            dpo(&["--set", "objective.dpo.beat=0.2"]),
            "did you mean `beta`?",
        ),
        (
            dpo(&["--set", "objective.dpo.beta=-1"]),
            "expected a number above 0, found -1",
        ),
        (dpo(&["--set", "evall=x"]), "did you mean `eval`?"),
        (
            dpo(&["--set", "max_length=100000"]),
            "`max_length` is 100000, and the model's context 256 tokens",
        ),
        (
            dpo(&["--set", "early_stop.patience=2"]),
            "none are held out",
        ),
        (
            dpo(&["--eval-share", "0.1", "--eval", "pairs.jsonl"]),
            "both `eval` and `eval_share` are given",
        ),
        (
            dpo(&[
                "--eval-share",
                "0.1",
                "--set",
                "checkpoints.metric=eval_los",
            ]),
            "did you mean `eval_loss`?",
        ),
        (
            dpo(&[
                "--eval-share",
                "0.1",
                "--set",
                "checkpoints.metric=grad_norm",
            ]),
            "neither more nor less of it is better",
        ),
        (dpo(&["--reward", &reward]), "`dpo` takes no `reward_model`"),
        (dpo(&["--device", "tpu"]), "expected `cpu` or `cuda[:N]`"),
        (
            message(&[
                "train",
                "ppo",
                "--model",
                &model,
                "--data",
                "pairs.jsonl",
                "--out",
                "out",
            ]),
            "`ppo` needs a reward model",
        ),
        (
            message(&[
                "train",
                "ppo",
                "--model",
                &model,
                "--reward",
                &model,
                "--data",
                "pairs.jsonl",
                "--out",
                "out",
            ]),
            "holds a language model, not a reward model",
        ),
        (
            message(&[
                "train",
                "ppo",
                "--model",
                &model,
                "--reward",
                &reward,
                "--data",
                "pairs.jsonl",
                "--out",
                "out",
                "--set",
                "sampling.max_tokens=300",
            ]),
            "leaves no room for a prompt",
        ),
        (
            message(&["generate", "--model", &reward, "--prompt", "a"]),
            "holds a reward model",
        ),
        (message(&["generate", "--model", &model]), "--prompt"),
        (
            message(&[
                "generate",
                "--model",
                &model,
                "--prompt",
                "a",
                "--temperature=-1",
            ]),
            "`--temperature`: expected a number above 0, found -1",
        ),
        (
            message(&["score", "--model", &model, "--data", "empty.jsonl"]),
            "has no row that can be scored",
        ),
    ] {
        assert!(said.contains(expected), "expected {expected:?} in:\n{said}");
    }
    // What was refused left the directory alone, or free.
    assert!(!place.path("out").exists());
    assert_eq!(fs::read_dir(place.path("taken")).unwrap().count(), 1);
    run(&place, &train("sft", "mini", "out", &[]));
    let other = refused(&place, &train("sft", "mini", "out", &["--seed", "7"]));
    assert!(
        other.contains("`out` holds another run: `seed` is 0 there and 7 here"),
        "{other}"
    );
    place.write("pairs.jsonl", &lines(&pairs(41)));
    let changed = refused(&place, &train("sft", "mini", "out", &[]));
    assert!(
        changed.contains("`pairs.jsonl` has changed since"),
        "{changed}"
    );
}

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
