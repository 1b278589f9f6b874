//! Every golden case of the DPO family, from `$PREFLAB_GOLDEN` or `tests/golden` at the root of the repository.

use preflab_dpo::parity::parity;
use preflab_training::parity::{ParityError, ParityRow, golden_directory};
use serde_json::{Value, json};

#[test]
fn every_case_agrees_with_its_reference() {
    let rows = parity(&golden_directory()).unwrap_or_else(|error| panic!("{error}"));
    let mut wrong = Vec::new();
    for row in &rows {
        let line = format!(
            "{:<50} {:<18} {:>3} cases  {:.1e} of {:.0e}  {}",
            row.objective,
            row.source,
            row.cases,
            row.worst_relative_error,
            row.tolerance,
            row.worst_at
        );
        eprintln!("{line}");
        if !row.holds() {
            wrong.push(line);
        }
    }
    assert!(!rows.is_empty(), "no golden file of the family was found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The comparison of one golden file, altered, in a directory of its own.
fn altered(name: &str, alter: impl Fn(&mut Value)) -> Result<Vec<ParityRow>, ParityError> {
    let text = std::fs::read_to_string(golden_directory().join(name)).unwrap();
    let mut figures: Value = serde_json::from_str(&text).unwrap();
    alter(&mut figures);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(name), figures.to_string()).unwrap();
    parity(directory.path())
}

#[test]
fn an_unknown_section_kind_or_key_is_refused_and_named() {
    let refused = |name: &str, alter: &dyn Fn(&mut Value), expected: &str| {
        let error = altered(name, alter).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let family = "dpo_family.json";
    refused(
        family,
        &|f| f["surprise"] = json!([]),
        "dpo_family.json: `surprise` is not covered",
    );
    refused(
        family,
        &|f| f["dpo"][7]["loss_type"] = json!("surprise"),
        "dpo[7]: `surprise` is not covered",
    );
    refused(
        family,
        &|f| f["kto"][0]["surprise"] = json!(1.0),
        "kto[0]: `surprise` is not covered",
    );
    refused(
        family,
        &|f| f["dpo"][0]["beta"] = json!(-1.0),
        "dpo[0]: expected a number above 0, found -1",
    );
    refused(
        "dpo_tokens.json",
        &|f| f["cases"][1]["loss_types"][0] = json!("surprise"),
        "cases[1]: `surprise` is not covered",
    );
    refused(
        "other_losses.json",
        &|f| f["halos"][2]["settings"]["trainer"] = json!("SurpriseTrainer"),
        "halos[2]: settings: `SurpriseTrainer` is not covered",
    );
}

#[test]
fn a_figure_off_by_one_in_a_hundred_thousand_does_not_agree() {
    let wrong = |alter: &dyn Fn(&mut Value)| {
        let rows = altered("dpo_family.json", alter).unwrap();
        let wrong: Vec<String> = rows
            .iter()
            .filter(|row| !row.holds())
            .map(|row| format!("{} at {}", row.objective, row.worst_at))
            .collect();
        wrong.join("; ")
    };
    let scale = |value: &mut Value| *value = json!(value.as_f64().unwrap() * (1.0 + 1e-5));
    assert_eq!(wrong(&|_| {}), "");
    assert_eq!(
        wrong(&|f| scale(&mut f["dpo"][3]["per_pair"]["loss"][5])),
        "nca_pair at dpo_family.json: dpo[3]: loss"
    );
    assert_eq!(
        wrong(&|f| scale(&mut f["cpo"][0]["per_pair"]["grad_policy_rejected_logps"][4])),
        "cpo sigmoid at dpo_family.json: cpo[0]: gradient rejected"
    );
    assert_eq!(
        wrong(&|f| scale(&mut f["bco"][1]["steps"][2]["delta"])),
        "bco at dpo_family.json: bco[1]: steps[2]: delta"
    );
}

#[test]
fn a_directory_without_figures_gives_no_rows() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(parity(directory.path()).unwrap(), []);
}
