//! The words of a language with their tones and rhyme groups.

use std::collections::BTreeMap;

/// The tone of a word in one of the two classes that verse tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Level (ping).
    Level,
    /// Oblique (ze).
    Oblique,
    /// Read either way, according to sense.
    Either,
    /// Not in the table.
    Unknown,
}

/// How a word sounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Its tone.
    pub tone: Tone,
    /// The rhyme groups it belongs to, indices into [`Lexicon::groups`].
    pub groups: Vec<usize>,
}

/// A word that is written but not in the table: no tone known, no rhyme.
static UNKNOWN: Reading = Reading {
    tone: Tone::Unknown,
    groups: Vec::new(),
};

/// How a row of text is cut into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// A word starts at each ASCII capital. What is not in the lexicon is not a word.
    Capitals,
    /// Every character is a word. Chinese characters that are not in the lexicon are words of unknown tone; anything
    /// else is not a word.
    Characters,
}

/// A piece of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Word<'t, 'l> {
    /// As written.
    pub spelling: &'t str,
    /// How it sounds; `None` if it is not a word of the language.
    pub reading: Option<&'l Reading>,
}

/// The words of a language.
#[derive(Debug, Clone)]
pub struct Lexicon {
    readings: BTreeMap<String, Reading>,
    groups: Vec<String>,
    cut: Cut,
}

impl Lexicon {
    /// A lexicon of `readings`, whose groups index `groups`.
    ///
    /// # Panics
    /// If a reading's group is not one of `groups`.
    pub fn new(readings: BTreeMap<String, Reading>, groups: Vec<String>, cut: Cut) -> Self {
        let named = |reading: &Reading| reading.groups.iter().all(|&group| group < groups.len());
        assert!(readings.values().all(named), "every rhyme group has a name");
        Self {
            readings,
            groups,
            cut,
        }
    }

    /// The names of the rhyme groups, as prompts spell them.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The rhyme group with this name.
    pub fn group(&self, name: &str) -> Option<usize> {
        self.groups.iter().position(|group| group == name)
    }

    /// Every word in the table with its reading, in the order of spelling.
    pub fn words(&self) -> impl Iterator<Item = (&str, &Reading)> {
        self.readings
            .iter()
            .map(|(spelling, reading)| (spelling.as_str(), reading))
    }

    /// The pieces of one row or title.
    pub fn cut<'t>(&self, row: &'t str) -> Vec<Word<'t, '_>> {
        let mut starts: Vec<usize> = match self.cut {
            Cut::Capitals => row
                .char_indices()
                .filter(|(_, c)| c.is_ascii_uppercase())
                .map(|(at, _)| at)
                .collect(),
            Cut::Characters => row.char_indices().map(|(at, _)| at).collect(),
        };
        if !row.is_empty() && starts.first() != Some(&0) {
            starts.insert(0, 0);
        }
        let ends = starts.iter().skip(1).copied().chain([row.len()]);
        starts
            .iter()
            .zip(ends)
            .map(|(&start, end)| self.word(&row[start..end]))
            .collect()
    }

    fn word<'t>(&self, spelling: &'t str) -> Word<'t, '_> {
        let reading = self.readings.get(spelling).or_else(|| {
            let written = self.cut == Cut::Characters && spelling.chars().all(is_chinese);
            written.then_some(&UNKNOWN)
        });
        Word { spelling, reading }
    }
}

/// Whether `c` is a Chinese character: the unified ideographs with their extensions, the compatibility ideographs, 〇.
pub fn is_chinese(c: char) -> bool {
    matches!(u32::from(c), 0x3007 | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spellings(cut: Cut, row: &str) -> Vec<String> {
        let lexicon = Lexicon::new(BTreeMap::new(), Vec::new(), cut);
        lexicon
            .cut(row)
            .iter()
            .map(|word| word.spelling.to_owned())
            .collect()
    }

    #[test]
    fn rows_are_cut_without_losing_a_character() {
        assert_eq!(
            spellings(Cut::Capitals, "xyKaLo1Mi"),
            ["xy", "Ka", "Lo1", "Mi"]
        );
        assert_eq!(spellings(Cut::Characters, "床a月"), ["床", "a", "月"]);
        assert!(spellings(Cut::Capitals, "").is_empty());
    }

    #[test]
    fn only_chinese_characters_may_be_words_outside_the_table() {
        let lexicon = Lexicon::new(BTreeMap::new(), Vec::new(), Cut::Characters);
        let words = lexicon.cut("月，a");
        assert_eq!(
            words[0].reading.map(|reading| reading.tone),
            Some(Tone::Unknown)
        );
        assert_eq!((words[1].reading, words[2].reading), (None, None));
    }
}
