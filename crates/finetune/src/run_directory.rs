//! The directory of a run: whose it is, and how far it is.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::FinetuneError;

/// The run's complete settings.
pub(crate) const SETTINGS: &str = "settings.toml";
/// Hashes of what the run reads.
const INPUTS: &str = "inputs.json";
/// Figures of the finished run; there is none before.
pub(crate) const METRICS: &str = "metrics.json";
/// Where checkpoints are kept.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was done yet.
    New,
    /// It was begun.
    Begun,
    /// It is finished.
    Finished,
}

/// A directory that belongs to one run and, while this value lives, to one process.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    _lock: File,
}

impl RunDirectory {
    /// Takes a directory for a run, or takes it up again.
    ///
    /// - `settings`: the complete settings.
    /// - `inputs`: hashes of all that is read, by what it is.
    ///
    /// # Errors
    /// If another run's results are there, something else is, or another process works in it.
    pub fn claim(
        path: &Path,
        settings: &toml::Table,
        inputs: &BTreeMap<String, String>,
    ) -> Result<(Self, Standing), FinetuneError> {
        let written = path.join(SETTINGS);
        let known = written.is_file();
        if !known && !is_free(path)? {
            return Err(FinetuneError::refused(
                format!(
                    "`{}` is not empty and holds no run of preflab",
                    path.display()
                ),
                "name another directory with `--out`: nothing there was touched",
            ));
        }
        if known {
            let text = fs::read_to_string(&written).map_err(FinetuneError::io("read", &written))?;
            let there: toml::Table = text.parse().map_err(|error| FinetuneError::Damaged {
                path: written.clone(),
                problem: format!("{error}"),
                hint: "name another directory with `--out`".to_owned(),
            })?;
            if let Some(difference) = difference("", &there, settings) {
                return Err(FinetuneError::refused(
                    format!("`{}` holds another run: {difference}", path.display()),
                    "name another directory with `--out`, or delete that one",
                ));
            }
            let there: BTreeMap<String, String> = read_json(&path.join(INPUTS))?;
            for (what, hash) in inputs {
                if there.get(what) != Some(hash) {
                    return Err(FinetuneError::refused(
                        format!(
                            "`{}` holds a run on other data: {what} has changed since",
                            path.display()
                        ),
                        "name another directory with `--out`, or delete that one",
                    ));
                }
            }
        }
        let checkpoints = path.join(CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(FinetuneError::io("create", &checkpoints))?;
        let lock = lock(&checkpoints.join(".lock"), path)?;
        let directory = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        if !known {
            directory.write_json(INPUTS, inputs)?;
            let text = toml::to_string(settings).expect("settings are plain data");
            // The last file of a claim: without it the directory is nobody's.
            directory.write(SETTINGS, text.as_bytes())?;
        }
        let standing = match (known, path.join(METRICS).is_file()) {
            (_, true) => Standing::Finished,
            (true, false) => Standing::Begun,
            (false, false) => Standing::New,
        };
        Ok((directory, standing))
    }

    /// Gives back a directory in which nothing was done: the request turned out to be wrong.
    pub(crate) fn give_up(self) -> Result<(), FinetuneError> {
        for name in [SETTINGS, INPUTS] {
            let file = self.path.join(name);
            fs::remove_file(&file).map_err(FinetuneError::io("delete", &file))?;
        }
        let checkpoints = self.checkpoints();
        fs::remove_dir_all(&checkpoints).map_err(FinetuneError::io("delete", &checkpoints))?;
        // One that was there before, empty, may be another's: it stays if it cannot be deleted.
        let _ = fs::remove_dir(&self.path);
        Ok(())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where checkpoints are kept.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// Writes a file, whole or not at all.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), FinetuneError> {
        write_whole(&self.path.join(name), content)
    }

    /// Writes a JSON file, whole or not at all.
    pub(crate) fn write_json<T: Serialize>(
        &self,
        name: &str,
        value: &T,
    ) -> Result<(), FinetuneError> {
        let mut text = serde_json::to_vec_pretty(value).expect("plain data");
        text.push(b'\n');
        self.write(name, &text)
    }
}

/// Whether a directory is absent, or holds nothing but what an interrupted claim leaves.
fn is_free(path: &Path) -> Result<bool, FinetuneError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(FinetuneError::io("read", path)(error)),
    };
    for entry in entries {
        let name = entry
            .map_err(FinetuneError::io("read", path))?
            .file_name()
            .to_string_lossy()
            .into_owned();
        let ours = name == INPUTS || name.ends_with(".partial");
        let empty_checkpoints = name == CHECKPOINTS
            && fs::read_dir(path.join(CHECKPOINTS)).is_ok_and(|files| {
                files
                    .flatten()
                    .all(|file| file.file_name().to_string_lossy() == ".lock")
            });
        if !ours && !empty_checkpoints {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lock(file: &Path, run: &Path) -> Result<File, FinetuneError> {
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file)
        .map_err(FinetuneError::io("create", file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(FinetuneError::refused(
            format!("another process is at work in `{}`", run.display()),
            "wait for it to end, or name another directory with `--out`",
        )),
        Err(TryLockError::Error(error)) => Err(FinetuneError::io("lock", file)(error)),
    }
}

/// Writes a file under a temporary name and renames it.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<(), FinetuneError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!(".{name}.partial"));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&partial)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(FinetuneError::io("write", path))
}

/// Reads a JSON file that was written here.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, FinetuneError> {
    let text = fs::read(path).map_err(FinetuneError::io("read", path))?;
    serde_json::from_slice(&text).map_err(|error| FinetuneError::Damaged {
        path: path.to_owned(),
        problem: error.to_string(),
        hint: "name another directory with `--out`, or delete that one".to_owned(),
    })
}

/// The first key that differs, in words.
fn difference(prefix: &str, there: &toml::Table, now: &toml::Table) -> Option<String> {
    let keys: std::collections::BTreeSet<&String> = there.keys().chain(now.keys()).collect();
    for key in keys {
        let path = match prefix {
            "" => key.clone(),
            prefix => format!("{prefix}.{key}"),
        };
        let found = match (there.get(key), now.get(key)) {
            (Some(toml::Value::Table(there)), Some(toml::Value::Table(now))) => {
                difference(&path, there, now)
            }
            (Some(there), Some(now)) if there == now => None,
            (Some(there), Some(now)) => Some(format!("`{path}` is {there} there and {now} here")),
            (Some(there), None) => Some(format!("`{path}` is {there} there and not set here")),
            (None, Some(now)) => Some(format!("`{path}` is not set there and {now} here")),
            (None, None) => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> toml::Table {
        text.parse().unwrap()
    }

    fn inputs(hash: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("`pairs.jsonl`".to_owned(), hash.to_owned())])
    }

    #[test]
    fn a_directory_belongs_to_one_run() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("out");
        let settings = table("seed = 1\noptimizer.learning_rate = 0.1");
        let claim = |settings: &toml::Table, hash: &str| {
            RunDirectory::claim(&out, settings, &inputs(hash)).map(|(_, standing)| standing)
        };
        assert_eq!(claim(&settings, "a").unwrap(), Standing::New);
        assert_eq!(claim(&settings, "a").unwrap(), Standing::Begun);
        let other = table("seed = 1\noptimizer.learning_rate = 0.2");
        let error = claim(&other, "a").unwrap_err();
        assert!(error.is_request());
        assert!(
            error
                .to_string()
                .contains("`optimizer.learning_rate` is 0.1 there and 0.2 here"),
            "{error}"
        );
        let error = claim(&settings, "b").unwrap_err().to_string();
        assert!(error.contains("`pairs.jsonl` has changed since"), "{error}");
        std::fs::write(out.join(METRICS), "{}").unwrap();
        assert_eq!(claim(&settings, "a").unwrap(), Standing::Finished);
    }

    #[test]
    fn a_directory_with_something_else_in_it_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("thesis.tex"), "").unwrap();
        let error = RunDirectory::claim(place.path(), &table(""), &inputs("a")).unwrap_err();
        assert!(error.to_string().contains("is not empty"), "{error}");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_processes_do_not_share_a_directory() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("out");
        let (_held, _) = RunDirectory::claim(&out, &table(""), &inputs("a")).unwrap();
        let error = RunDirectory::claim(&out, &table(""), &inputs("a")).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
    }
}
