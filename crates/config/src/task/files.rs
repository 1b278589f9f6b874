//! The files a task is read from.

use std::path::Path;

use crate::{TaskSettings, VerseSource};

impl TaskSettings {
    /// Files that the task is read from; what it computes depends on their contents.
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Self::Verse(verse) => match &verse.source {
                VerseSource::Generated(_) => Vec::new(),
                VerseSource::Poems(files) => vec![&files.poems, &files.characters],
            },
        }
    }
}
