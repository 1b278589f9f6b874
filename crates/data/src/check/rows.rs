//! What each kind of row is looked at for.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Checker, FindingKind, Place, encoding, hash};
use crate::{DataError, KtoRecord, PairRecord, ScoredRecord, Text};

/// Characters shown before trouble with an encoding.
const CONTEXT: usize = 20;

/// Which of two things rows have said: of two completions, in the order of their hashes, which was chosen; of a completion,
/// whether it is desirable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Preferred {
    first: bool,
    second: bool,
}

/// What a row says beside what the rows before it said of the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    New,
    Again,
    Opposite,
}

impl Preferred {
    fn say(of: &mut BTreeMap<u64, Self>, key: u64, is_first: bool) -> Said {
        let (said, seen) = match of.entry(key) {
            Entry::Vacant(entry) => (entry.insert(Self::default()), false),
            Entry::Occupied(entry) => (entry.into_mut(), true),
        };
        let (same, opposite) = match is_first {
            true => (&mut said.first, said.second),
            false => (&mut said.second, said.first),
        };
        *same = true;
        match (seen, opposite) {
            (false, _) => Said::New,
            (true, true) => Said::Opposite,
            (true, false) => Said::Again,
        }
    }
}

impl Checker<'_> {
    /// A chosen and a rejected completion.
    pub(super) fn pair(
        &mut self,
        split: usize,
        place: &Place,
        row: &PairRecord,
    ) -> Result<(), DataError> {
        self.note_sides(place, row);
        self.note_prompt(split, place, &row.prompt);
        self.note_pair(place, row);
        self.measure_sides(place, row)
    }

    /// A completion with a label.
    pub(super) fn labelled(
        &mut self,
        split: usize,
        place: &Place,
        row: &KtoRecord,
    ) -> Result<(), DataError> {
        let KtoRecord {
            prompt,
            completion,
            label,
        } = row;
        let empty = match label {
            true => FindingKind::EmptyCompletion,
            false => FindingKind::EmptyRejected,
        };
        self.note_completion(place, prompt, completion, empty);
        let hashed = hash([prompt]);
        if self.across_splits(split, hashed) {
            self.note(FindingKind::PromptAcrossSplits, place, prompt);
        }
        match Preferred::say(&mut self.labelled, hash([prompt, completion]), *label) {
            Said::New => {}
            Said::Again => self.note(FindingKind::RepeatedRow, place, completion),
            Said::Opposite => self.note(FindingKind::BothLabels, place, completion),
        }
        let (_, [length]) = self.lengths_of(place, prompt, [completion])?;
        let file = self.files.iter().position(|file| *file == place.file);
        let file = file.unwrap_or_else(|| {
            self.files.push(place.file.clone());
            self.files.len() - 1
        });
        let place = (file as u32, place.line as u32);
        self.labels.add(hashed, *label, length, place);
        Ok(())
    }

    /// Several completions with scores: training takes the best and the worst.
    pub(super) fn candidates(
        &mut self,
        split: usize,
        place: &Place,
        row: &ScoredRecord,
    ) -> Result<(), DataError> {
        let ScoredRecord { prompt, candidates } = row;
        let texts = || candidates.iter().map(|(text, _)| text);
        let mut hashes: Vec<u64> = texts().map(|text| hash([text])).collect();
        hashes.sort_unstable();
        if let Some(twice) = hashes.windows(2).find(|pair| pair[0] == pair[1])
            && let Some(text) = texts().find(|text| hash([*text]) == twice[0])
        {
            self.note(FindingKind::RepeatedCandidate, place, text);
        }
        let pair = row.pair();
        match &pair {
            Some(pair) => self.note_sides(place, pair),
            None => {
                let kind = match candidates.len() {
                    0 | 1 => FindingKind::SingleCandidate,
                    _ => FindingKind::EqualScores,
                };
                self.note(kind, place, prompt);
                self.note_encoding(place, std::iter::once(prompt).chain(texts()));
            }
        }
        self.note_prompt(split, place, prompt);
        let key = hash(std::iter::once(prompt).chain(texts()));
        self.note_row(split, place, prompt, key);
        match pair {
            Some(pair) => self.measure_sides(place, &pair),
            None => Ok(()),
        }
    }

    /// A completion to learn.
    pub(super) fn completion(
        &mut self,
        split: usize,
        place: &Place,
        prompt: &Text,
        completion: &Text,
    ) -> Result<(), DataError> {
        self.note_completion(place, prompt, completion, FindingKind::EmptyCompletion);
        self.note_prompt(split, place, prompt);
        self.note_row(split, place, prompt, hash([prompt, completion]));
        let (before, lengths) = self.lengths_of(place, prompt, [completion])?;
        self.sizes.add(before + lengths[0]);
        Ok(())
    }

    /// A text to learn all of.
    pub(super) fn whole(
        &mut self,
        split: usize,
        place: &Place,
        text: &Text,
    ) -> Result<(), DataError> {
        if text.is_blank() {
            self.note(FindingKind::EmptyCompletion, place, text);
        }
        self.note_encoding(place, [text]);
        let key = hash([text]);
        let elsewhere = self
            .rows
            .get(&key)
            .is_some_and(|&splits| splits & !(1 << split) != 0);
        match elsewhere {
            true => self.note(FindingKind::TextAcrossSplits, place, text),
            false => self.note_row(split, place, text, key),
        }
        let length = match self.preprocessor {
            None => text.characters(),
            Some(preprocessor) => {
                let ids = preprocessor.whole(None, text)?;
                self.note_unknown(place, text, std::slice::from_ref(&ids));
                if self
                    .settings
                    .max_length
                    .is_some_and(|most| ids.len() > most)
                {
                    self.note(FindingKind::Truncated, place, text);
                }
                ids.len()
            }
        };
        self.sizes.add(length);
        Ok(())
    }

    /// Something to answer.
    pub(super) fn prompt(
        &mut self,
        split: usize,
        place: &Place,
        prompt: &Text,
    ) -> Result<(), DataError> {
        if prompt.is_blank() {
            self.note(FindingKind::EmptyPrompt, place, prompt);
        }
        self.note_encoding(place, [prompt]);
        self.note_prompt(split, place, prompt);
        let length = match self.preprocessor {
            None => prompt.characters(),
            Some(preprocessor) => {
                let ids = preprocessor.prompt(prompt)?;
                self.note_unknown(place, prompt, std::slice::from_ref(&ids));
                if self
                    .settings
                    .max_length
                    .is_some_and(|most| ids.len() >= most)
                {
                    self.note(FindingKind::PromptTooLong, place, prompt);
                }
                ids.len()
            }
        };
        self.sizes.add(length);
        Ok(())
    }

    /// Prompts whose completions all have one label, known only when every row was seen.
    pub(super) fn note_single_labels(&mut self) {
        let single = self.labels.prompts.values();
        let single = single.filter(|labels| labels.desirable == 0 || labels.undesirable == 0);
        let mut first: Vec<((u32, u32), bool)> = Vec::new();
        let finding = &mut self.findings[FindingKind::OneLabel as usize];
        for labels in single {
            finding.count += (labels.desirable + labels.undesirable) as usize;
            first.push((labels.first, labels.desirable > 0));
            if first.len() > 2 * self.settings.examples + 64 {
                first.sort_unstable();
                first.truncate(self.settings.examples);
            }
        }
        first.sort_unstable();
        for ((file, line), label) in first.into_iter().take(self.settings.examples) {
            let place = Place {
                file: self.files[file as usize].clone(),
                line: line as usize,
            };
            let text = match label {
                true => "desirable only",
                false => "undesirable only",
            };
            let example = super::FindingExample::new(&place, &Text::from(text));
            finding.examples.push(example);
        }
    }

    /// What the words of both sides show.
    fn note_sides(&mut self, place: &Place, row: &PairRecord) {
        for (kind, text) in wording(row) {
            self.note(kind, place, text);
        }
        self.note_encoding(place, [&row.prompt, &row.chosen, &row.rejected]);
    }

    /// What the words of a prompt and its completion show.
    fn note_completion(
        &mut self,
        place: &Place,
        prompt: &Text,
        completion: &Text,
        empty: FindingKind,
    ) {
        if prompt.is_blank() {
            self.note(FindingKind::EmptyPrompt, place, completion);
        }
        if completion.is_blank() {
            self.note(empty, place, prompt);
        }
        if goes_on(completion) {
            self.note(FindingKind::ExtraTurn, place, completion);
        }
        self.note_encoding(place, [prompt, completion]);
    }

    fn note_encoding<'a>(&mut self, place: &Place, texts: impl IntoIterator<Item = &'a Text>) {
        let trouble = texts.into_iter().find_map(|text| {
            let text = text.plain();
            let at = encoding::first_trouble(&text)?;
            Some(
                text.chars()
                    .skip(at.saturating_sub(CONTEXT))
                    .collect::<String>(),
            )
        });
        if let Some(around) = trouble {
            self.note(FindingKind::BrokenEncoding, place, &Text::Prose(around));
        }
    }

    /// Marks a hashed prompt as seen in a split; true if it stands in another one.
    fn across_splits(&mut self, split: usize, prompt: u64) -> bool {
        let splits = self.prompts.entry(prompt).or_default();
        *splits |= 1 << split;
        *splits & !(1 << split) != 0
    }

    fn note_prompt(&mut self, split: usize, place: &Place, prompt: &Text) {
        let key = hash([prompt]);
        let is_known = self.prompts.contains_key(&key);
        if self.across_splits(split, key) {
            self.note(FindingKind::PromptAcrossSplits, place, prompt);
        } else if is_known {
            self.note(FindingKind::RepeatedPrompt, place, prompt);
        }
    }

    /// Marks a hashed row as seen in a split, and notes it where it stands in it again.
    fn note_row(&mut self, split: usize, place: &Place, text: &Text, key: u64) {
        let splits = self.rows.entry(key).or_default();
        let again = *splits & (1 << split) != 0;
        *splits |= 1 << split;
        if again {
            self.note(FindingKind::RepeatedRow, place, text);
        }
    }

    fn note_pair(&mut self, place: &Place, row: &PairRecord) {
        let (chosen, rejected) = (hash([&row.chosen]), hash([&row.rejected]));
        if chosen == rejected {
            return;
        }
        let is_first = chosen < rejected;
        let key = match is_first {
            true => hash([&row.prompt, &row.chosen, &row.rejected]),
            false => hash([&row.prompt, &row.rejected, &row.chosen]),
        };
        match Preferred::say(&mut self.pairs, key, is_first) {
            Said::New => {}
            Said::Again => self.note(FindingKind::RepeatedPair, place, &row.prompt),
            Said::Opposite => self.note(FindingKind::Contradiction, place, &row.prompt),
        }
    }

    fn measure_sides(&mut self, place: &Place, row: &PairRecord) -> Result<(), DataError> {
        let sides = [&row.chosen, &row.rejected];
        let (_, lengths) = self.lengths_of(place, &row.prompt, sides)?;
        self.lengths.add(lengths);
        Ok(())
    }

    /// The lengths of a prompt and of completions of it; notes what only tokens show.
    fn lengths_of<const N: usize>(
        &mut self,
        place: &Place,
        prompt: &Text,
        completions: [&Text; N],
    ) -> Result<(usize, [usize; N]), DataError> {
        let Some(preprocessor) = self.preprocessor else {
            return Ok((prompt.characters(), completions.map(Text::characters)));
        };
        let mut ids = vec![Vec::new()];
        let mut merges = false;
        for completion in completions {
            let cut = preprocessor.example(prompt, completion)?;
            merges |= cut.merges;
            ids[0] = cut.prompt;
            ids.push(cut.completion);
        }
        let before = ids[0].len();
        if merges {
            self.note(FindingKind::BoundaryMerge, place, prompt);
        }
        self.note_unknown(place, completions[0], &ids);
        let lengths = std::array::from_fn(|index| ids[index + 1].len());
        if let Some(max_length) = self.settings.max_length {
            let room = max_length.saturating_sub(before);
            if room == 0 {
                self.note(FindingKind::PromptTooLong, place, prompt);
            } else if lengths.iter().any(|&length| length > room) {
                self.note(FindingKind::Truncated, place, prompt);
            }
        }
        Ok((before, lengths))
    }

    fn note_unknown(&mut self, place: &Place, text: &Text, ids: &[Vec<u32>]) {
        let unknown = self
            .preprocessor
            .and_then(|words| words.tokenizer().unknown());
        if unknown.is_some_and(|unknown| ids.iter().any(|ids| ids.contains(&unknown))) {
            self.note(FindingKind::UnknownToken, place, text);
        }
    }
}

/// What a pair's own words show, with the text that shows it.
fn wording(row: &PairRecord) -> impl Iterator<Item = (FindingKind, &Text)> {
    let PairRecord {
        prompt,
        chosen,
        rejected,
        ..
    } = row;
    let is_identical = chosen == rejected;
    let extra = [chosen, rejected].into_iter().find(|text| goes_on(text));
    [
        (is_identical, FindingKind::IdenticalPair, chosen),
        (
            !is_identical && bare(chosen) == bare(rejected),
            FindingKind::TrivialPair,
            chosen,
        ),
        (prompt.is_blank(), FindingKind::EmptyPrompt, chosen),
        (chosen.is_blank(), FindingKind::EmptyChosen, prompt),
        (rejected.is_blank(), FindingKind::EmptyRejected, prompt),
        (
            extra.is_some(),
            FindingKind::ExtraTurn,
            extra.unwrap_or(chosen),
        ),
    ]
    .into_iter()
    .filter_map(|(is_so, kind, text)| is_so.then_some((kind, text)))
}

/// Whether a completion goes on with a turn of the human.
fn goes_on(completion: &Text) -> bool {
    matches!(completion, Text::Prose(said) if said.contains("\n\nHuman:"))
}

/// A text without white space and capitals.
fn bare(text: &Text) -> String {
    let plain = text.plain();
    let bare = plain.chars().filter(|c| !c.is_whitespace());
    bare.flat_map(char::to_lowercase).collect()
}
