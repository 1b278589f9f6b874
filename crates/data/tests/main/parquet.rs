//! Parquet files as pyarrow writes them (see `tests/data/generate_parquet.py`).

use std::path::PathBuf;

use preflab_data::{DataError, PairRecord, Records};

fn read(name: &str) -> Result<Vec<PairRecord>, DataError> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    Records::open(&path)?
        .map(|row| row.map(|row| row.record))
        .collect()
}

#[cfg(not(feature = "parquet"))]
#[test]
fn without_the_feature_the_error_names_it() {
    let error = read("prose_snappy.parquet").unwrap_err();
    assert!(
        error.to_string().contains("does not read Parquet"),
        "{error}"
    );
    assert!(error.hint().contains("--features parquet"));
}

#[cfg(feature = "parquet")]
mod with_the_feature {
    use preflab_data::{Message, Text};

    use super::*;

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
}
