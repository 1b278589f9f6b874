//! Files that stages hand to one another: rows as JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StageError;

/// Writes one JSON object a line.
///
/// # Errors
/// If the file cannot be written.
pub fn write_rows<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), StageError> {
    let failed = || StageError::io("write", path);
    let mut file = BufWriter::new(File::create(path).map_err(failed())?);
    for row in rows {
        serde_json::to_writer(&mut file, row).map_err(|error| failed()(error.into()))?;
        file.write_all(b"\n").map_err(failed())?;
    }
    file.into_inner()
        .map_err(|error| failed()(error.into_error()))?
        .sync_all()
        .map_err(failed())
}

/// Reads what [`write_rows`] wrote.
///
/// # Errors
/// If the file cannot be read or a line is not such a row.
pub fn read_rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, StageError> {
    let file = File::open(path).map_err(StageError::io("read", path))?;
    BufReader::new(file)
        .lines()
        .enumerate()
        .map(|(number, line)| {
            let line = line.map_err(StageError::io("read", path))?;
            serde_json::from_str(&line).map_err(|error| StageError::Damaged {
                path: path.to_owned(),
                problem: format!("line {}: {error}", number + 1),
            })
        })
        .collect()
}
