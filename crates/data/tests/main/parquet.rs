//! Parquet files as pyarrow writes them (see `tests/data/generate_parquet.py`).

use std::path::PathBuf;

use preflab_data::{
    DataError, KtoRecord, Message, PairRecord, Record, Records, RowKind, ScoredRecord, Text,
};

fn read(name: &str) -> Result<Vec<PairRecord>, DataError> {
    rows(name)
}

fn rows<T: Record>(name: &str) -> Result<Vec<T>, DataError> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    Records::open(&path)?
        .map(|row| row.map(|row| row.record))
        .collect()
}

#[test]
fn prose_is_read_whatever_the_compression() {
    for compression in ["snappy", "gzip", "lz4", "none"] {
        let rows = read(&format!("prose_{compression}.parquet")).unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].chosen, Text::from("a, \"b\""));
        assert_eq!(rows[2].chosen, Text::from("naïve café 日本語"));
        assert_eq!(
            rows.iter().map(|row| row.margin).collect::<Vec<_>>(),
            [Some(3.5), Some(0.0), Some(-1.0)]
        );
    }
}

#[test]
fn conversations_are_read() {
    let rows = read("messages_snappy.parquet").unwrap();
    assert_eq!(
        rows[0].prompt,
        Text::Messages(vec![Message::new("user", "Hi")])
    );
    assert_eq!(
        rows[0].rejected,
        Text::Messages(vec![Message::new("assistant", "no")])
    );
    assert_eq!(
        rows[1].rejected,
        Text::Messages(vec![Message::new("assistant", "")])
    );
}

#[test]
fn what_cannot_be_read_says_so() {
    let error = read("prose_zstd.parquet").unwrap_err();
    assert!(error.hint().contains("zstd"), "{error}");
    let error = read("generate_parquet.py").unwrap_err();
    assert!(
        error.to_string().contains("generate_parquet.py:1"),
        "{error}"
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cut.parquet");
    std::fs::write(&path, b"PAR1PAR1").unwrap();
    let error = Records::<PairRecord>::open(&path).unwrap_err();
    assert!(error.to_string().contains("not a Parquet file"), "{error}");
}

#[test]
fn every_kind_of_row_is_read() {
    for (name, kind) in [
        ("prose_snappy", RowKind::Pairs),
        ("messages_snappy", RowKind::Pairs),
        ("judged_snappy", RowKind::Kto),
        ("scored_snappy", RowKind::Scored),
        ("rated_snappy", RowKind::Scored),
    ] {
        let kinds = rows::<RowKind>(&format!("{name}.parquet")).unwrap();
        assert!(
            kinds.iter().all(|found| *found == kind),
            "{name}: {kinds:?}"
        );
    }
    let judged = rows::<KtoRecord>("judged_snappy.parquet").unwrap();
    assert_eq!(
        judged.iter().map(|row| row.label).collect::<Vec<_>>(),
        [true, false, true, false]
    );
    for (name, best) in [("scored_snappy", ["b", "d"]), ("rated_snappy", ["b", "c"])] {
        let scored = rows::<ScoredRecord>(&format!("{name}.parquet")).unwrap();
        let found: Vec<Text> = scored
            .iter()
            .map(|row| row.extremes().unwrap().chosen.clone())
            .collect();
        assert_eq!(found, best.map(Text::from), "{name}");
    }
}
