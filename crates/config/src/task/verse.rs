//! Settings of the verse task.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Count, Fraction};

/// Verse (section 4 of arXiv:2406.07327): the prompt fixes form, title and rhyme.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerseSettings {
    /// Prompts to train on. From poems: at most this many, all where there are fewer.
    pub train_prompts: Count,
    /// Prompts for choices made during training.
    pub validation_prompts: Count,
    /// Prompts for the final scores, never trained on.
    pub test_prompts: Count,
    /// Forms the prompts ask for.
    pub forms: Vec<VerseForm>,
    /// Where prompts and reference verses come from.
    pub source: VerseSource,
    /// Decides the drawn prompts and reference verses; the language itself is the same for every seed.
    pub seed: u64,
}

impl Default for VerseSettings {
    fn default() -> Self {
        Self {
            train_prompts: Count::of(4096),
            validation_prompts: Count::of(256),
            test_prompts: Count::of(512),
            forms: vec![VerseForm::Quatrain5, VerseForm::Quatrain7],
            source: VerseSource::default(),
            seed: 0,
        }
    }
}

/// A form of verse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerseForm {
    /// Four rows of five words (jueju).
    #[serde(rename = "quatrain5")]
    Quatrain5,
    /// Four rows of seven words.
    #[serde(rename = "quatrain7")]
    Quatrain7,
    /// Eight rows of five words (lüshi).
    #[serde(rename = "regulated5")]
    Regulated5,
    /// Eight rows of seven words.
    #[serde(rename = "regulated7")]
    Regulated7,
    /// A song form: rows of 3, 5, 7, 7, 5 words with a tone at nearly every place (the tune Yi Jiangnan).
    Song,
    /// Old style: six rows of five words, rhymed in one tone, otherwise free of tones.
    OldStyle,
    /// Free: four to eight rows of two to nine words, no rhyme and no tones asked for.
    Free,
}

impl VerseForm {
    /// Every form.
    pub const ALL: [Self; 7] = [
        Self::Quatrain5,
        Self::Quatrain7,
        Self::Regulated5,
        Self::Regulated7,
        Self::Song,
        Self::OldStyle,
        Self::Free,
    ];
}

/// Where prompts and reference verses come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerseSource {
    /// A generated language of syllables with rhyme classes and tones; needs no file.
    Generated(GeneratedVerse),
    /// Chinese poems from a file.
    Poems(PoemFiles),
}

impl Default for VerseSource {
    fn default() -> Self {
        Self::Generated(GeneratedVerse::default())
    }
}

/// The generated language.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeneratedVerse {
    /// Probability with which a reference verse breaks each of the five criteria, independently. It leaves the model
    /// trained on the references room for improvement; 0 makes every reference perfect.
    pub corruption: Fraction,
}

impl Default for GeneratedVerse {
    fn default() -> Self {
        Self {
            corruption: Fraction::of(0.5),
        }
    }
}

/// Chinese poems: JSON lines with the keys `form`, `title`, `lines`, `rhyme`, `rhyme_ok`, `rhyme_level`, `tone_ok`
/// and `split`, and a table of characters with the columns `char`, `tone` and `pingshui`. Either may be gzip-compressed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoemFiles {
    /// The poems.
    pub poems: PathBuf,
    /// Tone and rhyme groups of each character.
    pub characters: PathBuf,
    /// Poems with a character that the training poems hold fewer times than this, title included, are left out.
    #[serde(default = "min_character_count")]
    pub min_character_count: Count,
    /// Poems with a longer title are left out, characters.
    #[serde(default = "max_title")]
    pub max_title: Count,
    /// Whether to leave out poems that do not rhyme in a level-tone group, which regulated verse asks for.
    #[serde(default = "yes")]
    pub only_level_rhyme: bool,
    /// Whether to leave out poems that break their tone pattern.
    #[serde(default)]
    pub only_regular_tones: bool,
}

fn min_character_count() -> Count {
    Count::of(5)
}
fn max_title() -> Count {
    Count::of(8)
}
fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_form_is_refused_with_the_right_ones() {
        let error = toml::from_str::<VerseSettings>("forms = [\"sonnet\"]")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("unknown variant `sonnet`, expected one of `quatrain5`"),
            "{error}"
        );
    }

    #[test]
    fn every_form_round_trips_through_toml() {
        let settings = VerseSettings {
            forms: VerseForm::ALL.to_vec(),
            ..VerseSettings::default()
        };
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<VerseSettings>(&text).unwrap(), settings);
    }
}
