//! Every golden figure of reward models is reproduced.

use std::path::Path;

use preflab_training::parity::{ParityError, golden_directory};
use serde_json::{Value, json};

/// The figures in the repository, whichever are compared with.
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");

#[test]
fn every_golden_figure_of_reward_models_is_reproduced() {
    let rows = preflab_reward::parity::run(&golden_directory()).unwrap();
    assert!(
        !rows.is_empty(),
        "no golden figures in {}",
        golden_directory().display()
    );
    for row in &rows {
        assert!(
            row.holds(),
            "{} ({}): {:e} at {}",
            row.objective,
            row.source,
            row.worst_relative_error,
            row.worst_at
        );
    }
}

/// Whether `rm.json` still agrees with a value changed.
fn changed(change: impl Fn(&mut Value)) -> Result<bool, ParityError> {
    let text = std::fs::read_to_string(Path::new(OWN).join("rm.json")).unwrap();
    let mut figures: Value = serde_json::from_str(&text).unwrap();
    change(&mut figures);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("{:?}-rm", std::thread::current().id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("rm.json"), figures.to_string()).unwrap();
    Ok(preflab_reward::parity::run(&directory)?
        .iter()
        .all(|row| row.holds()))
}

#[test]
fn a_small_error_is_noticed_and_an_unknown_key_refused() {
    assert!(changed(|_| {}).unwrap());
    for pointer in [
        "/cases/0/loss",
        "/cases/1/grad_chosen/0",
        "/cases/2/grad_rejected/3",
        "/cases/0/metrics/mean_reward",
    ] {
        let right = changed(|figures| {
            let figure = figures.pointer_mut(pointer).unwrap();
            *figure = json!(figure.as_f64().unwrap() * 1.0001);
        });
        assert!(!right.unwrap(), "{pointer}");
    }
    let refused = changed(|figures| {
        figures
            .pointer_mut("/cases/0")
            .unwrap()
            .as_object_mut()
            .unwrap()
            .insert("margins".to_owned(), json!(1));
    });
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("`margins` is not covered")
    );
}
