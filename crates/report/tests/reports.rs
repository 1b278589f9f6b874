use std::fs;
use std::path::Path;

use preflab_experiment::StageKind;
use preflab_experiment::records::{
    CELL_FILE, CellStatus, ExperimentStatus, Records, cell_directory,
};
use preflab_report::document::{Block, Section};
use preflab_report::{Report, ReportError, ReportOptions};

use crate::fixture::{
    ARMS, cell, complete, experiment, with_ablation, write_cell, write_curves, write_experiment,
};

fn report(records: &Records) -> Report {
    Report::new(records, &ReportOptions::default()).unwrap()
}

/// The Markdown between two headings.
fn part(markdown: &str, heading: &str) -> String {
    let from = markdown.split(&format!("## {heading}\n")).nth(1).unwrap();
    from.split("\n## ").next().unwrap().trim().to_owned()
}

/// Also copies the pages to the directory that `PREFLAB_PAGES` names, to look at them.
#[test]
fn a_complete_experiment_becomes_three_files() {
    let directory = tempfile::tempdir().unwrap();
    let records = complete(directory.path(), 5);
    let report = report(&records);
    let written = report.write(directory.path()).unwrap();
    assert_eq!(fs::read_to_string(&written.html).unwrap(), report.html());
    assert_eq!(
        fs::read_to_string(&written.markdown).unwrap(),
        report.markdown()
    );
    assert_eq!(
        fs::read_to_string(&written.csv).unwrap(),
        report.summary_csv()
    );
    let left = fs::read_dir(directory.path()).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|end| end == "partial")
    });
    assert_eq!(left.count(), 0);
    if let Some(pages) = std::env::var_os("PREFLAB_PAGES") {
        for file in [&written.html, &written.markdown, &written.csv] {
            fs::copy(file, Path::new(&pages).join(file.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn the_page_stands_alone_and_shows_user_text_as_text() {
    let directory = tempfile::tempdir().unwrap();
    let html = report(&complete(directory.path(), 3)).html();
    for outside in ["<script", "src=", "@import", "url(", "<link", "<b>autumn"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let addresses: Vec<&str> = html
        .match_indices("http")
        .map(|(at, _)| &html[at..at + 26])
        .collect();
    assert!(
        addresses
            .iter()
            .all(|address| address.starts_with("http://www.w3.org/2000/svg")),
        "{addresses:?}"
    );
    assert!(
        html.contains("&lt;b&gt;autumn &amp; rain&lt;/b&gt;")
            && html.contains("&lt;generated&gt; verse")
    );
    // Every link of the navigation has its section, and every figure says what it is.
    for id in html
        .match_indices("href=\"#")
        .map(|(at, _)| html[at + 7..].split('"').next().unwrap())
    {
        assert!(html.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    assert_eq!(
        html.matches("<svg").count(),
        html.matches("aria-label=\"").count() - 1
    );
    assert!(html.matches("<svg").count() >= 10);
    for tag in [
        "dynamics/logps_change/unseen",
        "objective/kl_exact",
        "task/rhyme",
    ] {
        let meaning = preflab_metrics::Metric::from_tag(tag).unwrap().meaning();
        assert!(html.contains(meaning), "no definition of {tag}");
    }
}

#[test]
fn the_answer_comes_first() {
    let directory = tempfile::tempdir().unwrap();
    let markdown = report(&complete(directory.path(), 5)).markdown();
    let lead = markdown.split("\n## ").next().unwrap();
    insta::assert_snapshot!(lead, @"");
}

#[test]
fn the_tables_show_means_intervals_and_paired_differences() {
    let directory = tempfile::tempdir().unwrap();
    let markdown = report(&complete(directory.path(), 5)).markdown();
    insta::assert_snapshot!(part(&markdown, "Scores"), @"");
    insta::assert_snapshot!(part(&markdown, "Paired differences"), @"");
    insta::assert_snapshot!(part(&markdown, "Budgets"), @"");
    insta::assert_snapshot!(part(&markdown, "What was matched"), @"");
}

#[test]
fn the_summary_has_one_row_for_each_arm_seed_and_measure() {
    let directory = tempfile::tempdir().unwrap();
    let records = complete(directory.path(), 3);
    let report = report(&records);
    let mut reader = csv::Reader::from_reader(report.summary_csv().as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    // Ten measures and three times six currencies.
    assert_eq!(rows.len(), ARMS.len() * 3 * (10 + 18));
    let find = |arm: &str, seed: &str, measure: &str| -> f64 {
        let row = rows
            .iter()
            .find(|row| &row[0] == arm && &row[3] == seed && &row[5] == measure)
            .unwrap();
        row[7].parse().unwrap()
    };
    let ppo = records
        .cells
        .iter()
        .find(|cell| cell.arm == "ppo" && cell.seed == 2)
        .unwrap();
    assert_eq!(find("ppo", "2", "task/gold"), ppo.measures["task/gold"]);
    assert_eq!(find("ppo", "2", "budget/updates"), 200.0);
    assert_eq!(find("sft", "0", "preparation/flops"), 1.2e13);
    let first: Vec<&str> = rows[1].iter().take(7).collect();
    assert_eq!(
        first,
        ["sft", "sft", "start", "0", "done", "task/gold", "score"]
    );
}

#[test]
fn one_seed_has_means_and_no_claims() {
    let directory = tempfile::tempdir().unwrap();
    let markdown = report(&complete(directory.path(), 1)).markdown();
    assert!(
        markdown.contains("with 1 seed there is no interval, so nothing is claimed"),
        "{markdown}"
    );
    let differences = part(&markdown, "Paired differences");
    assert!(
        differences.contains("too few seeds") && differences.contains("| n/a | n/a |"),
        "{differences}"
    );
    assert!(!differences.contains("is possible, whatever"));
}

#[test]
fn missing_and_failed_cells_are_said_and_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut record = experiment("partial", 3, &ARMS);
    record.status = ExperimentStatus::Running;
    write_experiment(directory.path(), &record);
    for arm in &ARMS {
        for seed in 0..3 {
            if arm.0 == "flex-dpo" && seed > 0 {
                continue;
            }
            let mut cell = cell(arm, seed);
            if arm.0 == "dpo" && seed == 1 {
                cell.status = CellStatus::Failed {
                    stage: StageKind::Training,
                    message: "loss is NaN at update 17".to_owned(),
                };
                cell.measures = [("task/gold".to_owned(), 99.0)].into();
            }
            if arm.0 == "ppo" && seed == 2 {
                cell.measures.insert("task/gold".to_owned(), f64::NAN);
            }
            write_cell(directory.path(), &cell);
        }
    }
    // A cell that is running has curves and no record yet.
    write_curves(directory.path(), &ARMS[3], 1, 40);
    let report = report(&Records::read(directory.path()).unwrap());
    let markdown = report.markdown();
    assert!(
        markdown.contains("not finished: 9 of 12 cells are done"),
        "{markdown}"
    );
    assert!(markdown.contains("`dpo`, seed 1, failed at training: loss is NaN at update 17"));
    assert!(markdown.contains("Not there yet: flex-dpo (seeds 1, 2)."));
    assert!(markdown.contains("(1 not finite)"));
    let scores = part(&markdown, "Scores");
    assert!(
        scores.contains("| `dpo` | 2 |") && !scores.contains("99"),
        "{scores}"
    );
    assert!(
        report
            .summary_csv()
            .contains("dpo,dpo: dpo,file,1,failed,task/gold,score,99")
    );
    assert!(report.summary_csv().contains("task/gold,score,NaN"));
    assert!(report.html().contains("dynamics/logps_change/chosen"));
}

#[test]
fn an_experiment_without_cells_has_a_page_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut record = experiment("begun", 3, &ARMS);
    record.status = ExperimentStatus::Running;
    write_experiment(directory.path(), &record);
    let markdown = report(&Records::read(directory.path()).unwrap()).markdown();
    assert!(
        markdown.contains("0 of 12 cells are done")
            && markdown.contains("there is nothing to compare"),
        "{markdown}"
    );
    assert!(markdown.contains("## What was matched"));
}

#[test]
fn an_ablation_has_its_curves_or_its_map() {
    for (keys, drawn) in [
        (1, "Scores against method.dpo.objective.dpo.beta"),
        (2, "Scores over both settings"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let report = report(&with_ablation(directory.path(), keys));
        let html = report.html();
        assert!(html.contains(drawn));
        let ablation = part(&report.markdown(), "Ablation");
        assert_eq!(
            ablation
                .lines()
                .filter(|line| line.starts_with("| 0."))
                .count(),
            if keys == 1 { 4 } else { 8 },
            "{ablation}"
        );
        // The grid's points are not arms of the comparison.
        assert!(!part(&report.markdown(), "Scores").contains("dpo@"));
        if let Some(pages) = std::env::var_os("PREFLAB_PAGES") {
            fs::write(Path::new(&pages).join(format!("ablation{keys}.html")), html).unwrap();
        }
    }
}

#[test]
fn a_reader_chooses_the_baseline() {
    let directory = tempfile::tempdir().unwrap();
    let records = complete(directory.path(), 3);
    let chosen = ReportOptions {
        baselines: vec!["dpo".to_owned()],
        ..ReportOptions::default()
    };
    let markdown = Report::new(&records, &chosen).unwrap().markdown();
    assert!(markdown.contains("### Against dpo") && !markdown.contains("### Against sft"));
    let unknown = ReportOptions {
        baselines: vec!["pp".to_owned()],
        ..ReportOptions::default()
    };
    let error = Report::new(&records, &unknown).unwrap_err();
    assert!(matches!(error, ReportError::UnknownBaseline { .. }));
    assert!(
        error
            .to_string()
            .ends_with("hint: the arms are `sft`, `ppo`, `dpo`, `flex-dpo`"),
        "{error}"
    );
}

#[test]
fn a_damaged_log_and_a_place_that_cannot_be_written_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let records = complete(directory.path(), 1);
    let error = report(&records)
        .write(&directory.path().join("none"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot write `") && error.contains("none/report.html"),
        "{error}"
    );
    fs::write(
        cell_directory(directory.path(), "ppo", 0).join("scalars.jsonl"),
        "{}\n",
    )
    .unwrap();
    let error = Report::new(&records, &ReportOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("ppo/seed-0/scalars.jsonl:1: expected"),
        "{error}"
    );
}

#[test]
fn the_same_records_give_the_same_report_and_others_can_add_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let records = complete(directory.path(), 3);
    let mut first = report(&records);
    assert_eq!(first.html(), report(&records).html());
    first.push(
        Section::new("verdict-3d", "3D detector")
            .block(Block::paragraph("no property was flagged")),
    );
    assert!(
        first
            .markdown()
            .ends_with("## 3D detector\n\nno property was flagged\n")
    );
    assert!(
        cell_directory(directory.path(), "ppo", 0)
            .join(CELL_FILE)
            .is_file()
    );
}
