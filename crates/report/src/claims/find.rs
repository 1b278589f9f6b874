//! Finds runs below the directories that were given.

use std::fs;
use std::path::{Path, PathBuf};

use preflab_experiment::records::EXPERIMENT_FILE;

use super::ClaimsError;

/// The toy model's claims in its directory.
pub(super) const TOY_FILE: &str = "claims.json";

/// Levels below a directory that are searched.
const DEPTH: usize = 3;

/// A directory with records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Experiment(PathBuf),
    Toy(PathBuf),
}

/// Every run at or below the directories, in the order given, then by name; each once.
pub(super) fn find(directories: &[PathBuf]) -> Result<Vec<Found>, ClaimsError> {
    let mut found = Vec::new();
    for directory in directories {
        if !directory.is_dir() {
            return Err(ClaimsError::NoDirectory {
                directory: directory.clone(),
            });
        }
        let before = found.len();
        search(directory, DEPTH, &mut found)?;
        if found.len() == before {
            return Err(ClaimsError::NoRecords {
                directory: directory.clone(),
            });
        }
    }
    let mut once: Vec<Found> = Vec::new();
    for run in found {
        if !once.contains(&run) {
            once.push(run);
        }
    }
    Ok(once)
}

fn search(directory: &Path, depth: usize, found: &mut Vec<Found>) -> Result<(), ClaimsError> {
    if directory.join(EXPERIMENT_FILE).is_file() {
        found.push(Found::Experiment(directory.to_owned()));
        return Ok(());
    }
    if directory.join(TOY_FILE).is_file() {
        found.push(Found::Toy(directory.to_owned()));
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    let unreadable = |source| ClaimsError::Read {
        path: directory.to_owned(),
        source,
    };
    let mut below = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            below.push(path);
        }
    }
    below.sort();
    for path in below {
        search(&path, depth - 1, found)?;
    }
    Ok(())
}
