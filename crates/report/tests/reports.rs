use std::fs;

use preflab_experiment::StageKind;
use preflab_experiment::records::{CellStatus, ExperimentStatus, Records};
use preflab_report::{Report, ReportError, ReportOptions};

use crate::fixture::{
    ARMS, cell, complete, experiment, with_ablation, write_cell, write_curves, write_experiment,
};

fn report(records: &Records) -> Report {
    Report::new(records, &ReportOptions::default()).unwrap()
}

/// Writes pages to look at, where `PREFLAB_PAGES` names a directory.
#[test]
fn a_complete_experiment_becomes_three_files() {
    let directory = tempfile::tempdir().unwrap();
    let records = complete(directory.path(), 5);
    let report = report(&records);
    let written = report.write(directory.path()).unwrap();
    let html = fs::read_to_string(&written.html).unwrap();
    assert_eq!(html, report.html());
    assert!(!directory.path().join("report.html.partial").exists());
    if let Some(pages) = std::env::var_os("PREFLAB_PAGES") {
        let pages = std::path::Path::new(&pages);
        for keys in [1, 2] {
            let inner = tempfile::tempdir().unwrap();
            let records = with_ablation(inner.path(), keys);
            fs::write(
                pages.join(format!("ablation{keys}.html")),
                self::report(&records).html(),
            )
            .unwrap();
        }
        for file in [&written.html, &written.markdown, &written.csv] {
            fs::copy(file, pages.join(file.file_name().unwrap())).unwrap();
        }
    }
}
