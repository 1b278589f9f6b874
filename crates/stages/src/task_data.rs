//! The task with its prompts as token ids.

use std::path::Path;

use preflab_config::{ModelSource, Settings, TokenizerSettings};
use preflab_data::{TokenExample, Tokenizer, Units};
use preflab_tasks::{Prompt, Score, Split, Task};

use crate::StageError;

/// A task and the tokenizer of its texts.
#[derive(Debug)]
pub struct TaskData {
    task: Box<dyn Task>,
    tokenizer: Tokenizer,
}

impl TaskData {
    /// Opens the task and trains its tokenizer; both are functions of the settings and the task's files alone.
    ///
    /// # Errors
    /// If a file of the task is missing or malformed.
    pub fn new(settings: &Settings) -> Result<Self, StageError> {
        let task = preflab_tasks::open(&settings.task)?;
        let train = |units: Units| Tokenizer::train(task.texts(), &units);
        let tokenizer = match (&settings.tokenizer, &settings.model) {
            (TokenizerSettings::Auto, ModelSource::Named(checkpoint)) => {
                Tokenizer::load(checkpoint)
            }
            (TokenizerSettings::Auto, ModelSource::Shape(_)) => train(task.units()),
            (TokenizerSettings::Characters, _) => train(Units::Characters { min_count: 1 }),
            (TokenizerSettings::Bpe(pairs), _) => train(Units::Bpe {
                vocabulary: pairs.vocabulary.get(),
            }),
        }?;
        Ok(Self { task, tokenizer })
    }

    /// The task of the settings with the tokenizer that [`Self::save`] left in `directory`.
    ///
    /// # Errors
    /// If a file of the task or the tokenizer cannot be read.
    pub fn load(settings: &Settings, directory: &Path) -> Result<Self, StageError> {
        Ok(Self {
            task: preflab_tasks::open(&settings.task)?,
            tokenizer: Tokenizer::load(directory)?,
        })
    }

    /// Writes the tokenizer into `directory`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, directory: &Path) -> Result<(), StageError> {
        Ok(self.tokenizer.save(directory)?)
    }

    /// The task.
    pub fn task(&self) -> &dyn Task {
        self.task.as_ref()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Token ids of a prompt.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, StageError> {
        Ok(self.tokenizer.encode(&prompt.text)?)
    }

    /// Prompts of `split` with their reference answers.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn examples(&self, split: Split) -> Result<Vec<TokenExample>, StageError> {
        self.task
            .prompts(split)
            .iter()
            .map(|prompt| {
                Ok(TokenExample {
                    prompt: self.prompt(prompt)?,
                    completion: self.tokenizer.encode_completion(&prompt.reference)?,
                })
            })
            .collect()
    }

    /// The text and score of a sampled completion.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn score(
        &self,
        prompt: &Prompt,
        completion: &[u32],
    ) -> Result<(String, Score), StageError> {
        let text = self.tokenizer.decode(completion)?;
        let score = self.task.score(prompt, &text);
        Ok((text, score))
    }
}
