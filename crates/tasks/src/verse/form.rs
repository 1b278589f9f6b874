//! The forms of verse: how many rows and words, which rows rhyme, which tone stands where.

use std::ops::RangeInclusive;

use preflab_config::VerseForm;

/// A tone that a place of a row asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Level.
    Level,
    /// Oblique.
    Oblique,
    /// Any tone.
    Any,
}

/// The tones of a whole poem, row by row.
pub type TonePattern = Vec<Vec<Wanted>>;

/// What a form asks for.
///
/// Regulated verse (quatrains and eight-row poems) follows the rules as they are usually taught: at the second, fourth
/// (and sixth) place of a row tones alternate; a row opposes the row before it inside a couplet and follows it between
/// couplets, so that of two rows' shapes A and B the poem runs ABBA... or BAAB...; even rows rhyme and end level, odd
/// rows but the first end oblique.
#[derive(Debug, Clone)]
pub struct FormRule {
    /// How many rows.
    pub rows: RangeInclusive<usize>,
    /// How many words each row has: one range for all rows, or one a row.
    words: Vec<RangeInclusive<usize>>,
    /// The rows that rhyme, from 0.
    pub rhyming: Vec<usize>,
    /// The tone patterns allowed; empty where the form asks for no tones.
    pub patterns: Vec<TonePattern>,
}

impl FormRule {
    /// The rule of `form`.
    pub fn of(form: VerseForm) -> Self {
        match form {
            VerseForm::Quatrain5 => Self::regulated(4, 5),
            VerseForm::Quatrain7 => Self::regulated(4, 7),
            VerseForm::Regulated5 => Self::regulated(8, 5),
            VerseForm::Regulated7 => Self::regulated(8, 7),
            VerseForm::Song => {
                Self::song(&["P*Z", "*ZZPP", "*Z*PPZZ", "*P*ZZPP", "*ZZPP"], &[1, 3, 4])
            }
            VerseForm::OldStyle => Self::old_style(6, 5),
            VerseForm::Free => Self {
                rows: 4..=8,
                words: vec![2..=9],
                rhyming: Vec::new(),
                patterns: Vec::new(),
            },
        }
    }

    /// `rows` rows of `words` words, regulated.
    fn regulated(rows: usize, words: usize) -> Self {
        Self {
            rows: rows..=rows,
            words: vec![words..=words],
            rhyming: (1..rows).step_by(2).collect(),
            patterns: [true, false]
                .map(|level| regulated_pattern(rows, words, level))
                .to_vec(),
        }
    }

    /// A tune: `P` level, `Z` oblique, `*` any.
    fn song(tune: &[&str], rhyming: &[usize]) -> Self {
        let pattern: TonePattern = tune
            .iter()
            .map(|row| row.chars().map(wanted).collect())
            .collect();
        Self {
            rows: tune.len()..=tune.len(),
            words: pattern.iter().map(|row| row.len()..=row.len()).collect(),
            rhyming: rhyming.to_vec(),
            patterns: vec![pattern],
        }
    }

    /// Even rows rhyme, all in the same tone; no other place asks for a tone.
    fn old_style(rows: usize, words: usize) -> Self {
        let pattern = |end: Wanted| {
            let row = |row: usize| {
                let last = if row % 2 == 1 { end } else { Wanted::Any };
                [vec![Wanted::Any; words - 1], vec![last]].concat()
            };
            (0..rows).map(row).collect()
        };
        Self {
            patterns: vec![pattern(Wanted::Level), pattern(Wanted::Oblique)],
            ..Self::regulated(rows, words)
        }
    }

    /// How many words row `row` has, from 0.
    pub fn words(&self, row: usize) -> RangeInclusive<usize> {
        self.words[row.min(self.words.len() - 1)].clone()
    }
}

/// The regulated pattern whose first row has a level (or an oblique) tone at its second place.
fn regulated_pattern(rows: usize, words: usize, first_is_level: bool) -> TonePattern {
    let row = |row: usize| {
        // A B B A A B B A ...: the shape changes within a couplet, rows (0, 1), (2, 3), and not between couplets.
        let is_level = first_is_level != (row.div_ceil(2) % 2 == 1);
        (0..words)
            .map(|place| match (place, place + 1 == words) {
                (_, true) if row % 2 == 1 => Wanted::Level,
                (_, true) if row > 0 => Wanted::Oblique,
                (_, true) => Wanted::Any,
                (place, false) if place % 2 == 0 => Wanted::Any,
                (place, false) if (place % 4 == 1) == is_level => Wanted::Level,
                (_, false) => Wanted::Oblique,
            })
            .collect()
    };
    (0..rows).map(row).collect()
}

fn wanted(letter: char) -> Wanted {
    match letter {
        'P' => Wanted::Level,
        'Z' => Wanted::Oblique,
        '*' => Wanted::Any,
        other => unreachable!("`{other}` in a tune written in this file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(pattern: &TonePattern) -> Vec<String> {
        let letter = |wanted: &Wanted| match wanted {
            Wanted::Level => 'P',
            Wanted::Oblique => 'Z',
            Wanted::Any => '*',
        };
        pattern
            .iter()
            .map(|row| row.iter().map(letter).collect())
            .collect()
    }

    #[test]
    fn quatrain_patterns_are_the_two_taught() {
        let rule = FormRule::of(VerseForm::Quatrain5);
        assert_eq!(
            drawn(&rule.patterns[0]),
            ["*P*Z*", "*Z*PP", "*Z*PZ", "*P*ZP"]
        );
        assert_eq!(
            drawn(&rule.patterns[1]),
            ["*Z*P*", "*P*ZP", "*P*ZZ", "*Z*PP"]
        );
        let rule = FormRule::of(VerseForm::Quatrain7);
        assert_eq!(
            drawn(&rule.patterns[0]),
            ["*P*Z*P*", "*Z*P*ZP", "*Z*P*ZZ", "*P*Z*PP"]
        );
    }

    #[test]
    fn eight_rows_continue_the_chain() {
        let rule = FormRule::of(VerseForm::Regulated5);
        let seconds: String = drawn(&rule.patterns[0])
            .iter()
            .map(|row| row.as_bytes()[1] as char)
            .collect();
        assert_eq!(seconds, "PZZPPZZP");
        assert_eq!(rule.rhyming, [1, 3, 5, 7]);
    }

    #[test]
    fn a_song_has_its_own_row_lengths() {
        let rule = FormRule::of(VerseForm::Song);
        let lengths: Vec<usize> = (0..5).map(|row| *rule.words(row).start()).collect();
        assert_eq!(lengths, [3, 5, 7, 7, 5]);
    }
}
