//! Tasks: prompts, reference answers, scorers, corruption; preference data sets as tasks.
//!
//! A task with a gold score is small enough for a CPU and honest enough to show what preference training does: its score is a rule, so it
//! cannot be talked round, and its reference answers are good but not perfect, so that a model trained on them has room
//! above it.
//!
//! # Example
//! ```
//! use preflab_config::{TaskSettings, VerseSettings};
//! use preflab_tasks::{Split, open};
//!
//! let task = open(&TaskSettings::Verse(VerseSettings::default()))?;
//! let prompt = &task.prompts(Split::Test)[0];
//! let score = task.score(prompt, &prompt.reference);
//! assert_eq!(score.criteria.len(), task.criteria().len());
//! assert!((0.0..=1.0).contains(&score.gold));
//! # Ok::<(), preflab_tasks::TaskError>(())
//! ```
//!
//! # Adding a task
//! One variant of [`preflab_config::TaskSettings`], one file here with an `impl Task`, one line in [`open`].
#![warn(missing_docs)]

pub mod arithmetic;
mod error;
pub mod judge;
pub mod preference_data;
pub mod slogan;
mod task;
pub mod verse;

pub use error::TaskError;
use preflab_config::TaskSettings;
pub use task::{Prompt, Prompts, Score, Split, Task};

/// The task that `settings` describe, its prompts drawn or read.
///
/// # Errors
/// If settings contradict each other, or a file cannot be read or has a bad row.
pub fn open(settings: &TaskSettings) -> Result<Box<dyn Task>, TaskError> {
    match settings {
        TaskSettings::Verse(settings) => Ok(Box::new(verse::Verse::open(settings)?)),
        TaskSettings::Arithmetic(settings) => Ok(Box::new(arithmetic::Arithmetic::open(settings)?)),
        TaskSettings::Slogan(settings) => Ok(Box::new(slogan::Slogan::open(settings)?)),
        TaskSettings::Preferences(settings) => {
            Ok(Box::new(preference_data::PreferenceData::open(settings)?))
        }
    }
}
