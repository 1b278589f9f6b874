//! Every golden figure of supervised fine-tuning is reproduced.

use preflab_training::parity::golden_directory;

#[test]
fn every_golden_figure_of_supervised_fine_tuning_is_reproduced() {
    let rows = preflab_training::parity::sft::run(&golden_directory()).unwrap();
    assert!(
        !rows.is_empty(),
        "no golden figures in {}",
        golden_directory().display()
    );
    for row in &rows {
        eprintln!(
            "{:28} {:34} {:3} cases {:8.1e} <= {:e}  {}",
            row.source,
            row.objective,
            row.cases,
            row.worst_relative_error,
            row.tolerance,
            row.worst_at
        );
    }
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
