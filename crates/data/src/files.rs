//! Text files, plain or gzip-compressed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::DataError;

/// Opens a text file for streaming. Gzip is recognised by its first two bytes, whatever the file is called.
///
/// # Errors
/// [`DataError::Read`] if the file cannot be opened.
pub fn open_text(path: &Path) -> Result<Box<dyn BufRead + Send>, DataError> {
    let open = || -> std::io::Result<Box<dyn BufRead + Send>> {
        let mut file = File::open(path)?;
        let mut magic = [0; 2];
        let is_gzip = match file.read_exact(&mut magic) {
            Ok(()) => magic == [0x1f, 0x8b],
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(error),
        };
        file.rewind()?;
        Ok(if is_gzip {
            Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
        } else {
            Box::new(BufReader::new(file))
        })
    };
    open().map_err(DataError::read(path))
}
