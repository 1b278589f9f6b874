//! Some rows of a file, under other names.

use std::path::PathBuf;

use preflab_config::{ColumnValue, RowFilter, Wanted};
use preflab_data::{DataError, KtoRecord, PairRecord, PromptRecord, Selection};

fn of(assignments: &[(&str, &str)]) -> Selection {
    let mut rows = RowFilter::default();
    for (column, value) in assignments {
        let wanted = rows.0.entry((*column).to_owned());
        let wanted = wanted.or_insert_with(|| Wanted(Vec::new()));
        wanted.0.push(ColumnValue::Text((*value).to_owned()));
    }
    Selection {
        rows,
        ..Selection::default()
    }
}

fn written(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

const ROWS: &str = "{\"prompt\": \"a\", \"split\": \"train\", \"clean\": true}\n\
                    {\"prompt\": \"b\", \"split\": \"test\", \"clean\": true}\n\
                    {\"prompt\": \"c\", \"split\": \"train\", \"clean\": false}\n\
                    {\"prompt\": \"d\", \"split\": null}\n\
                    {\"prompt\": \"e\", \"split\": \"extra\", \"clean\": true}\n";

fn prompts(
    name: &str,
    text: &str,
    selection: &Selection,
) -> Result<Vec<(usize, String)>, DataError> {
    let directory = tempfile::tempdir().unwrap();
    let path = written(&directory, name, text);
    selection
        .open::<PromptRecord>(&path)?
        .map(|row| row.map(|row| (row.line, row.record.prompt.plain())))
        .collect()
}

#[test]
fn rows_are_chosen_by_the_values_of_columns() {
    for (selection, expected) in [
        (
            of(&[]),
            vec![(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")],
        ),
        (of(&[("split", "train")]), vec![(1, "a"), (3, "c")]),
        (of(&[("split", "train"), ("clean", "true")]), vec![(1, "a")]),
        (
            of(&[("split", "extra"), ("split", "test")]),
            vec![(2, "b"), (5, "e")],
        ),
    ] {
        let found = prompts("a.jsonl", ROWS, &selection).unwrap();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(line, text)| (line, text.to_owned()))
            .collect();
        assert_eq!(found, expected, "{selection:?}");
    }
    let csv = "prompt,split,n\na,train,1\nb,test,2\nc,train,2\n";
    assert_eq!(
        prompts("a.csv", csv, &of(&[("n", "2")])).unwrap(),
        [(3, "b".into()), (4, "c".into())]
    );
}

#[test]
fn a_filter_that_no_row_passes_is_refused_with_what_the_file_has() {
    let refused = |assignments: &[(&str, &str)]| {
        let error = prompts("a.jsonl", ROWS, &of(assignments)).unwrap_err();
        format!("{error}; {}", error.hint())
    };
    let said = refused(&[("splt", "train")]);
    assert!(
        said.contains("a.jsonl: no row has the column `splt`, by which rows are chosen"),
        "{said}"
    );
    assert!(
        said.contains("the first row has `prompt`, `split`, `clean`"),
        "{said}"
    );
    let said = refused(&[("split", "trian")]);
    assert!(
        said.contains("none of its 5 rows has `split` = `trian`"),
        "{said}"
    );
    assert!(
        said.contains("`split` is `extra`, `test`, `train`"),
        "{said}"
    );
    assert!(
        prompts("a.jsonl", "", &of(&[("split", "train")]))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_row_that_is_passed_over_need_not_be_right() {
    let text =
        "{\"n\": 1, \"chosen\": \"a\", \"rejected\": \"b\", \"prompt\": \"p\"}\n{\"n\": 2}\n";
    let directory = tempfile::tempdir().unwrap();
    let path = written(&directory, "a.jsonl", text);
    let mut records = of(&[("n", "1")]).open::<PairRecord>(&path).unwrap();
    assert_eq!(records.by_ref().map(Result::unwrap).count(), 1);
    assert_eq!(records.passed_over(), 1);
}

/// Columns are chosen by the file's own names, and read under ours.
#[test]
fn a_chosen_row_may_have_other_names() {
    let text = "{\"q\": \"p\", \"a\": \"yes\", \"good\": 1, \"kind\": \"x\"}\n{\"q\": \"r\", \"kind\": \"y\"}\n";
    let directory = tempfile::tempdir().unwrap();
    let path = written(&directory, "a.jsonl", text);
    let selection = Selection {
        columns: [("prompt", "q"), ("completion", "a"), ("label", "good")]
            .map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()))
            .into(),
        ..of(&[("kind", "x")])
    };
    let rows: Vec<KtoRecord> = selection
        .open(&path)
        .unwrap()
        .map(|row| row.unwrap().record)
        .collect();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].label && rows[0].completion == "yes".into());
}
