//! Data sets of every format and kind.

use std::io::Write;
use std::path::{Path, PathBuf};

use preflab_data::{
    DataError, KtoRecord, Message, PairRecord, PromptRecord, Record, Records, RowKind,
    ScoredRecord, SupervisedRecord, Text,
};

use crate::shared::shared;

fn written(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    if name.ends_with(".gz") {
        let mut gzip = flate2::write::GzEncoder::new(
            std::fs::File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap();
    } else {
        std::fs::write(&path, text).unwrap();
    }
    path
}

fn read<T: Record>(name: &str, text: &str) -> Result<Vec<(usize, T)>, DataError> {
    let directory = tempfile::tempdir().unwrap();
    let path = written(directory.path(), name, text);
    Records::<T>::open(&path)?
        .map(|row| row.map(|row| (row.line, row.record)))
        .collect()
}

fn one<T: Record>(json: &str) -> Result<T, DataError> {
    read::<T>("rows.jsonl", json).map(|mut rows| rows.pop().unwrap().1)
}

fn messages(turns: &[(&str, &str)]) -> Text {
    Text::Messages(
        turns
            .iter()
            .map(|(role, content)| Message::new(role, *content))
            .collect(),
    )
}

#[test]
fn every_format_gives_the_same_rows() {
    let lines = "{\"prompt\": \"Q\", \"chosen\": \"a, \\\"b\\\"\", \"rejected\": \"c\"}\n{\"prompt\": \"R\", \"chosen\": \"d\\ne\", \"rejected\": \"\"}\n";
    let array = format!("[\n{}]\n", lines.trim_end().replace('\n', ",\n"));
    let csv = "prompt,chosen,rejected\nQ,\"a, \"\"b\"\"\",c\nR,\"d\ne\",\n";
    let expected: Vec<PairRecord> = read("a.jsonl", lines)
        .unwrap()
        .into_iter()
        .map(|(_, row)| row)
        .collect();
    assert_eq!(expected[1].chosen, Text::from("d\ne"));
    for (name, text, numbers) in [
        ("a.jsonl.gz", lines, [1, 2]),
        ("a.json", lines, [1, 2]),
        ("a.json", array.as_str(), [2, 3]),
        ("a.json.gz", array.as_str(), [2, 3]),
        ("a.csv", csv, [2, 3]),
        ("a.csv.gz", csv, [2, 3]),
    ] {
        let (found, rows): (Vec<usize>, Vec<PairRecord>) =
            read(name, text).unwrap().into_iter().unzip();
        assert_eq!(rows, expected, "{name}");
        assert_eq!(found, numbers, "{name}");
    }
}

#[test]
fn a_csv_cell_may_hold_messages() {
    let csv = "prompt,chosen,rejected\n\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"Hi\"\"}]\",yes,[no\n";
    let rows = read::<PairRecord>("a.csv", csv).unwrap();
    assert_eq!(rows[0].1.prompt, messages(&[("user", "Hi")]));
    assert_eq!(rows[0].1.rejected, messages(&[("assistant", "[no")]));
}

#[test]
fn prompts_are_found_where_they_are_implicit() {
    let user = "{\"role\": \"user\", \"content\": \"Hi\"}";
    let assistant = |text: &str| format!("{{\"role\": \"assistant\", \"content\": \"{text}\"}}");
    let (yes, no) = (assistant("yes"), assistant("no"));
    let conversation = (
        messages(&[("user", "Hi")]),
        messages(&[("assistant", "yes")]),
        messages(&[("assistant", "no")]),
    );
    for (json, expected) in [
        (format!("{{\"chosen\": [{user}, {yes}], \"rejected\": [{user}, {no}]}}"), conversation.clone()),
        (format!("{{\"prompt\": \"Hi\", \"chosen\": [{user}, {yes}], \"rejected\": [{user}, {no}]}}"), conversation.clone()),
        (format!("{{\"prompt\": [{user}], \"chosen\": [{user}, {yes}], \"rejected\": [{no}]}}"), conversation.clone()),
        (format!("{{\"prompt\": [{user}], \"chosen\": \"yes\", \"rejected\": \"no\"}}"), conversation.clone()),
        // the same conversation twice: its last message is the completion
        (
            format!("{{\"chosen\": [{user}, {yes}], \"rejected\": [{user}, {yes}]}}"),
            (messages(&[("user", "Hi")]), messages(&[("assistant", "yes")]), messages(&[("assistant", "yes")])),
        ),
        (
            "{\"chosen\": \"Is it? Yes.\", \"rejected\": \"Is it? No.\"}".into(),
            (Text::from("Is it?"), Text::from(" Yes."), Text::from(" No.")),
        ),
        (
            "{\"chosen\": \"\\n\\nHuman: a\\n\\nAssistant: b\", \"rejected\": \"\\n\\nHuman: a\\n\\nAssistant: c\"}".into(),
            (Text::from("\n\nHuman: a\n\nAssistant:"), Text::from(" b"), Text::from(" c")),
        ),
    ] {
        let row = one::<PairRecord>(&json).unwrap();
        assert_eq!((row.prompt, row.chosen, row.rejected), expected, "{json}");
    }
}

#[test]
fn a_text_that_goes_on_where_the_other_ends_leaves_both_a_completion() {
    let row = one::<PairRecord>("{\"chosen\": \"Yes. \", \"rejected\": \"Yes. No\"}").unwrap();
    let parts = [row.prompt, row.chosen, row.rejected].map(|text| text.plain());
    assert_eq!(parts, ["Yes.", " ", " No"]);
    let row = one::<PairRecord>("{\"chosen\": \"日本\", \"rejected\": \"日本語\"}").unwrap();
    assert_eq!(
        (row.prompt, row.chosen),
        (Text::from("日"), Text::from("本"))
    );
}

#[test]
fn pairs_become_rows_with_labels() {
    let pair =
        one::<PairRecord>("{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}").unwrap();
    let rows = KtoRecord::unpaired(&[pair.clone(), pair]);
    let labels: Vec<(bool, String)> = rows
        .iter()
        .map(|row| (row.label, row.completion.plain()))
        .collect();
    assert_eq!(
        labels,
        [
            (true, "c".into()),
            (true, "c".into()),
            (false, "r".into()),
            (false, "r".into())
        ]
    );
}

#[test]
fn margins_are_read_where_they_are_given() {
    let margin = |more: &str| {
        one::<PairRecord>(&format!(
            "{{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"{more}}}"
        ))
        .unwrap()
        .margin
    };
    assert_eq!(margin(""), None);
    assert_eq!(margin(", \"margin\": 0.5"), Some(0.5));
    assert_eq!(
        margin(", \"score_chosen\": 7.5, \"score_rejected\": 4"),
        Some(3.5)
    );
}

#[test]
fn the_other_kinds_of_rows_are_read() {
    let kto = one::<KtoRecord>("{\"prompt\": \"p\", \"completion\": \"c\", \"label\": 1}").unwrap();
    assert!(kto.label);
    let kto = read::<KtoRecord>("a.csv", "prompt,completion,label\np,c,False\n").unwrap();
    assert!(!kto[0].1.label);

    let whole =
        one::<SupervisedRecord>("{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}")
            .unwrap();
    assert_eq!(whole, SupervisedRecord::Whole(messages(&[("user", "Hi")])));
    assert_eq!(
        one::<SupervisedRecord>("{\"text\": \"t\"}").unwrap(),
        SupervisedRecord::Whole(Text::from("t"))
    );
    let answered = SupervisedRecord::Completion {
        prompt: Text::from("p"),
        completion: Text::from("c"),
    };
    for json in [
        "{\"prompt\": \"p\", \"completion\": \"c\"}",
        "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}",
    ] {
        assert_eq!(one::<SupervisedRecord>(json).unwrap(), answered);
    }

    let scored = vec![(Text::from("a"), 1.0), (Text::from("b"), 2.5)];
    for json in [
        "{\"prompt\": \"p\", \"completions\": [\"a\", \"b\"], \"scores\": [1, 2.5]}",
        "{\"prompt\": \"p\", \"responses\": [{\"text\": \"a\", \"score\": 1}, {\"text\": \"b\", \"score\": 2.5}]}",
        "{\"prompt\": \"p\", \"completions\": [{\"response\": \"a\", \"overall_score\": \"1\"}, {\"response\": \"b\", \"overall_score\": 2.5}]}",
    ] {
        assert_eq!(
            one::<ScoredRecord>(json).unwrap().candidates,
            scored,
            "{json}"
        );
    }

    assert_eq!(
        one::<PromptRecord>("{\"prompt\": \"p\"}").unwrap().prompt,
        Text::from("p")
    );
    let answered = "{\"messages\": [{\"role\": \"assistant\", \"content\": \"Hi\"}]}";
    assert!(
        one::<PromptRecord>(answered)
            .unwrap_err()
            .to_string()
            .contains("ends with a message of the assistant")
    );
}

#[test]
fn columns_may_have_other_names() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        (
            "a.jsonl",
            "{\"instruction\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}",
        ),
        (
            "a.json",
            "[{\"instruction\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}]",
        ),
        ("a.csv", "instruction,chosen,rejected\np,c,r\n"),
    ] {
        let path = written(directory.path(), name, text);
        let mut rows = Records::<PairRecord>::open(&path)
            .unwrap()
            .renamed("prompt", "instruction");
        assert_eq!(rows.next().unwrap().unwrap().record.prompt, Text::from("p"));
    }
}

#[test]
fn a_bad_row_is_named_by_file_line_and_column() {
    let good = "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}";
    for (name, text, message, hint) in [
        (
            "a.jsonl",
            format!("{good}\n{{\"prompt\": \"p\", \"chosen\": \"c\"}}"),
            "a.jsonl:2: no column `rejected`",
            "the row has `prompt`, `chosen`",
        ),
        (
            "a.jsonl",
            format!("{good}\n[1]"),
            "a.jsonl:2: invalid type: sequence",
            "keys or values",
        ),
        (
            "a.json",
            format!("[{good},\n{{\"chosen\": 3}}]"),
            "a.json:2: `chosen` is 3, not text",
            "column means",
        ),
        (
            "a.json",
            format!("[{good},\n{good}"),
            "a.json:2: the array ends in the middle",
            "complete",
        ),
        (
            "a.json",
            format!("[{good},\n 7]"),
            "a.json:2: not a row",
            "object",
        ),
        (
            "a.csv",
            "prompt,chosen,rejected\np,c\n".into(),
            "a.csv:2: ",
            "as many cells",
        ),
        (
            "a.csv",
            "prompt,chosen\np,c\n".into(),
            "a.csv:2: no column `rejected`",
            "rename",
        ),
        (
            "a.jsonl",
            "{\"chosen\": \"c\", \"rejected\": [{\"role\": \"user\"}]}".into(),
            "a.jsonl:1: `rejected` is a list, but not of messages",
            "`role` and `content`",
        ),
        (
            "a.jsonl",
            "{\"chosen\": \"c\", \"rejected\": []}".into(),
            "a.jsonl:1: `rejected` is an empty list",
            "at least one",
        ),
        (
            "a.jsonl",
            "{\"chosen\": \"c\", \"rejected\": [{\"role\": \"user\", \"content\": \"r\"}]}".into(),
            "one of `chosen` and `rejected` is text",
            "same form",
        ),
    ] {
        let error = read::<PairRecord>(name, &text).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().contains(hint), "{error}: {}", error.hint());
    }
}

#[test]
fn real_preference_data_are_read() {
    for (name, rows) in [
        ("hh_harmless_base", 2312),
        ("dpo_en_demo", 300),
        ("dpo_zh_demo", 300),
    ] {
        let Some(path) = shared(&format!("data/preference/{name}.jsonl.gz")) else {
            return;
        };
        let pairs: Vec<PairRecord> = Records::open(&path)
            .unwrap()
            .map(|row| row.unwrap().record)
            .collect();
        assert_eq!(pairs.len(), rows, "{name}");
        if name == "hh_harmless_base" {
            let starts_with_blank =
                |text: &Text| text.is_blank() || text.plain().starts_with(char::is_whitespace);
            assert!(
                pairs.iter().all(
                    |pair| starts_with_blank(&pair.chosen) && starts_with_blank(&pair.rejected)
                )
            );
        }
    }
}

#[test]
fn the_first_of_the_best_and_the_first_of_the_worst_are_taken() {
    let row = |scores: &[f64]| {
        let names = ["a", "b", "c", "d"];
        ScoredRecord {
            prompt: "Q".into(),
            candidates: names
                .iter()
                .zip(scores)
                .map(|(name, score)| ((*name).into(), *score))
                .collect(),
        }
    };
    let pair = row(&[1.0, 3.0, 0.5, 3.0]).pair().unwrap();
    assert_eq!((pair.chosen, pair.rejected), ("b".into(), "c".into()));
    assert_eq!(row(&[2.0, 2.0]).pair(), None);
    assert_eq!(row(&[]).pair(), None);
}

#[test]
fn the_kind_of_a_row_is_told_from_its_columns() {
    let turns = |last: &str| format!("[{{\"role\": \"{last}\", \"content\": \"x\"}}]");
    for (json, kind) in [
        (
            "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\", \"messages\": []}"
                .to_owned(),
            RowKind::Pairs,
        ),
        (
            "{\"prompt\": \"p\", \"completion\": \"c\", \"label\": true}".to_owned(),
            RowKind::Kto,
        ),
        (
            "{\"prompt\": \"p\", \"responses\": [], \"scores\": []}".to_owned(),
            RowKind::Scored,
        ),
        (
            "{\"prompt\": \"p\", \"completion\": \"c\"}".to_owned(),
            RowKind::Supervised,
        ),
        (
            "{\"text\": \"t\", \"label\": 3}".to_owned(),
            RowKind::Supervised,
        ),
        (
            "{\"prompt\": \"p\", \"label\": null, \"n\": 3}".to_owned(),
            RowKind::Prompts,
        ),
        (
            format!("{{\"messages\": {}}}", turns("assistant")),
            RowKind::Supervised,
        ),
        (
            format!("{{\"messages\": {}}}", turns("user")),
            RowKind::Prompts,
        ),
    ] {
        assert_eq!(one::<RowKind>(&json).unwrap(), kind, "{json}");
    }
    let error = one::<RowKind>("{\"prompt\": \"p\", \"chosen\": \"c\"}").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the columns `prompt`, `chosen` make no kind of row"),
        "{error}"
    );
    assert!(
        error.hint().starts_with("pairs have `chosen`, `rejected`"),
        "{}",
        error.hint()
    );
    let error = one::<RowKind>("{\"question\": \"p\"}").unwrap_err();
    for kind in RowKind::ALL {
        assert!(
            error.hint().contains(&format!("{kind} have")),
            "{}",
            error.hint()
        );
    }
    assert!(
        "pair"
            .parse::<RowKind>()
            .unwrap_err()
            .contains("found `pair`")
    );
}

#[test]
fn the_prompt_of_a_pair_without_one_is_what_both_sides_start_with() {
    let row =
        one::<PromptRecord>("{\"chosen\": \"Is it? Yes.\", \"rejected\": \"Is it? No.\"}").unwrap();
    assert_eq!(row.prompt, Text::from("Is it?"));
}
