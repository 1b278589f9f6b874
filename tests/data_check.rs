//! `data check` and the choice of rows from outside.

use preflab_data::check::CheckReport;
use preflab_data::{Tokenizer, Units};
use serde_json::Value;

use crate::preferences::transcripts;
use crate::preflab::{Workplace, root};

fn tokenizer() -> String {
    let tokenizer = Tokenizer::train(["ab"], &Units::Characters { min_count: 1 }).unwrap();
    tokenizer.to_json().unwrap()
}

#[test]
fn data_check_counts_and_shows() {
    let place = Workplace::new();
    place.write("clean.jsonl", &transcripts(0..3));
    let spoilt = "{\"prompt\": \"a\", \"chosen\": \"x\", \"rejected\": \"y\"}\n\
                  {\"prompt\": \"a\", \"chosen\": \"y\", \"rejected\": \"x\"}\n\
                  {\"prompt\": \"b\", \"chosen\": \"z\", \"rejected\": \"z\"}\n";
    place.write("spoilt.jsonl", spoilt);
    place.write(
        "test.jsonl",
        "{\"prompt\": \"b\", \"chosen\": \"1\", \"rejected\": \"2\"}\n",
    );
    let clean = place.output(&["data", "check", "clean.jsonl"]);
    assert_eq!(clean.status.code(), Some(0), "{clean:?}");
    insta::assert_snapshot!(place.snapshot(&["data", "check", "spoilt.jsonl", "--split-against", "test.jsonl"]), @r"
    exit code: 1
    ----- stdout -----
    first split: 3 rows: pairs
    split against: 1 rows: pairs

    error: contradiction: 1 of 4 rows (25.00 %)
      the same two completions of the same prompt are preferred in both directions
      spoilt.jsonl:2: a
      hint: leave both rows out, or treat them as label noise (label smoothing, cDPO)

    error: prompt-across-splits: 1 of 4 rows (25.00 %)
      the prompt stands in another split too, so held-out numbers are too good
      test.jsonl:1: b
      hint: divide the data by prompt, not by row

    warning: identical-pair: 1 of 4 rows (25.00 %)
      chosen and rejected are the same text, so the pair says nothing
      spoilt.jsonl:3: z
      hint: leave these rows out

    note: repeated-prompt: 1 of 4 rows (25.00 %)
      the prompt stands in the same split before, with other completions or the same
      spoilt.jsonl:2: a
      hint: fine if the completions differ; sample prompts, not pairs, when splitting

    no length bias: the chosen answer is the longer one in 50.0 % of pairs [0.0, 100.0] (95 % interval; 4 of equal length left out)
      mean length: chosen 1.0, rejected 1.0 characters

    errors: see above
    ----- stderr -----
    ");
    let output = place.output(&["data", "check", "spoilt.jsonl", "--json", "--examples", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let report: CheckReport = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report.rows(), 3);
    assert!(
        report
            .findings
            .iter()
            .all(|finding| finding.examples.len() <= 1)
    );
}

#[test]
fn data_check_refuses_what_it_cannot_read() {
    let place = Workplace::new();
    place.write(
        "kto.jsonl",
        "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": true, \"split\": \"train\"}\n",
    );
    place.write("other.jsonl", "{\"question\": \"a\", \"answer\": \"b\"}\n");
    place.write("words/tokenizer.json", &tokenizer());
    for (arguments, said) in [
        (
            &["data", "check", "gone.jsonl"][..],
            "gone.jsonl: cannot be read",
        ),
        (
            &["data", "check", "kto.jsonl", "--as", "pairs"],
            "kto.jsonl:1: no column `chosen`",
        ),
        (
            &["data", "check", "kto.jsonl", "--as", "pair"],
            "`--as`: expected pairs, kto, scored, supervised, prompts, found `pair`",
        ),
        (
            &["data", "check", "other.jsonl"],
            "other.jsonl:1: the columns `question`, `answer` make no kind of row",
        ),
        (
            &["data", "check", "other.jsonl", "--columns", "prompt"],
            "`--columns`: expected `NAME=VALUE`, found `prompt`",
        ),
        (
            &["data", "check", "kto.jsonl", "--where", "=train"],
            "`--where`: expected `NAME=VALUE`, found `=train`",
        ),
        (
            &["data", "check", "kto.jsonl", "--where", "splt=train"],
            "kto.jsonl: no row has the column `splt`",
        ),
        (
            &[
                "data",
                "check",
                "kto.jsonl",
                "--against-where",
                "split=test",
            ],
            "kto.jsonl: none of its 1 rows has `split` = `test`",
        ),
        (
            &["data", "check", "kto.jsonl", "--model", "words"],
            "`--model` says how likely it finds pairs, and these are labelled rows (KTO)",
        ),
        (
            &["data", "check", "kto.jsonl", "--max-length", "9"],
            "there is no tokenizer",
        ),
        (
            &["data", "check", "kto.jsonl", "--tokenizer", "gone"],
            "gone: cannot be read",
        ),
    ] {
        let output = place.output(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(said) && error.contains("hint: "), "{error}");
    }
}

#[test]
fn data_check_reads_every_kind_of_row() {
    let place = Workplace::new();
    let kto = "{\"prompt\": \"a\", \"completion\": \"x\", \"label\": true}\n\
               {\"prompt\": \"a\", \"completion\": \"x\", \"label\": false}\n\
               {\"prompt\": \"b\", \"completion\": \"yes\", \"label\": 1}\n";
    place.write("kto.jsonl", kto);
    insta::assert_snapshot!(place.snapshot(&["data", "check", "kto.jsonl"]), @r"
    exit code: 1
    ----- stdout -----
    data: 3 rows: labelled rows (KTO)

    error: both-labels: 1 of 3 rows (33.33 %)
      the same completion of the same prompt is desirable and undesirable
      kto.jsonl:2: x
      hint: leave both rows out, or treat them as label noise

    note: one-label: 1 of 3 rows (33.33 %)
      the completions of the prompt all have one label, so no pair can be made of them
      kto.jsonl:3: desirable only
      hint: fine for `train kto`; `train dpo` and `train reward` make pairs of both labels, and drop these rows

    labels: 2 desirable (66.7 %), 1 undesirable; 2 prompts, 1 with both; 1 pairs can be made of them
    no length bias: a desirable completion is longer than an undesirable one with probability 75.0 % [0.0, 100.0] (95 % interval; equal lengths count half)
      mean length: desirable 2.0, undesirable 1.0 characters

    errors: see above
    ----- stderr -----
    ");
    place.write(
        "scored.jsonl",
        "{\"prompt\": \"a\", \"completions\": [\"x\", \"y\"], \"scores\": [1, 1]}\n",
    );
    place.write("chat.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n");
    place.write("text.csv", "text,n\nonce,1\nonce,2\n");
    place.write(
        "asked.json",
        "[{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}, {\"prompt\": \"b\"}]",
    );
    for (file, kind, found, code) in [
        ("scored.jsonl", "scored", Some("equal-scores"), 1),
        ("chat.jsonl", "supervised", None, 0),
        ("text.csv", "supervised", Some("repeated-row"), 1),
        ("asked.json", "prompts", None, 0),
    ] {
        let output = place.output(&["data", "check", file, "--json"]);
        assert_eq!(output.status.code(), Some(code), "{file}: {output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(
            report["splits"][0]["kinds"][kind].is_u64(),
            "{file}: {report}"
        );
        let report: CheckReport = serde_json::from_slice(&output.stdout).unwrap();
        let kinds: Vec<String> = report
            .findings
            .iter()
            .filter(|finding| finding.count > 0)
            .map(|finding| finding.kind.to_string())
            .collect();
        assert_eq!(kinds, found.into_iter().collect::<Vec<_>>(), "{file}");
    }
}

/// Sums in two splits; one row of the second is wrong.
fn sums() -> String {
    let row = |i: usize, split: &str, clean: bool| {
        format!(
            "{{\"question\": \"{i}+{i}=\", \"answer\": \" {}\", \"split\": \"{split}\", \"clean\": {clean}}}\n",
            2 * i
        )
    };
    let rows = (0..40).map(|i| row(i, if i < 30 { "train" } else { "test" }, i != 7));
    rows.collect::<String>() + "{\"question\": 3, \"split\": \"broken\"}\n"
}

#[test]
fn data_check_reads_other_names_and_some_rows() {
    let place = Workplace::new();
    place.write("sums.jsonl", &sums());
    let check = |more: &[&str]| {
        let names = [
            "--columns",
            "prompt=question",
            "--columns",
            "completion=answer",
            "--json",
        ];
        let all = [&["data", "check", "sums.jsonl"], &names[..], more].concat();
        let output = place.output(&all);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice::<CheckReport>(&output.stdout).unwrap_or_else(|_| panic!("{said}"))
    };
    let rows = |report: &CheckReport| {
        report
            .splits
            .iter()
            .map(|split| split.rows)
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&check(&["--where", "split=train"])), [30]);
    let some = [
        "--where",
        "split=train",
        "--where",
        "split=test",
        "--where",
        "clean=true",
    ];
    assert_eq!(rows(&check(&some)), [39]);
    let both = ["--where", "split=train", "--against-where", "split=test"];
    assert_eq!(rows(&check(&both)), [30, 10]);
    let all = place.output(&[
        "data",
        "check",
        "sums.jsonl",
        "--columns",
        "prompt=question",
        "--columns",
        "completion=answer",
    ]);
    let said = String::from_utf8_lossy(&all.stderr);
    assert!(said.contains("sums.jsonl:41: "), "{said}");
}

#[test]
fn training_reads_the_rows_it_is_told_to() {
    let place = Workplace::new();
    place.write("sums.jsonl", &sums());
    place.write(
        "train.toml",
        "method = \"sft\"\nmodel = { width = 16, layers = 1, heads = 2, kv_heads = 1, feedforward = 32, context = 64 }\n\
         data = \"sums.jsonl\"\ncolumns = { prompt = \"question\", completion = \"answer\" }\ntokenizer = \"characters\"\n\
         max_updates = 2\nsamples.prompts = 0\n",
    );
    let train = |out: &str, more: &[&str]| {
        let all = [&["train", "--config", "train.toml", "--out", out], more].concat();
        let output = place.output(&all);
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = train(
        "a",
        &["--where", "split=train", "--eval-where", "split=test"],
    );
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("data: 40 rows read (42 others passed over), 30 to train on, 10 held out"),
        "{said}"
    );
    let settings = std::fs::read_to_string(place.path("a/settings.toml")).unwrap();
    assert!(
        settings.contains("[eval_rows]\nsplit = [\"test\"]"),
        "{settings}"
    );
    let set = [
        "--set",
        "rows={ split = [\"train\", \"test\"], clean = true }",
    ];
    let (code, said) = train("b", &set);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("39 to train on, 0 held out"), "{said}");
    for (more, expected) in [
        (&[][..], "sums.jsonl:41: "),
        (
            &["--where", "splt=train"],
            "sums.jsonl: no row has the column `splt`, by which rows are chosen",
        ),
        (
            &["--where", "split=dev"],
            "in this file `split` is `broken`, `test`, `train`",
        ),
        (
            &["--where", "split"],
            "`--where`: expected `NAME=VALUE`, found `split`",
        ),
        (
            &["--set", "rows.split=[]"],
            "expected at least one value, found none",
        ),
        (
            &["--set", "rows.split.of=1"],
            "a text, a number, `true` or `false`, or a list of them",
        ),
        (
            &[
                "--where",
                "split=train",
                "--eval-where",
                "split=test",
                "--eval-share",
                "0.1",
            ],
            "both `eval_rows` and `eval_share` are given",
        ),
        (
            &["--set", "model.context=128", "--model", "tiny"],
            "`model` is `tiny`, and a named model cannot be changed in part",
        ),
    ] {
        let (code, said) = train("c", more);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected), "expected {expected:?} in:\n{said}");
    }
}

/// Files that pyarrow wrote: `crates/data/tests/data/generate_parquet.py`.
#[test]
fn parquet_files_are_checked_and_trained_on() {
    let place = Workplace::new();
    let files = ["prose", "messages", "judged", "scored", "rated"];
    for file in files {
        let from = root().join(format!("crates/data/tests/data/{file}_snappy.parquet"));
        std::fs::copy(from, place.path(&format!("{file}.parquet"))).unwrap();
    }
    for (file, rows, kind) in [
        ("prose", 3, "pairs"),
        ("messages", 2, "pairs"),
        ("judged", 4, "kto"),
        ("scored", 2, "scored"),
        ("rated", 2, "scored"),
    ] {
        let output = place.output(&["data", "check", &format!("{file}.parquet"), "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["splits"][0]["kinds"][kind], rows, "{file}: {report}");
    }
    let output = place.output(&[
        "data",
        "check",
        "judged.parquet",
        "--where",
        "split=train",
        "--json",
    ]);
    let report: CheckReport = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report.rows(), 3);
    let model = root().join("tests/golden/checkpoints/qwen2");
    for (file, method, trained) in [
        ("prose", "sft", 3),
        ("messages", "sft", 1),
        ("judged", "sft", 2),
        ("scored", "sft", 2),
        ("rated", "sft", 2),
        ("prose", "dpo", 2),
        ("judged", "dpo", 2),
        ("judged", "kto", 4),
        ("rated", "reward", 2),
    ] {
        let data = format!("{file}.parquet");
        let out = format!("{method}-{file}");
        let output = place.output(&[
            "train",
            method,
            "--data",
            &data,
            "--out",
            &out,
            "--json",
            "--model",
            model.to_str().unwrap(),
            "--set",
            "samples.prompts=0",
            "--set",
            "max_updates=1",
            "--set",
            "batch_size=2",
        ]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{method} on {file}: {said}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            report["data"]["train"], trained,
            "{method} on {file}: {said}"
        );
    }
    place.write("cut.parquet", "PAR1PAR1");
    for (file, said) in [
        ("cut.parquet", "cut.parquet: not a Parquet file"),
        ("gone.parquet", "gone.parquet: cannot be read"),
    ] {
        let output = place.output(&["data", "check", file]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(said) && error.contains("hint: "), "{error}");
    }
}
