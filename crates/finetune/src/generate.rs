//! Answers of a saved model.

use std::path::Path;

use preflab_config::{Count, Decoding, Fraction, Positive, SamplingSettings};
use preflab_data::{Message, PromptRecord, Record, Records, Text};
use preflab_training::{DeviceChoice, Stream, Streams};
use serde::Serialize;

use crate::FinetuneError;
use crate::looks::ROWS;
use crate::start::Start;

/// Where the prompts come from.
#[derive(Debug, Clone)]
pub enum Prompts<'p> {
    /// Typed. With a chat template each is what the user says, unless it is to be taken raw.
    Typed {
        /// The prompts.
        texts: &'p [String],
        /// Whether a chat template is passed by.
        raw: bool,
    },
    /// The prompts of a data file.
    File(&'p Path),
}

/// What is asked of a model.
#[derive(Debug, Clone)]
pub struct GenerateJob<'p> {
    /// Its checkpoint directory.
    pub model: &'p Path,
    /// What is answered.
    pub prompts: Prompts<'p>,
    /// How answers are sampled.
    pub sampling: SamplingSettings,
    /// Answers to each prompt.
    pub samples: usize,
    /// Seed of the sampling.
    pub seed: u64,
    /// On what it is computed.
    pub device: DeviceChoice,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The prompt as it was given.
    pub prompt: String,
    /// The answer.
    pub completion: String,
    /// Its tokens, the one that ended it included.
    pub tokens: usize,
    /// Whether it ended by itself.
    pub finished: bool,
    /// Its log-prob under the model at the temperature of sampling, before top-k and top-p; nats.
    pub logp: f64,
}

/// Sampling settings from what was typed; a temperature of 0 takes the most probable token.
///
/// # Errors
/// If a number is out of range.
pub fn sampling(
    temperature: f64,
    top_k: Option<usize>,
    top_p: f64,
    max_tokens: usize,
) -> Result<SamplingSettings, FinetuneError> {
    let refused = |option: &str, error: &dyn std::fmt::Display| {
        FinetuneError::refused(
            format!("`{option}`: {error}"),
            "a temperature of 0 is greedy; `--top-p 1` samples among all tokens",
        )
    };
    let greedy = temperature == 0.0;
    let temperature = if greedy { 1.0 } else { temperature };
    Ok(SamplingSettings {
        decoding: if greedy {
            Decoding::Greedy
        } else {
            Decoding::Sample
        },
        temperature: Positive::try_from(temperature)
            .map_err(|error| refused("--temperature", &error))?,
        top_k: top_k.map(Count::of),
        top_p: Fraction::try_from(top_p).map_err(|error| refused("--top-p", &error))?,
        max_tokens: Count::of(max_tokens),
    })
}

/// Answers every prompt, some of them at a time; `each` gets the answers in the order of the prompts.
///
/// An answer depends on the model, its prompt, the seed and the prompt's place alone.
///
/// # Errors
/// If the model or the prompts cannot be read, a prompt leaves no room for an answer, or `each` fails.
pub fn generate<E: From<FinetuneError>>(
    job: &GenerateJob<'_>,
    mut each: impl FnMut(Answer) -> Result<(), E>,
) -> Result<(), E> {
    let device = job.device.open().map_err(FinetuneError::from)?;
    let start = Start::load(job.model, &device)?;
    let texts = texts(job, &start)?;
    let context = start.policy.architecture().context;
    let streams = Streams::new(job.seed);
    let preprocessor = start.words.preprocessor();
    let together = (ROWS / job.samples).max(1);
    for (chunk, texts) in texts.chunks(together).enumerate() {
        let (mut prompts, mut seeds) = (Vec::new(), Vec::new());
        for (place, text) in texts.iter().enumerate() {
            let mut ids = preprocessor.prompt(text).map_err(FinetuneError::from)?;
            if ids.is_empty() {
                ids.push(start.words.first());
            }
            if ids.len() >= context {
                return Err(FinetuneError::refused(
                    format!(
                        "prompt {} has {} tokens, the model's context {context}",
                        chunk * together + place + 1,
                        ids.len()
                    ),
                    "shorten the prompt",
                )
                .into());
            }
            prompts.extend(std::iter::repeat_n(ids, job.samples));
            let step = (chunk * together + place) as u64;
            seeds.extend(streams.rows(Stream::Sampling, step, job.samples));
        }
        let answers = start
            .policy
            .generate(&prompts, &seeds, &job.sampling, &start.words.stop);
        for (row, answer) in answers.iter().enumerate() {
            let tokenizer = &start.words.tokenizer;
            each(Answer {
                prompt: texts[row / job.samples].plain(),
                completion: tokenizer
                    .decode(&answer.tokens)
                    .map_err(FinetuneError::from)?,
                tokens: answer.tokens.len(),
                finished: answer.finished,
                logp: answer.logps.iter().map(|&logp| f64::from(logp)).sum(),
            })?;
        }
    }
    Ok(())
}

fn texts(job: &GenerateJob<'_>, start: &Start) -> Result<Vec<Text>, FinetuneError> {
    match &job.prompts {
        Prompts::Typed { texts, raw } => {
            let chats = start.words.template.is_some() && !raw;
            let text = |text: &String| match chats {
                true => Text::Messages(vec![Message::new("user", text.clone())]),
                false => Text::Prose(text.clone()),
            };
            Ok(texts.iter().map(text).collect())
        }
        Prompts::File(path) => read(path),
    }
}

fn read(path: &Path) -> Result<Vec<Text>, FinetuneError> {
    let rows = Records::<PromptRecord>::open(path)?;
    let texts = rows
        .map(|row| Ok(row?.record.prompt))
        .collect::<Result<Vec<Text>, FinetuneError>>()?;
    match texts.is_empty() {
        false => Ok(texts),
        true => Err(FinetuneError::refused(
            format!("`{}` has no rows", path.display()),
            format!("expected {}", PromptRecord::EXPECTED),
        )),
    }
}
