//! Every golden figure of the PPO family is reproduced.

use std::path::Path;

use preflab_training::parity::{ParityError, ParityRow, golden_directory};
use serde_json::{Value, json};

/// The figures in the repository, whichever are compared with.
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");

#[test]
fn every_golden_figure_of_ppo_is_reproduced() {
    let rows = preflab_ppo::parity::run(&golden_directory()).unwrap();
    assert!(
        !rows.is_empty(),
        "no golden figures in {}",
        golden_directory().display()
    );
    let wrong: Vec<String> = (rows.iter())
        .filter(|row| !row.holds())
        .map(|row| {
            format!(
                "{} ({}): {:e} at {}",
                row.objective, row.source, row.worst_relative_error, row.worst_at
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The parity rows of one file of which a value was changed.
fn changed(file: &str, change: impl Fn(&mut Value)) -> Result<Vec<ParityRow>, ParityError> {
    let text = std::fs::read_to_string(Path::new(OWN).join(file)).unwrap();
    let mut figures: Value = serde_json::from_str(&text).unwrap();
    change(&mut figures);
    let name = format!("{:?}-{file}", std::thread::current().id());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(file), figures.to_string()).unwrap();
    preflab_ppo::parity::run(&directory)
}

#[test]
fn a_small_error_in_any_figure_is_noticed() {
    let figures = [
        ("ppo.json", "/cases/0/update/stats/pg_loss_stats"),
        ("ppo.json", "/cases/0/rollout/advantages/0/0"),
        ("ppo.json", "/classic_0_11_4/0/stats/loss~1value"),
        ("ppo.json", "/helpers/masked_mean"),
        ("ppo.json", "/adaptive_kl_controller/0/trace/0/value"),
        ("rl_algos.json", "/verl_gae/0/returns/0/0"),
        ("rl_algos.json", "/verl_adv/0/advantages/0/0"),
        ("rl_algos.json", "/verl_kl_penalty/0/kl/0/0"),
        ("rl_algos.json", "/verl_compute_rewards/0/rewards/0/0"),
        ("rl_algos.json", "/verl_policy/0/loss"),
        ("rl_algos.json", "/verl_policy/0/grad_log_prob/0/0"),
        ("rl_algos.json", "/verl_agg_loss/0/loss_dp2"),
        ("rl_algos.json", "/verl_value/0/loss"),
        ("rl_algos.json", "/verl_entropy/0/entropy"),
        ("rl_algos.json", "/verl_adaptive_kl/0/value_after/5"),
        ("rl_algos.json", "/verl_masked_whiten/0/out/0/0"),
        ("rl_algos.json", "/lm_human_preference_ppo/0/vf_loss"),
        ("rl_algos.json", "/summarize_from_feedback_ppo/0/pg_loss"),
        (
            "rl_algos.json",
            "/adam_epsilon_placement/0/params_after/0/0",
        ),
        ("other_losses.json", "/openrlhf_policy/0/loss"),
        ("other_losses.json", "/openrlhf_value/0/loss"),
        ("other_losses.json", "/openrlhf_approx_kl/0/kl/0/0"),
        ("other_losses.json", "/openrlhf_reward/0/reward/0/9"),
    ];
    for (file, pointer) in figures {
        let rows = changed(file, |figures| {
            let figure = figures.pointer_mut(pointer).unwrap();
            *figure = json!(figure.as_f64().unwrap() * 1.0001);
        });
        let wrong: Vec<ParityRow> = rows
            .unwrap()
            .into_iter()
            .filter(|row| !row.holds())
            .collect();
        assert_eq!(wrong.len(), 1, "{file} {pointer}: {wrong:?}");
    }
}

#[test]
fn what_no_comparison_covers_is_an_error() {
    let unknown = |file: &str, pointer: &str, value: Value| {
        let refused = changed(file, |figures| {
            *figures.pointer_mut(pointer).unwrap() = value.clone()
        });
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("is not covered"), "{pointer}: {error}");
    };
    unknown("ppo.json", "/cases/0/config/kl_estimator", json!("k9"));
    unknown(
        "ppo.json",
        "/classic_0_11_4/0/config/kl_penalty",
        json!("fuller"),
    );
    unknown(
        "rl_algos.json",
        "/verl_policy/0/loss_name",
        json!("chocolate"),
    );
    unknown(
        "rl_algos.json",
        "/verl_policy/0/settings",
        json!({"clip_ration": 0.2}),
    );
    unknown("rl_algos.json", "/verl_policy/0/agg", json!("token-median"));
    unknown("rl_algos.json", "/verl_adv/0/estimator", json!("guess"));
    unknown("rl_algos.json", "/verl_kl_penalty/0/kind", json!("k9+"));
    unknown(
        "rl_algos.json",
        "/adam_epsilon_placement/0/optimizer",
        json!("Adagrad"),
    );
    unknown(
        "other_losses.json",
        "/openrlhf_policy/0/settings",
        json!({"policy_loss_type": "spo"}),
    );
    unknown(
        "other_losses.json",
        "/openrlhf_approx_kl/0/estimator",
        json!("k9"),
    );
    for file in ["ppo.json", "rl_algos.json", "other_losses.json"] {
        let refused = changed(file, |figures| {
            figures
                .as_object_mut()
                .unwrap()
                .insert("new_section".to_owned(), json!([]));
        });
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("`new_section` is not covered"),
            "{file}"
        );
    }
}
