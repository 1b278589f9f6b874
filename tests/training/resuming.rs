//! Runs that are killed or interrupted.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{place, results, run, train};
use crate::preflab::Workplace;

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
