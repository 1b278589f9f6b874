//! Checks of rows that are not pairs.

use preflab_data::check::{CheckReport, CheckSettings, Checker, FindingKind, Severity};
use preflab_data::{Preprocessor, RowKind, Selection, Tokenizer, Units};

use crate::check::{check, counts};

fn kto(prompt: &str, completion: &str, label: bool) -> String {
    format!("{{\"prompt\": \"{prompt}\", \"completion\": \"{completion}\", \"label\": {label}}}\n")
}

fn supervised(prompt: &str, completion: &str) -> String {
    format!("{{\"prompt\": \"{prompt}\", \"completion\": \"{completion}\"}}\n")
}

fn scored(prompt: &str, completions: &[&str], scores: &[f64]) -> String {
    format!(
        "{{\"prompt\": \"{prompt}\", \"completions\": {completions:?}, \"scores\": {scores:?}}}\n"
    )
}

fn text(text: &str) -> String {
    format!("{{\"text\": \"{text}\"}}\n")
}

fn prompt(prompt: &str) -> String {
    format!("{{\"prompt\": \"{prompt}\"}}\n")
}

fn only(rows: &str) -> CheckReport {
    check(&[("data", rows.to_owned())], None, None)
}

#[test]
fn each_kind_of_trouble_of_each_kind_of_row_is_found() {
    use FindingKind::{
        BothLabels, BrokenEncoding, EmptyChosen, EmptyCompletion, EmptyPrompt, EmptyRejected,
        EqualScores, ExtraTurn, IdenticalPair, OneLabel, RepeatedCandidate, RepeatedPrompt,
        RepeatedRow, SingleCandidate, TrivialPair,
    };
    let both = kto("a", "x", true) + &kto("a", "y", false);
    for (rows, expected) in [
        (both.clone(), vec![]),
        (kto("a", "x", true), vec![(OneLabel, 1)]),
        (
            both.clone() + &kto("b", "x", false) + &kto("b", "z", false),
            vec![(OneLabel, 2)],
        ),
        (both.clone() + &kto("a", "x", false), vec![(BothLabels, 1)]),
        (both.clone() + &kto("a", "x", true), vec![(RepeatedRow, 1)]),
        (
            both.clone() + &kto("a", " ", true),
            vec![(EmptyCompletion, 1)],
        ),
        (
            both.clone() + &kto("a", "", false),
            vec![(EmptyRejected, 1)],
        ),
        (
            kto("", "x", true) + &kto("", "y", false),
            vec![(EmptyPrompt, 2)],
        ),
        (
            both.clone() + &kto("a", "w\\n\\nHuman: and?", true),
            vec![(ExtraTurn, 1)],
        ),
        (both + &kto("a", "cafÃ©", true), vec![(BrokenEncoding, 1)]),
        (scored("a", &["x", "y", "z"], &[1.0, 2.0, 0.5]), vec![]),
        (
            scored("a", &["x", "y"], &[1.0, 1.0]),
            vec![(EqualScores, 1)],
        ),
        (scored("a", &["x"], &[1.0]), vec![(SingleCandidate, 1)]),
        (scored("a", &[], &[]), vec![(SingleCandidate, 1)]),
        (
            scored("a", &["x", "x", "y"], &[1.0, 2.0, 0.0]),
            vec![(RepeatedCandidate, 1)],
        ),
        (
            scored("a", &["x", "x"], &[1.0, 2.0]),
            vec![(IdenticalPair, 1), (RepeatedCandidate, 1)],
        ),
        (
            scored("a", &["X", "x "], &[1.0, 2.0]),
            vec![(TrivialPair, 1)],
        ),
        (scored("a", &["", "x"], &[1.0, 0.0]), vec![(EmptyChosen, 1)]),
        (
            scored("a", &["", "x"], &[0.0, 1.0]),
            vec![(EmptyRejected, 1)],
        ),
        (
            scored("a", &["x", "y"], &[0.0, 1.0]).repeat(2),
            vec![(RepeatedPrompt, 1), (RepeatedRow, 1)],
        ),
        (supervised("a", "x") + &supervised("b", "x"), vec![]),
        (
            supervised("a", "x") + &supervised("a", "y"),
            vec![(RepeatedPrompt, 1)],
        ),
        (
            supervised("a", "x").repeat(3),
            vec![(RepeatedPrompt, 2), (RepeatedRow, 2)],
        ),
        (supervised("a", ""), vec![(EmptyCompletion, 1)]),
        (supervised(" ", "a"), vec![(EmptyPrompt, 1)]),
        (supervised("a", "b\\n\\nHuman: c"), vec![(ExtraTurn, 1)]),
        (text("a") + &text("b"), vec![]),
        (text("a").repeat(2), vec![(RepeatedRow, 1)]),
        (text(" "), vec![(EmptyCompletion, 1)]),
        (text("\\u0000"), vec![(BrokenEncoding, 1)]),
        (prompt("a") + &prompt("b"), vec![]),
        (prompt("a").repeat(2), vec![(RepeatedPrompt, 1)]),
        (prompt(" "), vec![(EmptyPrompt, 1)]),
        (prompt("itâ€™s"), vec![(BrokenEncoding, 1)]),
    ] {
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(counts(&only(&rows)), expected, "{rows}");
    }
}

#[test]
fn nothing_may_stand_in_both_splits() {
    for (train, test, kind) in [
        (
            kto("a", "x", true),
            kto("a", "y", false),
            FindingKind::PromptAcrossSplits,
        ),
        (
            scored("a", &["x", "y"], &[0.0, 1.0]),
            prompt("a"),
            FindingKind::PromptAcrossSplits,
        ),
        (
            supervised("a", "x"),
            supervised("a", "y"),
            FindingKind::PromptAcrossSplits,
        ),
        (prompt("a"), prompt("a"), FindingKind::PromptAcrossSplits),
        (
            text("a"),
            text("b") + &text("a"),
            FindingKind::TextAcrossSplits,
        ),
    ] {
        let report = check(&[("train", train), ("test", test)], None, None);
        assert_eq!(report.finding(kind).count, 1, "{report}");
        assert_eq!(
            report.finding(FindingKind::RepeatedPrompt).count,
            0,
            "{report}"
        );
        assert_eq!(report.severity(), Some(Severity::Error));
    }
}

#[test]
fn what_only_tokens_show_is_found_in_every_kind() {
    let texts = [
        "the quick brown fox",
        "brown fox, quick brown",
        "the the brown brown",
    ];
    let byte_pairs = Tokenizer::train(texts, &Units::Bpe { vocabulary: 320 }).unwrap();
    let characters = Tokenizer::train(["abc"], &Units::Characters { min_count: 1 }).unwrap();
    let found = |tokenizer: &Tokenizer, rows: &str, most: Option<usize>| {
        let preprocessor = Preprocessor::new(tokenizer, None);
        let report = check(&[("data", rows.to_owned())], Some(preprocessor), most);
        let mut found = counts(&report);
        found.retain(|(kind, _)| *kind != FindingKind::OneLabel);
        found
    };
    let merge = [(FindingKind::BoundaryMerge, 1)];
    assert_eq!(
        found(&byte_pairs, &kto("the quick ", "brown", true), None),
        merge
    );
    assert_eq!(
        found(&byte_pairs, &supervised("the quick ", "brown"), None),
        merge
    );
    let candidates = scored("the quick ", &["brown", "fox"], &[0.0, 1.0]);
    assert_eq!(found(&byte_pairs, &candidates, None), merge);
    let unknown = [(FindingKind::UnknownToken, 1)];
    for rows in [
        kto("a", "z", true),
        supervised("a", "z"),
        scored("a", &["b", "z"], &[0.0, 1.0]),
        text("az"),
        prompt("z"),
    ] {
        assert_eq!(found(&characters, &rows, None), unknown, "{rows}");
    }
    // Of `aaa` and `bb`, with the end of the sequence, are six tokens; of a prompt alone three.
    let (cut, filled) = (
        [(FindingKind::Truncated, 1)],
        [(FindingKind::PromptTooLong, 1)],
    );
    for rows in [
        kto("aaa", "bb", true),
        supervised("aaa", "bb"),
        scored("aaa", &["bb", "b"], &[0.0, 1.0]),
    ] {
        assert_eq!(found(&characters, &rows, Some(6)), [], "{rows}");
        assert_eq!(found(&characters, &rows, Some(5)), cut, "{rows}");
        assert_eq!(found(&characters, &rows, Some(3)), filled, "{rows}");
    }
    assert_eq!(found(&characters, &text("aaabb"), Some(6)), []);
    assert_eq!(found(&characters, &text("aaabb"), Some(5)), cut);
    assert_eq!(found(&characters, &prompt("aaa"), Some(4)), []);
    assert_eq!(found(&characters, &prompt("aaa"), Some(3)), filled);
}

#[test]
fn labels_are_counted_and_their_lengths_compared() {
    let rows: String = (0..40)
        .map(|i| {
            let short = kto(&format!("{i}"), "no", false);
            kto(&format!("{i}"), &"long ".repeat(2 + i), true) + if i < 30 { &short } else { "" }
        })
        .collect();
    let report = only(&rows);
    let labels = report.labels.as_ref().unwrap();
    assert_eq!(
        (
            labels.desirable,
            labels.undesirable,
            labels.prompts,
            labels.prompts_with_both,
            labels.pairs
        ),
        (40, 30, 40, 30, 30)
    );
    assert!(labels.is_biased && labels.desirable_longer == 1.0);
    assert_eq!(report.lengths, None);
    let one = report.finding(FindingKind::OneLabel);
    assert_eq!((one.count, one.examples.len()), (10, 3));
    assert_eq!(
        (one.examples[0].line, one.examples[0].text.as_str()),
        (61, "desirable only")
    );
    let said = report.to_string();
    for words in [
        "data: 70 rows: labelled rows (KTO)\n",
        "labels: 40 desirable (57.1 %), 30 undesirable; 40 prompts, 30 with both; 30 pairs can be made of them",
        "warning: length bias: a desirable completion is longer than an undesirable one with probability 100.0 %",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<CheckReport>(&json).unwrap(), report);
}

#[test]
fn one_label_alone_is_a_warning() {
    let report = only(&(kto("a", "x", true) + &kto("b", "y", true)));
    assert_eq!(report.severity(), Some(Severity::Warning));
    assert!(
        report
            .to_string()
            .contains("warning: all completions have one label"),
        "{report}"
    );
    let both = only(&(kto("a", "x", true) + &kto("b", "y", false)));
    assert_eq!(both.severity(), Some(Severity::Note));
}

#[test]
fn candidates_are_compared_by_the_best_and_the_worst() {
    let rows: String = (0..20)
        .map(|i| {
            scored(
                &format!("{i}"),
                &["middling", "the best one", "bad"],
                &[1.0, 2.0, 0.0],
            )
        })
        .collect();
    let report = only(&rows);
    let lengths = report.lengths.as_ref().unwrap();
    assert_eq!(
        (
            lengths.mean_chosen,
            lengths.mean_rejected,
            lengths.is_biased
        ),
        (12.0, 3.0, true)
    );
    assert_eq!(report.labels, None);
}

#[test]
fn texts_and_prompts_are_measured() {
    let report = only(&(text("four") + &text("eleven bits")));
    let sizes = report.sizes.as_ref().unwrap();
    assert_eq!(
        (sizes.mean, sizes.longest, sizes.unit.as_str()),
        (7.5, 11, "characters")
    );
    assert_eq!(report.lengths, None);
    assert!(
        report
            .to_string()
            .contains("mean length 7.5, longest 11 characters"),
        "{report}"
    );
    let report = only(&supervised("four", "more"));
    assert_eq!(report.sizes.unwrap().longest, 8);
}

#[test]
fn a_kind_may_be_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    let row = "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}\n";
    std::fs::write(&path, row).unwrap();
    let kinds = |kind: Option<RowKind>| {
        let mut checker = Checker::new(None, CheckSettings::default());
        checker.add_file("data", &path, &Selection::default(), kind)?;
        Ok::<_, preflab_data::DataError>(checker.finish().kinds().collect::<Vec<_>>())
    };
    assert_eq!(kinds(None).unwrap(), [RowKind::Pairs]);
    for kind in [RowKind::Pairs, RowKind::Supervised, RowKind::Prompts] {
        assert_eq!(kinds(Some(kind)).unwrap(), [kind]);
    }
    let error = kinds(Some(RowKind::Kto)).unwrap_err();
    assert!(
        error.to_string().contains("no column `completion`"),
        "{error}"
    );
}

#[test]
fn the_rows_of_a_file_are_of_one_kind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    std::fs::write(&path, kto("a", "x", true) + &prompt("b")).unwrap();
    let mut checker = Checker::new(None, CheckSettings::default());
    let error = checker
        .add_file("data", &path, &Selection::default(), None)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a.jsonl:2: no column `completion`"),
        "{error}"
    );
}

#[test]
fn a_conversation_without_a_template_is_refused_at_its_row() {
    let row = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    std::fs::write(&path, text("a").replace("text", "messages") + row).unwrap();
    let characters = Tokenizer::train(["ab"], &Units::Characters { min_count: 1 }).unwrap();
    let preprocessor = Preprocessor::new(&characters, None);
    let mut checker = Checker::new(Some(preprocessor), CheckSettings::default());
    let error = checker
        .add_file("data", &path, &Selection::default(), None)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a.jsonl:2: the tokenizer has no chat template"),
        "{error}"
    );
}
