//! Every golden figure of the PPO family is reproduced.

use preflab_training::parity::golden_directory;

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
