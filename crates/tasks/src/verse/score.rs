//! The five criteria of verse, each a rule with values in [0, 1].
//!
//! Let the form ask for `n` rows (from `n_low` to `n_high`). An answer is cut into rows at line feeds; one line feed at its
//! end is passed over. A row **repeats** if it equals an earlier row. A row is **usable** if it is one of the first `n_high`,
//! does not repeat, and its number of words misses the form's by at most one.
//!
//! | criterion | value |
//! | --- | --- |
//! | `rows` | `max(0, 1 − (d + r)/n_low)`: `d` how many rows too many or too few, `r` rows that repeat |
//! | `words` | share of the first `n_high` rows, at least `n_low` being counted, that have the form's number of words, all of them words of the language, none more than twice, and do not repeat |
//! | `rhyme` | share of the rows that must rhyme that are usable and end on a word of the rhyme group asked for, other than the end of any rhyming row before |
//! | `tone` | over the form's tone patterns, the largest share of fixed places whose word has the tone asked for: a word read both ways counts, one of unknown tone counts half, what is not a word does not count, nor do rows that are not usable. The last place of a pattern is matched with the last word of the row |
//! | `title` | share of the title's different words that stand in a usable row |
//!
//! What a form leaves open (rhyme and tones of free verse) counts 1 as soon as there is a usable row.
//! An answer with no word, or with more than twice the form's rows, is no verse: all five are 0.
//!
//! What bad answers get, for a form of four rows of five words:
//!
//! | answer | rows | words | rhyme | tone | title |
//! | --- | --- | --- | --- | --- | --- |
//! | empty | 0 | 0 | 0 | 0 | 0 |
//! | nine rows or more | 0 | 0 | 0 | 0 | 0 |
//! | no line feed | 0.25 | 0 | 0 | 0 | 0 |
//! | one row four times | 0.25 | at most 0.25 | 0 | at most 2/11 | as it is |
//! | no word of the language | 0 | 0 | 0 | 0 | 0 |

use super::Request;
use super::form::{FormRule, TonePattern, Wanted};
use super::lexicon::{Lexicon, Tone, Word};

/// The names of the criteria.
pub const CRITERIA: [&str; 5] = ["rows", "words", "rhyme", "tone", "title"];

/// The five criteria of `text` as an answer to `request`, in the order of [`CRITERIA`].
///
/// # Panics
/// If `request` asks for a rhyme group that the lexicon does not have.
pub fn criteria(rule: &FormRule, lexicon: &Lexicon, request: &Request<'_>, text: &str) -> [f64; 5] {
    let poem = Poem::read(rule, lexicon, text);
    if poem.is_no_verse() {
        return [0.0; 5];
    }
    let group = lexicon
        .group(request.rhyme)
        .unwrap_or_else(|| panic!("`{}` is not a rhyme group of the language", request.rhyme));
    [
        poem.rows(),
        poem.words(),
        poem.rhyme(group),
        poem.tone(),
        poem.title(&lexicon.cut(request.title)),
    ]
}

/// An answer cut into words, beside the rule it is measured by.
#[derive(Debug)]
pub struct Poem<'a> {
    rule: &'a FormRule,
    rows: Vec<Row<'a>>,
}

#[derive(Debug)]
struct Row<'a> {
    words: Vec<Word<'a, 'a>>,
    repeats: bool,
}

impl<'a> Poem<'a> {
    /// Cuts `text` into rows and words.
    pub fn read(rule: &'a FormRule, lexicon: &'a Lexicon, text: &'a str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let rows = lines
            .iter()
            .enumerate()
            .map(|(i, line)| Row {
                words: lexicon.cut(line),
                repeats: lines[..i].contains(line),
            })
            .collect();
        Self { rule, rows }
    }

    /// Whether there is nothing to score: no word at all, or more than twice the rows.
    fn is_no_verse(&self) -> bool {
        let has_words = self
            .rows
            .iter()
            .flat_map(|row| &row.words)
            .any(|word| word.reading.is_some());
        !has_words || self.rows.len() > 2 * self.rule.rows.end()
    }

    fn rows(&self) -> f64 {
        let (low, high) = (*self.rule.rows.start(), *self.rule.rows.end());
        let found = self.rows.len();
        let missed = low.saturating_sub(found) + found.saturating_sub(high);
        let repeats = self.rows.iter().filter(|row| row.repeats).count();
        (1.0 - (missed + repeats) as f64 / low as f64).max(0.0)
    }

    fn words(&self) -> f64 {
        let counted = self
            .rows
            .len()
            .clamp(*self.rule.rows.start(), *self.rule.rows.end());
        let right = self
            .rows
            .iter()
            .take(counted)
            .enumerate()
            .filter(|(i, row)| {
                self.rule.words(*i).contains(&row.words.len())
                    && !row.repeats
                    && row.words.iter().all(|word| word.reading.is_some())
                    && row.words.iter().all(|word| row.count(word) <= 2)
            });
        right.count() as f64 / counted as f64
    }

    fn rhyme(&self, group: usize) -> f64 {
        if self.rule.rhyming.is_empty() {
            return self.open_criterion();
        }
        let mut ends: Vec<&str> = Vec::new();
        let mut right = 0;
        for &row in &self.rule.rhyming {
            let Some(last) = self.usable(row).and_then(|words| words.last()) else {
                continue;
            };
            let rhymes = last
                .reading
                .is_some_and(|reading| reading.groups.contains(&group));
            if rhymes && !ends.contains(&last.spelling) {
                right += 1;
            }
            ends.push(last.spelling);
        }
        f64::from(right) / self.rule.rhyming.len() as f64
    }

    fn tone(&self) -> f64 {
        let shares = self
            .rule
            .patterns
            .iter()
            .map(|pattern| self.tone_match(pattern).share());
        shares
            .reduce(f64::max)
            .unwrap_or_else(|| self.open_criterion())
    }

    fn title(&self, title: &[Word<'_, '_>]) -> f64 {
        let mut wanted: Vec<&str> = title.iter().map(|word| word.spelling).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let said = |spelling: &&&str| {
            (0..self.rows.len())
                .filter_map(|row| self.usable(row))
                .any(|words| words.iter().any(|word| word.spelling == **spelling))
        };
        wanted.iter().filter(said).count() as f64 / wanted.len() as f64
    }

    /// The words of a row that is usable, see the module's documentation.
    fn usable(&self, row: usize) -> Option<&[Word<'a, 'a>]> {
        let words = self.rule.words(row);
        let near = words.start() - 1..=words.end() + 1;
        let found = self.rows.get(row)?;
        let usable =
            row < *self.rule.rows.end() && !found.repeats && near.contains(&found.words.len());
        usable.then_some(&found.words)
    }

    /// The value of what the form leaves open.
    fn open_criterion(&self) -> f64 {
        let any = (0..self.rows.len()).any(|row| self.usable(row).is_some());
        f64::from(u8::from(any))
    }

    /// How the poem's tones meet one pattern.
    pub fn tone_match(&self, pattern: &TonePattern) -> ToneMatch {
        let mut result = ToneMatch::default();
        for (row, wanted) in pattern.iter().enumerate() {
            for (place, &wanted) in wanted
                .iter()
                .enumerate()
                .filter(|(_, wanted)| **wanted != Wanted::Any)
            {
                let word = self.usable(row).and_then(|words| {
                    if place + 1 == pattern[row].len() {
                        words.last()
                    } else {
                        words.get(place)
                    }
                });
                match word
                    .and_then(|word| word.reading)
                    .map(|reading| (reading.tone, wanted))
                {
                    Some(
                        (Tone::Level, Wanted::Level)
                        | (Tone::Oblique, Wanted::Oblique)
                        | (Tone::Either, _),
                    ) => {
                        result.right += 1;
                    }
                    Some((Tone::Unknown, _)) => result.unknown += 1,
                    Some((Tone::Level | Tone::Oblique, _)) | None => result.wrong += 1,
                }
            }
        }
        result
    }

    /// The rhyme groups that the ends of all rows that must rhyme have in common, in ascending order.
    pub fn shared_groups(&self) -> Vec<usize> {
        let groups = |row: usize| -> &[usize] {
            let last = self.usable(row).and_then(|words| words.last());
            last.and_then(|word| word.reading)
                .map_or(&[], |reading| &reading.groups)
        };
        let Some((&first, others)) = self.rule.rhyming.split_first() else {
            return Vec::new();
        };
        let mut shared: Vec<usize> = groups(first).to_vec();
        shared.retain(|group| others.iter().all(|&row| groups(row).contains(group)));
        shared.sort_unstable();
        shared
    }
}

impl Row<'_> {
    fn count(&self, word: &Word<'_, '_>) -> usize {
        self.words
            .iter()
            .filter(|other| other.spelling == word.spelling)
            .count()
    }
}

/// How many of a pattern's fixed places have the right tone, a tone that is not known, or the wrong one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ToneMatch {
    /// The tone asked for.
    pub right: usize,
    /// A word whose tone is not in the table.
    pub unknown: usize,
    /// Another tone, no word, or a row that is not usable.
    pub wrong: usize,
}

impl ToneMatch {
    /// The share of right places, unknown ones counting half.
    pub fn share(self) -> f64 {
        let places = self.right + self.unknown + self.wrong;
        (self.right as f64 + 0.5 * self.unknown as f64) / places as f64
    }
}
