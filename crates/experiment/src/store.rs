//! An experiment's directory: stages that are complete or absent, written under a temporary name and then renamed.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::hash::{files_below, hash_file, hash_value};
use crate::records::FORMAT;
use crate::{Stage, StageKey, StageKind, StageOutcome};

const STAGES: &str = "stages";
const LOCK: &str = ".lock";
const PARTIAL: &str = ".partial-";
const OUTCOME: &str = "outcome.json";
/// Directory of a stage's curves within its own, kept so that a cell's directory can be made again.
const LOGS: &str = "log";

/// An experiment's directory, held by one process at a time.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// Locked as long as the store lives.
    _lock: File,
}

/// What a finished stage left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    format: u32,
    kind: StageKind,
    key: StageKey,
    /// What the stage reported.
    pub outcome: Arc<StageOutcome>,
    /// Hash of each of its artifacts.
    pub files: BTreeMap<PathBuf, String>,
}

impl Finished {
    /// One hash over all artifacts.
    pub fn output(&self) -> String {
        hash_value(&self.files)
    }
}

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process works in it.
    #[error(
        "another `preflab` is working in `{}`\n\nhint: wait for it to end, or write to another directory with `--out DIR`",
        directory.display()
    )]
    Busy {
        /// The directory.
        directory: PathBuf,
    },
    /// Reading or writing failed.
    #[error("could not {action} `{}`: {source}{}", path.display(), advice(source))]
    Io {
        /// What was tried: `write`, `read`, ...
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// The way out of a failed write, as the end of a message.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "\n\nhint: the disk is full: free some space and run again; finished stages are kept"
        }
        ErrorKind::FileTooLarge => {
            "\n\nhint: a limit on the size of files is in force (`ulimit -f`)"
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "\n\nhint: write to a directory of yours with `--out DIR`"
        }
        _ => "",
    }
}

impl Store {
    /// Opens or makes an experiment's directory, and clears away what an interrupted run left half-written.
    ///
    /// # Errors
    /// If another process works in it, or it cannot be written to.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let stages = directory.join(STAGES);
        fs::create_dir_all(&stages).map_err(StoreError::io("create", &stages))?;
        let path = directory.join(LOCK);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("write", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Busy {
                    directory: directory.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(StoreError::Io {
                    action: "lock",
                    path,
                    source,
                });
            }
        }
        let store = Self {
            directory: directory.to_owned(),
            _lock: lock,
        };
        store.clear_partial(&stages)?;
        Ok(store)
    }

    /// The experiment's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a stage's artifacts are once it is finished.
    pub fn stage_directory(&self, stage: &Stage) -> PathBuf {
        stage_directory(&self.directory, stage)
    }

    /// What a stage left, if it is finished and its artifacts are what they were.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn finished(&self, stage: &Stage) -> Result<Found, StoreError> {
        look(&self.directory, stage, true)
    }

    /// An empty directory for a stage to be computed in.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn begin(&self, stage: &Stage) -> Result<Draft, StoreError> {
        let directory = self
            .directory
            .join(STAGES)
            .join(format!("{PARTIAL}{}", stage.directory_name()));
        remove_directory(&directory)?;
        fs::create_dir_all(&directory).map_err(StoreError::io("create", &directory))?;
        Ok(Draft {
            directory,
            target: self.stage_directory(stage),
        })
    }

    /// Removes a stage.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn discard(&self, stage: &Stage) -> Result<(), StoreError> {
        remove_directory(&self.stage_directory(stage))
    }

    /// Makes a directory for curves, free of older ones.
    ///
    /// # Errors
    /// If it cannot be made or cleared.
    pub fn fresh_logs(&self, relative: &Path) -> Result<PathBuf, StoreError> {
        let directory = self.directory.join(relative);
        fs::create_dir_all(&directory).map_err(StoreError::io("create", &directory))?;
        for file in log_files(&directory)? {
            let path = directory.join(file);
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
        Ok(directory)
    }

    /// Copies the curves that a stage kept to a directory of a cell, unless they are there: names of event files hold
    /// the time and the process, so equal names and lengths are equal files.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn restore_logs(&self, stage: &Stage, relative: &Path) -> Result<(), StoreError> {
        let (kept, shown) = (
            self.stage_directory(stage).join(LOGS),
            self.directory.join(relative),
        );
        if shown.is_dir() && log_sizes(&kept)? == log_sizes(&shown)? {
            return Ok(());
        }
        copy_logs(&kept, &self.fresh_logs(relative)?)
    }

    /// Writes a file of the experiment's directory, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, relative: &Path, text: &str) -> Result<(), StoreError> {
        let path = self.directory.join(relative);
        let directory = path.parent().expect("a file in a directory");
        fs::create_dir_all(directory).map_err(StoreError::io("create", directory))?;
        write_whole(&path, text)
    }

    fn clear_partial(&self, stages: &Path) -> Result<(), StoreError> {
        for entry in fs::read_dir(stages).map_err(StoreError::io("read", stages))? {
            let entry = entry.map_err(StoreError::io("read", stages))?;
            if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
                remove_directory(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// What the store has of a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// All of it.
    Finished(Finished),
    /// Nothing.
    Absent,
    /// Something, which is not what was written.
    Damaged,
}

/// What a finished stage reported, in a directory that nobody needs to hold.
pub fn finished_outcome(directory: &Path, stage: &Stage) -> Option<Arc<StageOutcome>> {
    match look(directory, stage, false) {
        Ok(Found::Finished(finished)) => Some(finished.outcome),
        Ok(Found::Absent | Found::Damaged) | Err(_) => None,
    }
}

fn stage_directory(directory: &Path, stage: &Stage) -> PathBuf {
    directory.join(STAGES).join(stage.directory_name())
}

fn look(directory: &Path, stage: &Stage, verify: bool) -> Result<Found, StoreError> {
    let directory = stage_directory(directory, stage);
    let path = directory.join(OUTCOME);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(if directory.exists() {
                Found::Damaged
            } else {
                Found::Absent
            });
        }
        Err(source) => {
            return Err(StoreError::Io {
                action: "read",
                path,
                source,
            });
        }
    };
    let Ok(finished) = serde_json::from_str::<Finished>(&text) else {
        return Ok(Found::Damaged);
    };
    let named =
        finished.format == FORMAT && finished.kind == stage.kind && finished.key == stage.key;
    let whole = named && (!verify || hashes(&directory)? == finished.files);
    Ok(if whole {
        Found::Finished(finished)
    } else {
        Found::Damaged
    })
}

/// A stage being computed. Dropped without [`Draft::commit`], it leaves nothing.
#[derive(Debug)]
pub struct Draft {
    directory: PathBuf,
    target: PathBuf,
}

impl Draft {
    /// Where artifacts go.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the stage finished: keeps a copy of its curves, waits until everything is on the disk, and renames.
    ///
    /// # Errors
    /// If anything cannot be written; the stage is then absent.
    pub fn commit(
        self,
        stage: &Stage,
        outcome: StageOutcome,
        logs: &Path,
    ) -> Result<Finished, StoreError> {
        let files = hashes(&self.directory)?;
        let kept = self.directory.join(LOGS);
        fs::create_dir_all(&kept).map_err(StoreError::io("create", &kept))?;
        copy_logs(logs, &kept)?;
        let outcome = Arc::new(outcome);
        let finished = Finished {
            format: FORMAT,
            kind: stage.kind,
            key: stage.key.clone(),
            outcome,
            files,
        };
        let path = self.directory.join(OUTCOME);
        let text = serde_json::to_string_pretty(&finished).expect("an outcome is plain data");
        fs::write(&path, text).map_err(StoreError::io("write", &path))?;
        for file in files_below(&self.directory).map_err(StoreError::io("read", &self.directory))? {
            let path = self.directory.join(file);
            sync(&path)?;
        }
        sync_directory(&self.directory)?;
        fs::rename(&self.directory, &self.target).map_err(StoreError::io("write", &self.target))?;
        sync_directory(
            self.target
                .parent()
                .expect("a stage is in the directory of stages"),
        )?;
        Ok(finished)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a commit there is nothing under this name. Otherwise the next run clears away what cannot be now.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Writes a file under another name, waits until it is on the disk, and renames it.
fn write_whole(path: &Path, text: &str) -> Result<(), StoreError> {
    let name = path
        .file_name()
        .expect("a file has a name")
        .to_string_lossy();
    let partial = path.with_file_name(format!("{PARTIAL}{name}"));
    let written = File::create(&partial)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .and_then(|()| fs::rename(&partial, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&partial);
        StoreError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        }
    })
}

fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(StoreError::io("write", path))
}

/// Waits until the names in a directory are on the disk, where a directory can be opened.
fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    if cfg!(unix) { sync(directory) } else { Ok(()) }
}

fn remove_directory(directory: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(directory) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(StoreError::Io {
            action: "remove",
            path: directory.to_owned(),
            source,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Hashes of the artifacts below a stage's directory: neither its outcome nor its curves, which hold times of day.
fn hashes(directory: &Path) -> Result<BTreeMap<PathBuf, String>, StoreError> {
    files_below(directory)
        .map_err(StoreError::io("read", directory))?
        .into_iter()
        .filter(|file| !file.starts_with(LOGS) && file != Path::new(OUTCOME))
        .map(|file| {
            let path = directory.join(&file);
            hash_file(&path)
                .map(|hash| (file, hash))
                .map_err(StoreError::io("read", &path))
        })
        .collect()
}

/// The files of curves directly in a directory: TensorBoard's, and lines of JSON.
fn log_files(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(StoreError::io("read", directory))? {
        let name = entry
            .map_err(StoreError::io("read", directory))?
            .file_name();
        let text = name.to_string_lossy();
        if text.starts_with("events.out.tfevents.") || text.ends_with(".jsonl") {
            files.push(PathBuf::from(name));
        }
    }
    files.sort();
    Ok(files)
}

fn log_sizes(directory: &Path) -> Result<Vec<(PathBuf, u64)>, StoreError> {
    log_files(directory)?
        .into_iter()
        .map(|file| {
            let path = directory.join(&file);
            let length = fs::metadata(&path)
                .map_err(StoreError::io("read", &path))?
                .len();
            Ok((file, length))
        })
        .collect()
}

fn copy_logs(from: &Path, to: &Path) -> Result<(), StoreError> {
    for file in log_files(from)? {
        let target = to.join(&file);
        fs::copy(from.join(&file), &target).map_err(StoreError::io("write", &target))?;
    }
    Ok(())
}
