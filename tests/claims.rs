//! The paper's claims from a small run and a small toy model, through the binary.

use std::fs;

use serde_json::Value;

use crate::preflab::Workplace;

#[test]
fn claims_are_read_from_what_the_binary_ran() {
    let place = Workplace::with_training();
    let experiment = fs::read_to_string(place.path("experiment.toml")).unwrap();
    let flex = "[arms.flex]\nmethod.dpo = { objective.flex-dpo = {}, batch_size = 8 }\n";
    place.write(
        "experiment.toml",
        &format!("{experiment}{flex}").replace("seeds = 1", "seeds = 2"),
    );
    let run = place.output(&["run", "experiment.toml", "--quiet"]);
    assert!(run.status.success(), "{run:?}");
    let toy = [
        "toy", "--seeds", "3", "--epochs", "40", "--quiet", "--out", "runs/toy",
    ];
    assert!(place.output(&toy).status.success());

    let output = place.output(&["claims", "runs", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let claims: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(claims["runs"].as_array().unwrap().len(), 2);
    let claim = |id: &str| -> &Value {
        let claims = claims["claims"].as_array().unwrap();
        claims.iter().find(|claim| claim["id"] == id).unwrap()
    };
    for claim in claims["claims"].as_array().unwrap() {
        if claim["setting"] == "toy" {
            assert!(
                claim["verdict"].is_string(),
                "the toy model supplies {claim}"
            );
        }
    }
    for id in [
        "drop",
        "degradation",
        "dispersion",
        "gradients",
        "ppo-verse",
        "flex-dpo-milder",
        "variants-above-dpo",
        "variants-below-ppo",
    ] {
        let comparison = &claim(id)["findings"][0]["comparisons"][0];
        assert_eq!(comparison["seeds"], 2, "{id}");
        assert!(comparison["effect"].is_number(), "{id}");
        assert_eq!(comparison["interval"].as_array().unwrap().len(), 2, "{id}");
    }
    assert_eq!(
        claim("ppo-verse")["findings"][0]["comparisons"][0]["arms"],
        serde_json::json!(["ppo", "dpo"])
    );
    for id in ["on-policy-best", "ppo-slogan", "reward-steadier"] {
        assert!(claim(id)["verdict"].is_null(), "{id}");
    }

    let text = String::from_utf8(place.output(&["claims", "runs"]).stdout).unwrap();
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    let markdown = place.output(&["claims", "runs/toy", "runs/experiment", "--markdown"]);
    let markdown = String::from_utf8(markdown.stdout).unwrap();
    assert!(markdown.contains("| `runs/toy` |"), "{markdown}");
}

#[test]
fn a_directory_without_records() {
    let place = Workplace::new();
    fs::create_dir(place.path("runs")).unwrap();
    insta::assert_snapshot!(place.snapshot(&["claims", "runs"]), @"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: `runs` holds no records: neither an experiment's `records.json` nor the toy model's `claims.json` is in it or below it

    hint: give directories that `preflab run` or `preflab toy` wrote, or one that holds several, such as `runs`
    ");
}
