//! The one place that writes to stdout.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Writes a line of data. A reader who went away (`| head`) is no failure.
pub fn line(text: impl fmt::Display) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::work(format!(
            "could not write to standard output: {error}"
        ))),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes data as JSON.
pub fn json<T: Serialize>(data: &T) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(data).expect("plain data"))
}

/// Writes data as JSON on one line.
pub fn json_line<T: Serialize>(data: &T) -> Result<(), Failure> {
    line(serde_json::to_string(data).expect("plain data"))
}
