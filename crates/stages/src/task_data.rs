//! The task with its prompts as token ids.

use std::path::Path;

use preflab_config::{ModelSource, Settings, TokenizerSettings};
use preflab_data::{
    ChatTemplate, PairRecord, Preprocessor, Text, TokenExample, TokenPair, Tokenizer, Units,
};
use preflab_tasks::{Prompt, Score, Split, Task};
use preflab_transformer::checkpoint::Config;

use crate::StageError;

/// A task and the tokenizer of its texts.
#[derive(Debug)]
pub struct TaskData {
    task: Box<dyn Task>,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    dropped: usize,
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
        Self::complete(task, tokenizer, settings)
    }

    /// The task of the settings with the tokenizer that [`Self::save`] left in `directory`.
    ///
    /// # Errors
    /// If a file of the task or the tokenizer cannot be read.
    pub fn load(settings: &Settings, directory: &Path) -> Result<Self, StageError> {
        let task = preflab_tasks::open(&settings.task)?;
        Self::complete(task, Tokenizer::load(directory)?, settings)
    }

    /// Of a data set's own pairs, those that can be trained on: their sides differ, none is empty, and the model's context
    /// has room for them.
    fn complete(
        mut task: Box<dyn Task>,
        tokenizer: Tokenizer,
        settings: &Settings,
    ) -> Result<Self, StageError> {
        let splits = [Split::Train, Split::Validation, Split::Test];
        if splits.iter().all(|&split| task.pairs(split).is_empty()) {
            return Ok(Self {
                task,
                tokenizer,
                template: None,
                dropped: 0,
            });
        }
        let conversations = splits
            .iter()
            .flat_map(|&split| task.pairs(split))
            .any(|row| matches!(row.prompt, Text::Messages(_)));
        let template = match tokenizer.chat_template()? {
            None if conversations => Some(ChatTemplate::transcript(tokenizer.special())?),
            template => template,
        };
        let room = context(&settings.model)?;
        let answer = settings
            .sampling
            .max_tokens
            .get()
            .max(settings.evaluation_sampling().max_tokens.get());
        let preprocessor = Preprocessor::new(&tokenizer, template.as_ref());
        let mut failed = None;
        let dropped = task.retain_pairs(&mut |row| match preprocessor.pair(row) {
            Ok((pair, _)) => {
                let fits = pair.longest() <= room && pair.prompt.len() + answer <= room;
                let says = !row.chosen.is_blank() && !row.rejected.is_blank();
                fits && says && pair.chosen != pair.rejected
            }
            Err(error) => {
                failed.get_or_insert(error);
                false
            }
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        for split in splits {
            if task.pairs(split).is_empty() {
                return Err(StageError::Nothing {
                    problem: format!(
                        "no pair of the {split:?} split fits into the model's context of {room} tokens with answers of {answer} tokens"
                    ),
                    hint: "raise the model's `context`, or lower `sampling.max_tokens`".to_owned(),
                });
            }
        }
        Ok(Self {
            task,
            tokenizer,
            template,
            dropped,
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

    /// Pairs of a data set that cannot be trained on and were left out.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    fn preprocessor(&self) -> Preprocessor<'_> {
        Preprocessor::new(&self.tokenizer, self.template.as_ref())
    }

    /// The pair that a prompt comes from, where the task is a data set of pairs.
    fn pair_of(&self, prompt: &Prompt) -> Option<&PairRecord> {
        self.task.pairs(prompt.split()).get(prompt.index())
    }

    /// Token ids of a prompt.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, StageError> {
        Ok(match self.pair_of(prompt) {
            Some(pair) => self.preprocessor().prompt(&pair.prompt)?,
            None => self.tokenizer.encode(&prompt.text)?,
        })
    }

    /// Prompts of `split` with their reference answers.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn examples(&self, split: Split) -> Result<Vec<TokenExample>, StageError> {
        let of_prompt = |prompt: &Prompt| -> Result<TokenExample, StageError> {
            Ok(match self.pair_of(prompt) {
                Some(pair) => self
                    .preprocessor()
                    .example(&pair.prompt, &pair.chosen)?
                    .into(),
                None => TokenExample {
                    prompt: self.prompt(prompt)?,
                    completion: self.tokenizer.encode_completion(&prompt.reference)?,
                },
            })
        };
        self.task.prompts(split).iter().map(of_prompt).collect()
    }

    /// The data set's own pairs of `split`, at most `most` of them, each with the margin that the data give it.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn pairs(
        &self,
        split: Split,
        most: usize,
    ) -> Result<Vec<(TokenPair, Option<f64>)>, StageError> {
        let rows = self.task.pairs(split).iter().take(most);
        rows.map(|row| Ok((self.preprocessor().pair(row)?.0, row.margin)))
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

/// Longest sequence of a model, tokens.
fn context(model: &ModelSource) -> Result<usize, StageError> {
    Ok(match model {
        ModelSource::Shape(shape) => shape.context.get(),
        ModelSource::Named(directory) => Config::read(directory)?.architecture()?.context,
    })
}
