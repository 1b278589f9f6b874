//! Checks of pairs.

use std::path::Path;

use preflab_data::check::{CheckReport, CheckSettings, Checker, FindingKind, Severity, draw_pairs};
use preflab_data::{Preprocessor, Selection, Tokenizer, Units};

use crate::shared::shared;

fn row(prompt: &str, chosen: &str, rejected: &str) -> String {
    format!(
        "{{\"prompt\": \"{prompt}\", \"chosen\": \"{chosen}\", \"rejected\": \"{rejected}\"}}\n"
    )
}

pub fn check(
    files: &[(&str, String)],
    preprocessor: Option<Preprocessor<'_>>,
    max_length: Option<usize>,
) -> CheckReport {
    let directory = tempfile::tempdir().unwrap();
    let mut checker = Checker::new(
        preprocessor,
        CheckSettings {
            max_length,
            ..CheckSettings::default()
        },
    );
    for (i, (split, text)) in files.iter().enumerate() {
        let path = directory.path().join(format!("{i}.jsonl"));
        std::fs::write(&path, text).unwrap();
        checker
            .add_file(split, &path, &Selection::default(), None)
            .unwrap();
    }
    checker.finish()
}

pub fn counts(report: &CheckReport) -> Vec<(FindingKind, usize)> {
    report
        .findings
        .iter()
        .filter(|finding| finding.count > 0)
        .map(|finding| (finding.kind, finding.count))
        .collect()
}

#[test]
fn clean_data_have_no_finding() {
    let report = check(
        &[
            ("train", row("a", "yes", "no!") + &row("b", "no", "yes")),
            ("test", row("c", "x", "y")),
        ],
        None,
        None,
    );
    assert_eq!(counts(&report), []);
    assert_eq!((report.rows(), report.severity()), (3, None));
    assert_eq!(report.lengths.unwrap().unit, "characters");
}

#[test]
fn each_kind_of_trouble_in_the_words_is_found() {
    for (text, expected) in [
        (
            row("a", "same", "same"),
            vec![(FindingKind::IdenticalPair, 1)],
        ),
        (row(" ", "x", "y"), vec![(FindingKind::EmptyPrompt, 1)]),
        (row("a", "", "y"), vec![(FindingKind::EmptyChosen, 1)]),
        (row("a", "x", "\\n"), vec![(FindingKind::EmptyRejected, 1)]),
        (
            row("a", "x", "y") + &row("a", "y", "x"),
            vec![
                (FindingKind::Contradiction, 1),
                (FindingKind::RepeatedPrompt, 1),
            ],
        ),
        (
            row("a", "x", "y") + &row("a", "x", "y"),
            vec![
                (FindingKind::RepeatedPair, 1),
                (FindingKind::RepeatedPrompt, 1),
            ],
        ),
        (
            row("a", "x", "y") + &row("a", "y", "z"),
            vec![(FindingKind::RepeatedPrompt, 1)],
        ),
        (row("a", "x", "y") + &row("b", "y", "x"), vec![]),
    ] {
        assert_eq!(
            counts(&check(&[("train", text.clone())], None, None)),
            expected,
            "{text}"
        );
    }
}

#[test]
fn a_prompt_in_two_splits_is_an_error() {
    let files = [
        ("train", row("a", "x", "y")),
        ("test", row("a", "v", "w") + &row("b", "x", "y")),
    ];
    let report = check(&files, None, None);
    assert_eq!(counts(&report), [(FindingKind::PromptAcrossSplits, 1)]);
    assert_eq!(report.severity(), Some(Severity::Error));
    let example = &report.finding(FindingKind::PromptAcrossSplits).examples[0];
    assert_eq!((example.line, example.text.as_str()), (1, "a"));
    assert!(example.file.ends_with("1.jsonl"));
}

#[test]
fn what_only_tokens_show_is_found_with_a_tokenizer() {
    let texts = [
        "the quick brown fox",
        "brown fox, quick brown",
        "the the brown brown",
    ];
    let byte_pairs = Tokenizer::train(texts, &Units::Bpe { vocabulary: 320 }).unwrap();
    let checked = |text: String, max_length| {
        check(
            &[("train", text)],
            Some(Preprocessor::new(&byte_pairs, None)),
            max_length,
        )
    };
    let merging = checked(row("the quick ", "brown", "fox"), None);
    assert_eq!(counts(&merging), [(FindingKind::BoundaryMerge, 1)]);
    assert_eq!(merging.lengths.unwrap().unit, "tokens");
    assert_eq!(
        counts(&checked(row("zzzzzz", "y", "x"), Some(7))),
        [(FindingKind::Truncated, 1)]
    );
    assert_eq!(
        counts(&checked(row("zzzzzz", "y", "x"), Some(6))),
        [(FindingKind::PromptTooLong, 1)]
    );
    assert_eq!(counts(&checked(row("zzzzzz", "y", "x"), Some(8))), []);

    let characters = Tokenizer::train(["abc"], &Units::Characters { min_count: 1 }).unwrap();
    let unknown = check(
        &[("train", row("a", "b", "z"))],
        Some(Preprocessor::new(&characters, None)),
        None,
    );
    assert_eq!(counts(&unknown), [(FindingKind::UnknownToken, 1)]);
}

#[test]
fn a_longer_chosen_side_is_a_bias() {
    let text: String = (0..40)
        .map(|i| row(&format!("{i}"), "a longer answer", "short"))
        .collect();
    let report = check(&[("train", text)], None, None);
    let lengths = report.lengths.as_ref().unwrap();
    assert!(lengths.is_biased);
    assert_eq!((lengths.chosen_longer, lengths.mean_rejected), (1.0, 5.0));
    assert_eq!(report.severity(), Some(Severity::Warning));
}

#[test]
fn a_report_survives_json_and_examples_are_few() {
    let text: String = (0..10)
        .map(|i| row(&format!("{i}"), "same", "same"))
        .collect();
    let report = check(&[("train", text)], None, None);
    let finding = report.finding(FindingKind::IdenticalPair);
    assert_eq!((finding.count, finding.examples.len()), (10, 3));
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.contains("\"kind\":\"identical-pair\""), "{json}");
    assert_eq!(serde_json::from_str::<CheckReport>(&json).unwrap(), report);
}

#[test]
fn a_bad_file_is_an_error() {
    let mut checker = Checker::new(None, CheckSettings::default());
    assert!(
        checker
            .add_file(
                "train",
                Path::new("no/such.jsonl"),
                &Selection::default(),
                None
            )
            .is_err()
    );
}

#[test]
fn real_data_are_checked() {
    let Some(path) = shared("data/preference/hh_harmless_base.jsonl.gz") else {
        return;
    };
    let mut checker = Checker::new(None, CheckSettings::default());
    checker
        .add_file("all", &path, &Selection::default(), None)
        .unwrap();
    let report = checker.finish();
    eprintln!("{:?} {:?}", counts(&report), report.lengths);
    assert_eq!(report.rows(), 2312);
    assert!(report.finding(FindingKind::IdenticalPair).count < 100);
}

#[test]
fn trivial_pairs_extra_turns_and_broken_encodings_are_found() {
    let rows = row("a", "Yes, of course.", " yes, ofCourse.")
        + &row("b", "No.\\n\\nHuman: Why?", "Yes.")
        + &row("c", "It is a cafÃ©, where we were.", "fine")
        + &row("d", "fine", "\\u0000")
        + &row("e", "café", "naïve");
    let report = check(&[("train", rows)], None, None);
    assert_eq!(
        counts(&report),
        [
            (FindingKind::TrivialPair, 1),
            (FindingKind::BrokenEncoding, 2),
            (FindingKind::ExtraTurn, 1),
        ]
    );
    assert_eq!(report.severity(), Some(Severity::Warning));
    let example = &report.finding(FindingKind::BrokenEncoding).examples[0];
    assert_eq!(example.line, 3);
    assert!(example.text.contains("cafÃ©"), "{}", example.text);
    let text = report.to_string();
    for said in [
        "train: 5 rows: pairs\n",
        "warning: trivial-pair: 1 of 5 rows (20.00 %)",
        "hint: cut the completion before",
        "length bias",
        "warnings: see above",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn a_draw_of_pairs_does_not_depend_on_the_order_of_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let files: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|name| {
            let path = directory.path().join(format!("{name}.jsonl"));
            let rows: String = (0..40)
                .map(|i| row(&format!("{name}{i}"), "yes", "no"))
                .collect();
            std::fs::write(&path, rows).unwrap();
            path
        })
        .collect();
    let reversed: Vec<_> = files.iter().rev().cloned().collect();
    let all = Selection::default();
    let drawn = draw_pairs(&files, &all, 10).unwrap();
    assert_eq!(drawn.len(), 10);
    assert_eq!(drawn, draw_pairs(&reversed, &all, 10).unwrap());
    assert_eq!(draw_pairs(&files, &all, 500).unwrap().len(), 80);
}
