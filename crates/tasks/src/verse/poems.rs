//! Prompts and reference verses from a file of Chinese poems.
//!
//! One JSON object a line: `form` (`jueju5`, `jueju7`, `lvshi5`, `lvshi7`), `title`, `lines`, `rhyme` (the groups that all
//! rhyming rows share), `rhyme_ok`, `rhyme_level` (rhymes in a level-tone group), `tone_ok`, `split` (`train`, `valid`,
//! `test`); other keys are passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use preflab_config::{PoemFiles, VerseForm, VerseSettings};
use preflab_data::{DataError, JsonLines};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::characters::short_name;
use super::form::FormRule;
use super::lexicon::{Lexicon, is_chinese};
use super::{Request, refused};
use crate::task::Prompts;
use crate::{Prompt, Split, TaskError};

/// A row of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PoemRow {
    /// Form.
    pub form: PoemForm,
    /// Title.
    pub title: String,
    /// Rows, without punctuation.
    pub lines: Vec<String>,
    /// Rhyme groups that the even rows share.
    pub rhyme: Vec<String>,
    /// Whether there is such a group.
    pub rhyme_ok: bool,
    /// Whether one of them is of level tone.
    pub rhyme_level: bool,
    /// Whether the tones follow one of the form's patterns.
    pub tone_ok: bool,
    /// Which split it belongs to.
    pub split: PoemSplit,
}

/// A form as the file names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoemForm {
    /// Four rows of five.
    Jueju5,
    /// Four rows of seven.
    Jueju7,
    /// Eight rows of five.
    Lvshi5,
    /// Eight rows of seven.
    Lvshi7,
}

impl PoemForm {
    /// The form of the suite.
    pub fn verse_form(self) -> VerseForm {
        match self {
            Self::Jueju5 => VerseForm::Quatrain5,
            Self::Jueju7 => VerseForm::Quatrain7,
            Self::Lvshi5 => VerseForm::Regulated5,
            Self::Lvshi7 => VerseForm::Regulated7,
        }
    }
}

/// A split as the file names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoemSplit {
    /// Training.
    Train,
    /// Validation.
    Valid,
    /// Test.
    Test,
}

/// The name by which prompts ask for a form; `None` for those that the file does not have.
pub fn form_name(form: VerseForm) -> Option<&'static str> {
    match form {
        VerseForm::Quatrain5 => Some("五绝"),
        VerseForm::Quatrain7 => Some("七绝"),
        VerseForm::Regulated5 => Some("五律"),
        VerseForm::Regulated7 => Some("七律"),
        VerseForm::Song | VerseForm::OldStyle | VerseForm::Free => None,
    }
}

/// Every row of the file, with its line number.
///
/// # Errors
/// If the file cannot be read or a row is not a poem of its form.
pub fn read(files: &PoemFiles) -> Result<Vec<(usize, PoemRow)>, DataError> {
    let expected =
        "an object with form, title, lines, rhyme, rhyme_ok, rhyme_level, tone_ok and split";
    let mut lines = JsonLines::<PoemRow>::open(&files.poems, expected)?;
    let mut rows = Vec::new();
    while let Some(row) = lines.next() {
        let (line, row) = row?;
        if let Some(problem) = problem(&row) {
            return Err(lines.error(
                problem,
                "write each row of a poem as one string without punctuation",
            ));
        }
        rows.push((line, row));
    }
    Ok(rows)
}

/// What is wrong with a row beyond its keys.
fn problem(row: &PoemRow) -> Option<String> {
    let rule = FormRule::of(row.form.verse_form());
    if !rule.rows.contains(&row.lines.len()) {
        return Some(format!(
            "`lines` has {} rows, the form has {}",
            row.lines.len(),
            rule.rows.start()
        ));
    }
    let wrong = row
        .lines
        .iter()
        .enumerate()
        .find(|(i, line)| !rule.words(*i).contains(&line.chars().count()));
    if let Some((i, line)) = wrong {
        return Some(format!(
            "`lines[{i}]` has {} characters, the form has {}",
            line.chars().count(),
            rule.words(i).start()
        ));
    }
    if row.rhyme_ok && row.rhyme.is_empty() {
        return Some("`rhyme_ok` is true and `rhyme` is empty".into());
    }
    None
}

/// Why rows were left out, for the error when none is left.
#[derive(Debug, Default)]
struct LeftOut {
    reasons: BTreeMap<&'static str, usize>,
}

impl LeftOut {
    /// Counts a row if `out`; returns whether it stays.
    fn keep(&mut self, out: bool, reason: &'static str) -> bool {
        if out {
            *self.reasons.entry(reason).or_default() += 1;
        }
        !out
    }

    fn list(&self) -> String {
        self.reasons
            .iter()
            .fold(String::new(), |mut text, (reason, count)| {
                let separator = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{separator}{count} {reason}");
                text
            })
    }
}

/// The prompts of all splits. A prompt that would stand in several splits is kept in the first of test, validation and
/// training alone; test and validation hold no prompt twice.
///
/// # Errors
/// If a file cannot be read, has a bad row or an unknown rhyme group, or a split is left without poems.
pub fn prompts(
    settings: &VerseSettings,
    files: &PoemFiles,
    lexicon: &Lexicon,
) -> Result<Prompts, TaskError> {
    let mut left_out = LeftOut::default();
    let mut rows = read(files)?;
    rows.retain(|(_, row)| {
        left_out.keep(
            !settings.forms.contains(&row.form.verse_form()),
            "of other forms",
        ) && left_out.keep(
            !row.rhyme_ok || (files.only_level_rhyme && !row.rhyme_level),
            "without the rhyme asked for",
        ) && left_out.keep(
            files.only_regular_tones && !row.tone_ok,
            "of irregular tones",
        ) && left_out.keep(
            row.title.chars().count() > files.max_title.get(),
            "with a longer title",
        ) && left_out.keep(
            row.title.is_empty() || !row.title.chars().all(is_chinese),
            "whose title is not all Chinese characters",
        )
    });
    let counts = character_counts(&rows);
    let rare = |c: char| counts.get(&c).copied().unwrap_or(0) < files.min_character_count.get();
    rows.retain(|(_, row)| left_out.keep(characters(row).any(rare), "with a rare character"));

    let mut asked = BTreeSet::new();
    let mut split = |wanted: PoemSplit,
                     split: Split,
                     most: usize|
     -> Result<Vec<Prompt>, TaskError> {
        let mut prompts = Vec::new();
        let mut here = BTreeSet::new();
        for (line, row) in rows.iter().filter(|(_, row)| row.split == wanted) {
            let text = request_text(files, lexicon, *line, row)?;
            let is_new =
                !asked.contains(&text) && (here.insert(text.clone()) || wanted == PoemSplit::Train);
            if is_new {
                prompts.push(Prompt {
                    id: split.id(*line),
                    text,
                    reference: row.lines.join("\n"),
                });
            }
        }
        asked.append(&mut here);
        if prompts.is_empty() {
            return Err(refused(
                format!(
                    "{} has no {wanted:?} poem left; left out: {}",
                    files.poems.display(),
                    left_out.list()
                ),
                "allow longer titles (`max_title`), rarer characters (`min_character_count`) or more `forms`",
            ));
        }
        let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
        random.set_stream(split as u64);
        prompts.shuffle(&mut random);
        prompts.truncate(most);
        Ok(prompts)
    };
    let test = split(PoemSplit::Test, Split::Test, settings.test_prompts.get())?;
    let validation = split(
        PoemSplit::Valid,
        Split::Validation,
        settings.validation_prompts.get(),
    )?;
    let train = split(PoemSplit::Train, Split::Train, settings.train_prompts.get())?;
    Ok(Prompts {
        train,
        validation,
        test,
        shifted: Vec::new(),
    })
}

fn characters(row: &PoemRow) -> impl Iterator<Item = char> {
    row.lines
        .iter()
        .flat_map(|line| line.chars())
        .chain(row.title.chars())
}

fn character_counts(rows: &[(usize, PoemRow)]) -> BTreeMap<char, usize> {
    let mut counts = BTreeMap::new();
    for (_, row) in rows.iter().filter(|(_, row)| row.split == PoemSplit::Train) {
        for c in characters(row) {
            *counts.entry(c).or_default() += 1;
        }
    }
    counts
}

fn request_text(
    files: &PoemFiles,
    lexicon: &Lexicon,
    line: usize,
    row: &PoemRow,
) -> Result<String, TaskError> {
    let rhyme = short_name(&row.rhyme[0]);
    if lexicon.group(&rhyme).is_none() {
        return Err(TaskError::Data(DataError::Row {
            path: files.poems.clone(),
            line,
            problem: format!(
                "`rhyme` names `{}`, a group without a character",
                row.rhyme[0]
            ),
            expected: format!("a group of {}", files.characters.display()),
            hint: "poems and table must use the same rhyme groups".into(),
        }));
    }
    let form = form_name(row.form.verse_form()).expect("every form of the file has a name");
    Ok(Request {
        form,
        title: &row.title,
        rhyme: &rhyme,
    }
    .text())
}
