//! The files a task is read from, and about how much it holds: what a plan has to know of a task.

use std::path::Path;

use crate::{ArithmeticSource, PreferenceDataSettings, TaskSettings, VerseSource};

/// Pairs of a data set whose number the settings do not tell.
const PAIRS: usize = 4096;

impl TaskSettings {
    /// Files that the task is read from; what it computes depends on their contents.
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Self::Verse(verse) => match &verse.source {
                VerseSource::Generated(_) => Vec::new(),
                VerseSource::Poems(files) => vec![&files.poems, &files.characters],
            },
            Self::Arithmetic(arithmetic) => match &arithmetic.source {
                ArithmeticSource::Generated(_) => Vec::new(),
                ArithmeticSource::Problems(files) => {
                    let shifted = files.shifted.as_deref();
                    [files.train.as_path(), &files.test]
                        .into_iter()
                        .chain(shifted)
                        .collect()
                }
            },
            Self::Slogan(_) => Vec::new(),
            Self::Preferences(data) => [data.train.as_path()]
                .into_iter()
                .chain(data.test.as_deref())
                .collect(),
        }
    }

    /// Whether the task comes with preference pairs of its own, so that no candidates are sampled for them.
    pub fn brings_pairs(&self) -> bool {
        match self {
            Self::Verse(_) | Self::Arithmetic(_) | Self::Slogan(_) => false,
            Self::Preferences(_) => true,
        }
    }

    /// Whether answers have a gold score.
    pub fn has_gold(&self) -> bool {
        match self {
            Self::Verse(_) | Self::Arithmetic(_) | Self::Slogan(_) => true,
            Self::Preferences(_) => false,
        }
    }

    /// About how many prompts there are to train on: from files there may be fewer.
    pub fn train_prompts(&self) -> usize {
        match self {
            Self::Verse(verse) => verse.train_prompts.get(),
            Self::Arithmetic(arithmetic) => arithmetic.train_prompts.get(),
            Self::Slogan(slogan) => slogan.train_prompts.get(),
            Self::Preferences(data) => data.max_pairs.map_or(PAIRS, |most| most.get()),
        }
    }

    /// About how many prompts the final scores are made from.
    pub fn test_prompts(&self) -> usize {
        match self {
            Self::Verse(verse) => verse.test_prompts.get(),
            Self::Arithmetic(arithmetic) => {
                arithmetic.test_prompts.get() + arithmetic.shifted_prompts.get()
            }
            Self::Slogan(slogan) => slogan.test_prompts.get(),
            Self::Preferences(data) => {
                let pairs = data.max_pairs.map_or(PAIRS, |most| most.get());
                (pairs as f64 * data.held_out.get()) as usize
            }
        }
    }

    /// About how many tokens a tokenizer that suits the task has.
    pub fn vocabulary(&self) -> usize {
        match self {
            Self::Verse(verse) => match verse.source {
                VerseSource::Generated(_) => 256,
                VerseSource::Poems(_) => 4096,
            },
            Self::Arithmetic(_) | Self::Slogan(_) => 256,
            Self::Preferences(_) => PreferenceDataSettings::BYTE_PAIRS,
        }
    }
}
