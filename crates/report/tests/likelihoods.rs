//! Likelihoods before and after, the 3D detector's verdict, and the pairs, in the report.

use preflab_experiment::records::{Records, StageUse};
use preflab_experiment::{Ledger, StageKind};
use preflab_report::{Report, ReportOptions};

use crate::fixture::{ARMS, cell, experiment, write_cell, write_experiment};

/// DPO drops and degrades under two of three seeds, Flex-DPO never; both train on the same pairs.
fn watched(directory: &std::path::Path) -> Records {
    write_experiment(directory, &experiment("verse", 3, &ARMS));
    for seed in 0..3_u64 {
        for arm in &ARMS {
            let mut record = cell(arm, seed);
            let (change, onset) = match arm.0 {
                "dpo" if seed < 2 => (-1.0, Some(20.0 + 10.0 * seed as f64)),
                "dpo" => (-0.6, None),
                "flex-dpo" => (-0.2, None),
                _ => {
                    write_cell(directory, &record);
                    continue;
                }
            };
            let measures = &mut record.measures;
            for (side, factor) in [("chosen", 0.1), ("rejected", 1.0), ("unseen", 0.5)] {
                measures.insert(format!("dynamics/logps_change/{side}"), change * factor);
                measures.insert(
                    format!("dynamics/logps_mean/{side}"),
                    -4.0 + change * factor,
                );
            }
            for (property, strength) in
                [("drop", -change), ("degradation", 0.1), ("dispersion", 0.0)]
            {
                measures.insert(format!("dynamics/detector/{property}"), strength);
            }
            if let Some(onset) = onset {
                measures.insert("dynamics/detector/drop_onset".to_owned(), onset);
                measures.insert("dynamics/detector/degradation_onset".to_owned(), onset);
            }
            for (kind, figures) in [
                (
                    StageKind::Pairs,
                    vec![("pairs/kept", 768.0), ("pairs/gold_chosen", 0.6)],
                ),
                (StageKind::ReferenceLogps, vec![("pairs/logp_chosen", -2.5)]),
            ] {
                record.stages.push(StageUse {
                    kind,
                    key: format!("{kind}-{seed}"),
                    shared_by: 2,
                    ledger: Ledger::default(),
                    measures: figures
                        .into_iter()
                        .map(|(tag, value)| (tag.to_owned(), value))
                        .collect(),
                });
            }
            write_cell(directory, &record);
        }
    }
    Records::read(directory).unwrap()
}

#[test]
fn the_verdict_and_the_log_probs_of_each_arm_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    let records = watched(directory.path());
    let report = Report::new(&records, &ReportOptions::default()).unwrap();
    let text = report.markdown();
    for row in [
        "| `dpo` | 2 of 3 | 2 of 3 | 25 | 1.000 | 2 of 3 | 25 | 0.100 | 0 of 3 | – | 0.000 |",
        "| `flex-dpo` | 0 of 3 | 0 of 3 | – | 0.200 | 0 of 3 | – | 0.100 | 0 of 3 | – | 0.000 |",
    ] {
        assert!(text.contains(row), "{row}\n{text}");
    }
    let before = text
        .lines()
        .find(|line| line.starts_with("| `flex-dpo` | 3 | −4"))
        .unwrap_or_else(|| panic!("{text}"));
    assert!(
        before.contains("−4.2") && before.contains("−0.2"),
        "{before}"
    );
    assert!(text.contains("against drop: Flex-DPO"), "{text}");
}

#[test]
fn arms_on_the_same_pairs_share_a_row() {
    let directory = tempfile::tempdir().unwrap();
    let records = watched(directory.path());
    let report = Report::new(&records, &ReportOptions::default()).unwrap();
    let text = report.markdown();
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| `dpo`, `flex-dpo` |"))
        .collect();
    assert_eq!(rows.len(), 1, "{text}");
    assert!(
        rows[0].contains("768") && rows[0].contains("−2.5"),
        "{}",
        rows[0]
    );
}
