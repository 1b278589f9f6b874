//! Every golden case of the DPO family, from `$PREFLAB_GOLDEN` or `tests/golden` at the root of the repository.

use preflab_dpo::parity::parity;
use preflab_training::parity::golden_directory;

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
