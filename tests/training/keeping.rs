//! Checkpoints, early stops and reference log-probs.

use std::fs;

use serde_json::Value;

use super::{metrics, place, run, train};

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
    let numbers = "own/checkpoints/reference_logps.bin";
    let written = fs::read(place.path(numbers)).unwrap();
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
    assert!(fs::read(place.path(numbers)).unwrap() == written);
    // Numbers that were cut off are not believed either; whole ones are.
    for (content, expected) in [
        (&written[..written.len() - 4], "they are computed anew"),
        (&written, "those on disk, of this model and these rows"),
    ] {
        fs::write(place.path(numbers), content).unwrap();
        fs::remove_file(place.path("own/metrics.json")).unwrap();
        let output = place.output(&dpo("own", &[]));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains(expected), "{said}");
        assert!(fs::read(place.path(numbers)).unwrap() == written);
    }
}
