//! Content hashes: SHA-256, written in hexadecimal.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Hash of a value: of its JSON, whose keys are in the order of its fields.
pub fn hash_value<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_vec(value).expect("settings are plain data");
    hexadecimal(&Sha256::digest(json))
}

/// Hash of a file's content.
///
/// # Errors
/// If it cannot be read.
pub fn hash_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// The files below a directory, relative to it, in the order of their names.
///
/// # Errors
/// If a directory cannot be read.
pub fn files_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries: Vec<_> = fs::read_dir(directory)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        let name = PathBuf::from(entry.file_name());
        if entry.file_type()?.is_dir() {
            files.extend(
                files_below(&entry.path())?
                    .into_iter()
                    .map(|file| name.join(file)),
            );
        } else {
            files.push(name);
        }
    }
    Ok(files)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_published_ones() {
        // FIPS 180-2, appendix B.1, and the hash of nothing.
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("abc");
        fs::write(&file, "abc").unwrap();
        assert_eq!(
            hash_file(&file).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        fs::write(&file, "").unwrap();
        assert_eq!(
            hash_file(&file).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn files_are_listed_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("b")).unwrap();
        for name in ["c", "b/x", "a"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let names = files_below(directory.path()).unwrap();
        assert_eq!(names, ["a", "b/x", "c"].map(PathBuf::from));
    }
}
