//! A generated language for verse: 128 syllables, each a word with a rhyme class and a tone.
//!
//! A syllable is an onset (`B D G K L M N S`), a rime (`a e i o u an en on`) and, in the oblique tone, a final `h`:
//! `Kan` is level, `Kanh` oblique, and both rhyme in `an`. Written without spaces, a row such as `KaLohMinDeSu` is cut at
//! its capitals, and a tokenizer with [`UNIT`] gives each syllable one token.

use std::collections::BTreeMap;

use preflab_config::VerseForm;

use super::lexicon::{Cut, Lexicon, Reading, Tone};

const ONSETS: [&str; 8] = ["B", "D", "G", "K", "L", "M", "N", "S"];

/// The rimes, each a rhyme group under its own name.
pub const RIMES: [&str; 8] = ["a", "e", "i", "o", "u", "an", "en", "on"];

/// The regular expression of one unit of text: a syllable, or the name of a form or rhyme group.
pub const UNIT: &str = "[A-Z][a-z]*|[a-z][a-z0-9-]*";

/// A word of the language.
#[derive(Debug, Clone, PartialEq)]
pub struct Syllable {
    /// As written.
    pub spelling: String,
    /// Level or oblique.
    pub tone: Tone,
    /// Index into [`RIMES`].
    pub rime: usize,
    /// How often it is used where several fit, relative to the others.
    pub weight: f64,
}

/// Every syllable; a level one is followed by its oblique twin.
pub fn all() -> Vec<Syllable> {
    let mut syllables = Vec::with_capacity(ONSETS.len() * RIMES.len() * 2);
    for onset in ONSETS {
        for (rime, spelled) in RIMES.iter().enumerate() {
            for (tone, mark) in [(Tone::Level, ""), (Tone::Oblique, "h")] {
                // Frequencies fall with the rank as in Zipf's law; multiplying by 37 scatters the ranks over the sounds.
                let rank = syllables.len() * 37 % (ONSETS.len() * RIMES.len() * 2);
                syllables.push(Syllable {
                    spelling: format!("{onset}{spelled}{mark}"),
                    tone,
                    rime,
                    weight: 1.0 / (rank + 16) as f64,
                });
            }
        }
    }
    syllables
}

/// The language as the scorer sees it.
pub fn lexicon() -> Lexicon {
    let readings: BTreeMap<String, Reading> = all()
        .into_iter()
        .map(|syllable| {
            let reading = Reading {
                tone: syllable.tone,
                groups: vec![syllable.rime],
            };
            (syllable.spelling, reading)
        })
        .collect();
    Lexicon::new(readings, RIMES.map(str::to_owned).to_vec(), Cut::Capitals)
}

/// The name by which prompts ask for a form: its tag in settings.
pub fn form_name(form: VerseForm) -> &'static str {
    match form {
        VerseForm::Quatrain5 => "quatrain5",
        VerseForm::Quatrain7 => "quatrain7",
        VerseForm::Regulated5 => "regulated5",
        VerseForm::Regulated7 => "regulated7",
        VerseForm::Song => "song",
        VerseForm::OldStyle => "old-style",
        VerseForm::Free => "free",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_syllable_is_one_word_with_its_twin_beside_it() {
        let (syllables, lexicon) = (all(), lexicon());
        assert_eq!(lexicon.words().count(), 128);
        for (i, syllable) in syllables.iter().enumerate() {
            let words = lexicon.cut(&syllable.spelling);
            assert_eq!(words.len(), 1);
            assert_eq!(words[0].reading.unwrap().tone, syllable.tone);
            let twin = &syllables[i ^ 1];
            assert_eq!(twin.rime, syllable.rime);
            assert_ne!(twin.tone, syllable.tone);
        }
    }

    #[test]
    fn every_rank_is_used_once() {
        let mut weights: Vec<f64> = all().iter().map(|syllable| syllable.weight).collect();
        weights.sort_by(f64::total_cmp);
        weights.dedup();
        assert_eq!(weights.len(), 128);
    }

    #[test]
    fn names_are_those_of_the_settings() {
        for form in VerseForm::ALL {
            assert_eq!(serde_json::to_value(form).unwrap(), form_name(form));
        }
    }
}
