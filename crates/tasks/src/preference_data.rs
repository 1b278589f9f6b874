//! A preference data set as a task: prompts with a chosen and a rejected answer, without a gold score.
//!
//! Reward models and policies are judged by their accuracy on pairs held out **by prompt**: every pair of a prompt falls
//! into the same split, decided by a hash of the prompt and the seed, so that neither the order of the file nor its
//! length moves a prompt from one split to another.

use std::collections::BTreeSet;
use std::path::Path;

use preflab_config::PreferenceDataSettings;
use preflab_data::{DataError, PairRecord, Records, Text};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::{Split, TaskError};

/// Pairs of a user's data set in splits.
#[derive(Debug, Clone, Default)]
pub struct PreferenceData {
    train: Vec<PairRecord>,
    validation: Vec<PairRecord>,
    test: Vec<PairRecord>,
}

impl PreferenceData {
    /// Reads the files and divides them.
    ///
    /// # Errors
    /// If a file cannot be read, has a bad row, or leaves a split without pairs.
    pub fn open(settings: &PreferenceDataSettings) -> Result<Self, TaskError> {
        let share = settings.held_out.get();
        let parts = if settings.test.is_some() { 1.0 } else { 2.0 };
        if share <= 0.0 || share * parts >= 1.0 {
            return Err(refused(
                format!(
                    "`held_out` is {share}, which leaves nothing to train on or nothing to hold out"
                ),
                "hold out a share above 0, and below 0.5 where the test is taken from `train` as well",
            ));
        }
        let mut data = Self::default();
        let rows = read(&settings.train, settings)?;
        let mut tested = BTreeSet::new();
        if let Some(path) = &settings.test {
            data.test = read(path, settings)?;
            tested = data.test.iter().map(|row| row.prompt.plain()).collect();
        }
        for row in rows {
            let place = place(&row.prompt, settings.seed);
            let split = match &settings.test {
                Some(_) if tested.contains(&row.prompt.plain()) => continue,
                Some(_) if place < share => &mut data.validation,
                None if place < share => &mut data.test,
                None if place < 2.0 * share => &mut data.validation,
                Some(_) | None => &mut data.train,
            };
            split.push(row);
        }
        for (stream, pairs) in [&mut data.train, &mut data.validation, &mut data.test]
            .into_iter()
            .enumerate()
        {
            if pairs.is_empty() {
                return Err(refused(
                    format!("{} leaves a split without pairs", settings.train.display()),
                    "allow longer texts (`max_prompt`, `max_answer`), or hold out another share",
                ));
            }
            if let Some(most) = settings.max_pairs {
                let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
                random.set_stream(stream as u64);
                pairs.shuffle(&mut random);
                pairs.truncate(most.get());
            }
        }
        Ok(data)
    }

    /// The pairs of a split; [`Split::Shifted`] has none.
    pub fn pairs(&self, split: Split) -> &[PairRecord] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
            Split::Shifted => &[],
        }
    }

    /// What is said in the training pairs: what a tokenizer is trained on.
    pub fn texts(&self) -> Vec<String> {
        self.train
            .iter()
            .flat_map(|row| [&row.prompt, &row.chosen, &row.rejected])
            .map(Text::plain)
            .collect()
    }
}

fn read(path: &Path, settings: &PreferenceDataSettings) -> Result<Vec<PairRecord>, DataError> {
    let is_short = |text: &Text, most: Option<preflab_config::Count>| {
        most.is_none_or(|most| text.characters() <= most.get())
    };
    let mut rows = Vec::new();
    for row in Records::<PairRecord>::open(path)? {
        let row = row?.record;
        let answers = [&row.chosen, &row.rejected];
        if is_short(&row.prompt, settings.max_prompt)
            && answers
                .into_iter()
                .all(|answer| is_short(answer, settings.max_answer))
        {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// A number in [0, 1) from prompt and seed.
fn place(prompt: &Text, seed: u64) -> f64 {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update(prompt.plain());
    let digest = hasher.finalize();
    let bytes: [u8; 4] = digest[..4]
        .try_into()
        .expect("four bytes of a longer digest");
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

fn refused(problem: impl Into<String>, hint: impl Into<String>) -> TaskError {
    TaskError::Settings {
        task: "preferences",
        problem: problem.into(),
        hint: hint.into(),
    }
}
