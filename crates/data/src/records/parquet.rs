//! Rows of Parquet files, one row group's pages at a time.

use std::path::Path;

use parquet::file::reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

use crate::DataError;

/// The rows of a file as JSON objects.
pub(super) struct ParquetRows(RowIter<'static>);

impl ParquetRows {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let file = std::fs::File::open(path).map_err(DataError::read(path))?;
        let reader = SerializedFileReader::new(file).map_err(|error| {
            refused(
                path,
                format!("not a Parquet file: {error}"),
                "check that the file is complete",
            )
        })?;
        Ok(Self(RowIter::from_file_into(Box::new(reader))))
    }
}

impl Iterator for ParquetRows {
    type Item = Result<Map<String, Value>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next()?;
        Some(row.map_err(|error| error.to_string()).and_then(object))
    }
}

fn object(row: Row) -> Result<Map<String, Value>, String> {
    row.into_columns()
        .into_iter()
        .map(|(name, field)| value(&field).map(|value| (name, value)))
        .collect()
}

/// The kinds of columns that data sets of text have.
fn value(field: &Field) -> Result<Value, String> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => Value::from(*flag),
        Field::Byte(number) => Value::from(*number),
        Field::Short(number) => Value::from(*number),
        Field::Int(number) => Value::from(*number),
        Field::Long(number) => Value::from(*number),
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        Field::Float(number) => Value::from(*number),
        Field::Double(number) => Value::from(*number),
        Field::Str(text) => Value::from(text.as_str()),
        Field::Group(row) => Value::Object(object(row.clone())?),
        Field::ListInternal(list) => list.elements().iter().map(value).collect::<Result<_, _>>()?,
        Field::Float16(_)
        | Field::Decimal(_)
        | Field::Bytes(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_)
        // Columns that no kind of row reads: their presence must not make the file useless.
        | Field::MapInternal(_) => Value::Null,
    })
}

/// A Parquet file that cannot be used.
fn refused(path: &Path, problem: impl Into<String>, hint: &str) -> DataError {
    DataError::File {
        path: path.to_owned(),
        problem: problem.into(),
        hint: hint.to_owned(),
    }
}
