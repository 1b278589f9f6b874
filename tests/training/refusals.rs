//! Requests that are refused.

use std::fs;

use super::{golden, lines, pairs, place, run, train};
use crate::preflab::{Workplace, root};

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
