//! A preference data set as a task: prompts with a chosen and a rejected answer, without a gold score.
//!
//! Reward models and policies are judged by their accuracy on pairs held out **by prompt**: every pair of a prompt falls
//! into the same split, decided by a hash of the prompt and the seed, so that neither the order of the file nor its
//! length moves a prompt from one split to another. Within a split the order is that of a hash of the whole pair, and the
//! first `max_pairs` are kept: a random draw that, again, does not depend on the order of the file, and for which no more
//! than the kept pairs are in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use preflab_config::{PreferenceDataSettings, RowFilter};
use preflab_data::{DataError, PairRecord, Records, Text, Units};
use sha2::{Digest, Sha256};

use crate::{Prompt, Prompts, Score, Split, Task, TaskError};

/// Pairs of a user's data set in splits.
#[derive(Debug, Default)]
pub struct PreferenceData {
    train: Vec<PairRecord>,
    validation: Vec<PairRecord>,
    test: Vec<PairRecord>,
    prompts: Prompts,
    /// What is said in the training pairs.
    texts: Vec<String>,
}

impl PreferenceData {
    /// Reads the files and divides them.
    ///
    /// # Errors
    /// If a file cannot be read, has a bad row, or leaves a split without pairs.
    pub fn open(settings: &PreferenceDataSettings) -> Result<Self, TaskError> {
        let share = settings.held_out.get();
        let parts = if settings.test_file().is_some() {
            1.0
        } else {
            2.0
        };
        if share <= 0.0 || share * parts >= 1.0 {
            return Err(refused(
                format!(
                    "`held_out` is {share}, which leaves nothing to train on or nothing to hold out"
                ),
                "hold out a share above 0, and below 0.5 where the test is taken from `train` as well",
            ));
        }
        let [mut train, mut validation, mut test] =
            [Split::Train, Split::Validation, Split::Test].map(|split| Drawn::new(split, settings));
        let mut tested = BTreeSet::new();
        if let Some(path) = settings.test_file() {
            read(path, &settings.test_rows, settings, |row| {
                tested.insert(digest(settings.seed, &[&row.prompt]));
                test.add(row);
            })?;
        }
        read(&settings.train, &settings.rows, settings, |row| {
            let place = place(&row.prompt, settings.seed);
            match settings.test_file() {
                Some(_) if tested.contains(&digest(settings.seed, &[&row.prompt])) => {}
                Some(_) if place < share => validation.add(row),
                None if place < share => test.add(row),
                None if place < 2.0 * share => validation.add(row),
                Some(_) | None => train.add(row),
            }
        })?;
        let mut data = Self {
            train: train.pairs(&settings.train)?,
            validation: validation.pairs(&settings.train)?,
            test: test.pairs(settings.test_file().unwrap_or(&settings.train))?,
            ..Self::default()
        };
        data.list_prompts();
        data.texts = data
            .train
            .iter()
            .flat_map(|row| [&row.prompt, &row.chosen, &row.rejected])
            .map(Text::plain)
            .collect();
        Ok(data)
    }
}

impl PreferenceData {
    fn list_prompts(&mut self) {
        self.prompts = Prompts {
            train: prompts(Split::Train, &self.train),
            validation: prompts(Split::Validation, &self.validation),
            test: prompts(Split::Test, &self.test),
            shifted: Vec::new(),
        };
    }
}

impl Task for PreferenceData {
    fn name(&self) -> &'static str {
        NAME
    }

    /// One prompt a pair, with its chosen answer as the reference.
    fn prompts(&self, split: Split) -> &[Prompt] {
        self.prompts.of(split)
    }

    fn criteria(&self) -> &[&'static str] {
        &[]
    }

    fn has_gold(&self) -> bool {
        false
    }

    fn pairs(&self, split: Split) -> &[PairRecord] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
            Split::Shifted => &[],
        }
    }

    fn retain_pairs(&mut self, keep: &mut dyn FnMut(&PairRecord) -> bool) -> usize {
        let splits = [&mut self.train, &mut self.validation, &mut self.test];
        let mut dropped = 0;
        for pairs in splits {
            let before = pairs.len();
            pairs.retain(&mut *keep);
            dropped += before - pairs.len();
        }
        self.list_prompts();
        dropped
    }

    fn score(&self, _prompt: &Prompt, _completion: &str) -> Score {
        Score {
            criteria: Vec::new(),
            gold: f64::NAN,
        }
    }

    fn units(&self) -> Units {
        Units::Bpe {
            vocabulary: PreferenceDataSettings::BYTE_PAIRS,
        }
    }

    /// What is said in the training pairs, so that the tokenizer knows nothing of the others; bytes keep them readable.
    fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }
}

const NAME: &str = "preferences";

/// Pairs of one split, in the order of their hashes, the first so many of them.
struct Drawn {
    split: Split,
    seed: u64,
    most: usize,
    /// Equal rows have equal hashes, so their number in the file is part of the key.
    pairs: BTreeMap<([u8; 32], usize), PairRecord>,
    seen: usize,
}

impl Drawn {
    fn new(split: Split, settings: &PreferenceDataSettings) -> Self {
        Self {
            split,
            seed: settings.seed,
            most: settings.max_pairs.map_or(usize::MAX, |most| most.get()),
            pairs: BTreeMap::new(),
            seen: 0,
        }
    }

    fn add(&mut self, row: PairRecord) {
        let key = digest(self.seed, &[&row.prompt, &row.chosen, &row.rejected]);
        self.pairs.insert((key, self.seen), row);
        self.seen += 1;
        if self.pairs.len() > self.most {
            self.pairs.pop_last();
        }
    }

    fn pairs(self, file: &Path) -> Result<Vec<PairRecord>, TaskError> {
        if self.pairs.is_empty() {
            let what = match self.split {
                Split::Train => "nothing to train on",
                Split::Validation => "no pairs for validation",
                Split::Test | Split::Shifted => "no pairs for the test",
            };
            return Err(refused(
                format!("{} leaves {what}", file.display()),
                "allow longer texts (`max_prompt`, `max_answer`), hold out another share, or use more pairs",
            ));
        }
        Ok(self.pairs.into_values().collect())
    }
}

fn prompts(split: Split, pairs: &[PairRecord]) -> Vec<Prompt> {
    pairs
        .iter()
        .enumerate()
        .map(|(index, row)| Prompt {
            id: split.id(index),
            text: row.prompt.plain(),
            reference: row.chosen.plain(),
        })
        .collect()
}

/// Hands every wanted row of a file that is short enough to `take`.
fn read(
    path: &Path,
    wanted: &RowFilter,
    settings: &PreferenceDataSettings,
    mut take: impl FnMut(PairRecord),
) -> Result<(), DataError> {
    let is_short = |text: &Text, most: Option<preflab_config::Count>| {
        most.is_none_or(|most| text.characters() <= most.get())
    };
    for row in Records::<PairRecord>::open(path)?.only(wanted) {
        let row = row?.record;
        let answers = [&row.chosen, &row.rejected];
        if is_short(&row.prompt, settings.max_prompt)
            && answers
                .into_iter()
                .all(|answer| is_short(answer, settings.max_answer))
        {
            take(row);
        }
    }
    Ok(())
}

/// A number in [0, 1) from prompt and seed.
fn place(prompt: &Text, seed: u64) -> f64 {
    let digest = digest(seed, &[prompt]);
    let bytes: [u8; 4] = digest[..4]
        .try_into()
        .expect("four bytes of a longer digest");
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

/// A hash of texts and seed.
fn digest(seed: u64, texts: &[&Text]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    for (index, text) in texts.iter().enumerate() {
        let said = text.plain();
        if index > 0 {
            hasher.update((said.len() as u64).to_le_bytes());
        }
        hasher.update(said);
    }
    hasher.finalize().into()
}

fn refused(problem: impl Into<String>, hint: impl Into<String>) -> TaskError {
    TaskError::Settings {
        task: NAME,
        problem: problem.into(),
        hint: hint.into(),
    }
}
