//! A finished reward model with the scale of its scores.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use preflab_config::ScoreNormalisation;
use preflab_data::TokenExample;
use preflab_ppo::{Scored, Scorer};
use preflab_reward::{Normalisation, scores};
use preflab_transformer::ScalarModel;

use crate::FinetuneError;
use crate::run_directory::read_json;
use crate::start::{RewardStart, Words};

/// File of a model directory with the [`Normalisation`] of its scores; a reward model without one is used as it is.
pub(crate) const NORMALISATION: &str = "normalisation.json";

/// Rows that are scored together.
pub(crate) const ROWS: usize = 32;

/// Completions that scores are normalised on.
pub(crate) const REFERENCES: usize = 256;

/// A reward model that scores completions.
pub(crate) struct RewardModel {
    pub start: RewardStart,
    pub normalisation: Normalisation,
}

impl RewardModel {
    /// The one of a directory, without autodiff.
    pub fn load(directory: &Path, device: &Device) -> Result<Self, FinetuneError> {
        let start = RewardStart::load(directory, device)?;
        let file = directory.join(NORMALISATION);
        let normalisation = match file.is_file() {
            true => read_json(&file)?,
            false => Normalisation::default(),
        };
        Ok(Self {
            start,
            normalisation,
        })
    }

    /// Refuses a policy whose token ids mean something else.
    pub fn check_words(&self, words: &Words, directory: &Path) -> Result<(), FinetuneError> {
        if self.start.words.tokenizer.to_json()? == words.tokenizer.to_json()? {
            return Ok(());
        }
        Err(FinetuneError::refused(
            format!(
                "the reward model `{}` has another tokenizer than the policy",
                directory.display()
            ),
            "train the reward model from a model of the same family: `preflab train reward --model DIR`",
        ))
    }

    /// Scores of prompts with completions, on their final scale.
    pub fn rewards(&self, rows: &[TokenExample]) -> Scored {
        let (raw, work) = scores(&self.start.model, rows, ROWS);
        let rewards = raw.into_iter().map(|score| self.normalisation.apply(score));
        Scored {
            rewards: rewards.collect(),
            gold: None,
            work,
        }
    }
}

impl Scorer for RewardModel {
    fn score(&self, _: &[usize], rows: &[TokenExample]) -> Scored {
        self.rewards(rows)
    }
}

/// The scale on which chosen completions have mean 0 (and variance 1, if asked for).
pub(crate) fn normalisation_on(
    model: &ScalarModel,
    chosen: &[TokenExample],
    settings: ScoreNormalisation,
) -> Normalisation {
    let taken = &chosen[..chosen.len().min(REFERENCES)];
    let (raw, _) = scores(&model.valid(), taken, ROWS);
    Normalisation::of(&raw, settings)
}
