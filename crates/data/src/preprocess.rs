//! Rows of a data set to token ids.
//!
//! Prose gets the end-of-sequence token after the completion, unless it ends with it already; conversations end as their
//! chat template ends them. Prompts of conversations are rendered up to where the assistant starts to speak.

use crate::boundary::{Cut, Start};
use crate::{ChatTemplate, DataError, Message, PairRecord, Text, TokenPair, Tokenizer};

/// Turns texts into token ids with one tokenizer and, for conversations, its chat template.
#[derive(Debug, Clone, Copy)]
pub struct Preprocessor<'t> {
    tokenizer: &'t Tokenizer,
    template: Option<&'t ChatTemplate>,
}

impl<'t> Preprocessor<'t> {
    /// A preprocessor; without a template conversations are refused.
    pub fn new(tokenizer: &'t Tokenizer, template: Option<&'t ChatTemplate>) -> Self {
        Self {
            tokenizer,
            template,
        }
    }

    /// The tokenizer it uses.
    pub fn tokenizer(&self) -> &'t Tokenizer {
        self.tokenizer
    }

    /// The ids of a prompt, ready for a completion to follow.
    ///
    /// # Errors
    /// If a conversation cannot be rendered.
    pub fn prompt(&self, prompt: &Text) -> Result<Vec<u32>, DataError> {
        let (text, start) = self.prompt_text(prompt)?;
        self.tokenizer.encode_start(&text, start)
    }

    /// The ids of a prompt and its completion, cut exactly between them.
    ///
    /// # Errors
    /// If prose and messages are mixed, or a conversation cannot be rendered.
    pub fn example(&self, prompt: &Text, completion: &Text) -> Result<Cut, DataError> {
        let (prompt_text, start) = self.prompt_text(prompt)?;
        match (prompt, completion) {
            (Text::Prose(_), Text::Prose(completion)) => {
                let mut cut = self.tokenizer.cut(&prompt_text, completion, start)?;
                self.finish(&mut cut.completion);
                Ok(cut)
            }
            (Text::Messages(prompt), Text::Messages(completion)) => {
                let whole = self.render(&[prompt.as_slice(), completion].concat(), false)?;
                let completion = whole.strip_prefix(&prompt_text).ok_or_else(|| DataError::Tokenizer {
                    problem: "has a chat template that renders a prompt differently once it is answered".into(),
                    hint: "where a prompt ends is then undefined; use a template that only appends".into(),
                })?;
                self.tokenizer.cut(&prompt_text, completion, start)
            }
            (Text::Prose(_), Text::Messages(_)) | (Text::Messages(_), Text::Prose(_)) => {
                Err(mixed())
            }
        }
    }

    /// The ids of both sides of a pair, after the very same prompt ids, and whether either boundary merges.
    ///
    /// # Errors
    /// As [`Preprocessor::example`].
    pub fn pair(&self, row: &PairRecord) -> Result<(TokenPair, bool), DataError> {
        let chosen = self.example(&row.prompt, &row.chosen)?;
        let rejected = self.example(&row.prompt, &row.rejected)?;
        let merges = chosen.merges || rejected.merges;
        let pair = TokenPair {
            prompt: chosen.prompt,
            chosen: chosen.completion,
            rejected: rejected.completion,
        };
        Ok((pair, merges))
    }

    /// The ids of a text, or of a prompt and completion joined, without a boundary: what a reward model scores, or all
    /// of which is trained on.
    ///
    /// # Errors
    /// As [`Preprocessor::example`].
    pub fn whole(&self, prompt: Option<&Text>, completion: &Text) -> Result<Vec<u32>, DataError> {
        match (prompt, completion) {
            (None, Text::Prose(text)) => self.whole_prose(text),
            (Some(Text::Prose(prompt)), Text::Prose(completion)) => {
                self.whole_prose(&format!("{prompt}{completion}"))
            }
            (None, Text::Messages(messages)) => {
                self.tokenizer.encode(&self.render(messages, false)?)
            }
            (Some(Text::Messages(prompt)), Text::Messages(completion)) => {
                let messages = [prompt.as_slice(), completion].concat();
                self.tokenizer.encode(&self.render(&messages, false)?)
            }
            (Some(Text::Prose(_)), Text::Messages(_))
            | (Some(Text::Messages(_)), Text::Prose(_)) => Err(mixed()),
        }
    }

    fn whole_prose(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let mut ids = self.tokenizer.encode_start(text, Start::PostProcessor)?;
        self.finish(&mut ids);
        Ok(ids)
    }

    fn prompt_text(&self, prompt: &Text) -> Result<(String, Start), DataError> {
        Ok(match prompt {
            Text::Prose(text) => (text.clone(), Start::PostProcessor),
            Text::Messages(messages) => (self.render(messages, true)?, Start::Rendered),
        })
    }

    fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, DataError> {
        let template = self.template.ok_or_else(|| DataError::Tokenizer {
            problem: "has no chat template, and the data are conversations".into(),
            hint: "put `chat_template.jinja` beside `tokenizer.json`, or use data with prompt and completion as text".into(),
        })?;
        template.render(messages, add_generation_prompt)
    }

    /// Ends prose with the end-of-sequence token, once.
    fn finish(&self, ids: &mut Vec<u32>) {
        if ids.last() != Some(&self.tokenizer.eos()) {
            ids.push(self.tokenizer.eos());
        }
    }
}

fn mixed() -> DataError {
    DataError::Tokenizer {
        problem: "cannot join prose and messages".into(),
        hint: "give prompt and completion both as text, or both as lists of messages".into(),
    }
}
