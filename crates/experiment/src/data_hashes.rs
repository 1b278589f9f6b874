//! Hashes of the files that the task and the models are read from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use preflab_config::{ModelSource, Settings, WeakerModel};
use serde::Serialize;

use crate::Problem;
use crate::hash::{files_below, hash_file, hash_value};

/// Path as written, and the hash of what is there. A checkpoint directory has one hash over all its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DataHashes(BTreeMap<PathBuf, String>);

impl DataHashes {
    /// Hashes everything that arms are read from.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn of<'a>(arms: impl Iterator<Item = &'a Settings>) -> Result<Self, Problem> {
        let mut hashes = BTreeMap::new();
        for settings in arms {
            for path in settings
                .task
                .files()
                .into_iter()
                .chain(checkpoints(settings))
            {
                if !hashes.contains_key(path) {
                    let hash = hash_path(path).map_err(|error| {
                        Problem::new(format!("could not read `{}`: {error}", path.display()))
                    })?;
                    hashes.insert(path.to_owned(), hash);
                }
            }
        }
        Ok(Self(hashes))
    }

    /// The hash of a path.
    pub fn get(&self, path: &Path) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Paths and hashes, in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0
            .iter()
            .map(|(path, hash)| (path.as_path(), hash.as_str()))
    }

    /// The hashes of an arm's task files.
    pub(crate) fn of_task(&self, settings: &Settings) -> Vec<Option<&str>> {
        settings
            .task
            .files()
            .into_iter()
            .map(|path| self.get(path))
            .collect()
    }

    /// The hash of an arm's checkpoint, if its model is one.
    pub(crate) fn of_model(&self, settings: &Settings) -> Vec<Option<&str>> {
        checkpoint(&settings.model)
            .map(|path| self.get(path))
            .into_iter()
            .collect()
    }

    /// The hashes of an arm's checkpoints, the weaker model's included.
    pub(crate) fn of_models(&self, settings: &Settings) -> Vec<Option<&str>> {
        checkpoints(settings)
            .into_iter()
            .map(|path| self.get(path))
            .collect()
    }
}

fn checkpoint(source: &ModelSource) -> Option<&Path> {
    match source {
        ModelSource::Named(directory) => Some(directory),
        ModelSource::Shape(_) => None,
    }
}

fn checkpoints(settings: &Settings) -> Vec<&Path> {
    let weaker = match &settings.preferences.weaker {
        WeakerModel::Smaller { model } => checkpoint(model),
        WeakerModel::Shorter { share: _ } => None,
    };
    checkpoint(&settings.model)
        .into_iter()
        .chain(weaker)
        .collect()
}

fn hash_path(path: &Path) -> std::io::Result<String> {
    if !path.is_dir() {
        return hash_file(path);
    }
    let files: Vec<(PathBuf, String)> = files_below(path)?
        .into_iter()
        .map(|file| hash_file(&path.join(&file)).map(|hash| (file, hash)))
        .collect::<Result<_, _>>()?;
    Ok(hash_value(&files))
}
