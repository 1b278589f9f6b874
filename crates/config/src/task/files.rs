//! The files a task is read from, and about how much it holds.

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

    /// About how many prompts there are to train on: from files there may be fewer.
    pub fn train_prompts(&self) -> usize {
        match self {
            Self::Verse(verse) => verse.train_prompts.get(),
        }
    }

    /// About how many prompts the final scores are made from.
    pub fn test_prompts(&self) -> usize {
        match self {
            Self::Verse(verse) => verse.test_prompts.get(),
        }
    }
}
