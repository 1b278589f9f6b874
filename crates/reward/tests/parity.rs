//! Every golden figure of reward models is reproduced.

use preflab_training::parity::golden_directory;

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
