//! Settings of the tasks.

mod arithmetic;
mod preference_data;
mod slogan;
mod span;
mod verse;

pub use arithmetic::*;
pub use preference_data::*;
use serde::{Deserialize, Serialize};
pub use slogan::*;
pub use span::*;
pub use verse::*;

/// A task: prompts and reference answers, with a gold score by rule or, for a preference data set, pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskSettings {
    /// Verse of a fixed form, title and rhyme.
    Verse(VerseSettings),
    /// Arithmetic in several steps, with written working.
    Arithmetic(ArithmeticSettings),
    /// Slogans of a fixed number of words that say given words.
    Slogan(SloganSettings),
    /// A preference data set: prompts with a chosen and a rejected answer, without a gold score.
    Preferences(PreferenceDataSettings),
}

impl TaskSettings {
    /// The tag of the variant, as written in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Verse(_) => "verse",
            Self::Arithmetic(_) => "arithmetic",
            Self::Slogan(_) => "slogan",
            Self::Preferences(_) => "preferences",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_defaults() {
        for name in ["verse", "arithmetic", "slogan"] {
            let task: TaskSettings = toml::from_str(&format!("{name} = {{}}")).unwrap();
            assert_eq!(task.name(), name);
            let text = toml::to_string(&task).unwrap();
            assert_eq!(
                toml::from_str::<TaskSettings>(&text).unwrap(),
                task,
                "{text}"
            );
        }
    }

    #[test]
    fn a_preference_data_set_is_named_by_its_file() {
        let task: TaskSettings =
            toml::from_str("preferences = { train = \"pairs.jsonl\" }").unwrap();
        assert_eq!(task.name(), "preferences");
        assert!(task.brings_pairs() && !task.has_gold());
        let text = toml::to_string(&task).unwrap();
        assert_eq!(toml::from_str::<TaskSettings>(&text).unwrap(), task);
        assert!(toml::from_str::<TaskSettings>("preferences = {}").is_err());
    }

    #[test]
    fn two_tasks_at_once_are_refused() {
        assert!(toml::from_str::<TaskSettings>("verse = {}\nslogan = {}").is_err());
    }
}
