//! The kinds of rows, with TRL's column names.

use serde_json::Value;

use super::columns::{Columns, Record, RecordProblem, number, text};
use crate::{Message, Pair, Text, transcript};

/// A prompt with a chosen and a rejected completion.
///
/// | columns | prompt |
/// | --- | --- |
/// | `prompt`, `chosen`, `rejected`, all text or all messages | as given |
/// | `chosen`, `rejected`: messages | the messages that both start with |
/// | `chosen`, `rejected`: HH-RLHF transcripts | the turns that both start with, up to `\n\nAssistant:` |
/// | `chosen`, `rejected`: other text | the characters that both start with, without a blank at their end, and never all of either |
/// | `prompt`: text, `chosen`, `rejected`: whole conversations | the messages that both start with |
/// | `prompt`: messages, `chosen`, `rejected`: text | as given; the completions become messages of the assistant |
///
/// A `margin`, or the difference of `score_chosen` and `score_rejected`, is read where it is given.
#[derive(Debug, Clone, PartialEq)]
pub struct PairRecord {
    /// What both completions answer.
    pub prompt: Text,
    /// The preferred completion.
    pub chosen: Text,
    /// The other completion.
    pub rejected: Text,
    /// By how much the chosen one is better, where the data say so.
    pub margin: Option<f64>,
}

impl Record for PairRecord {
    const EXPECTED: &'static str =
        "a row with `chosen` and `rejected`, and `prompt` unless both start with it";

    fn read(columns: &Columns) -> Result<Self, RecordProblem> {
        let (chosen, rejected) = (columns.text("chosen")?, columns.text("rejected")?);
        let prompt = columns
            .has("prompt")
            .then(|| columns.text("prompt"))
            .transpose()?;
        let margin = if columns.has("margin") {
            Some(columns.number("margin")?)
        } else if columns.has("score_chosen") && columns.has("score_rejected") {
            Some(columns.number("score_chosen")? - columns.number("score_rejected")?)
        } else {
            None
        };
        let (prompt, chosen, rejected) = match (prompt, chosen, rejected) {
            (None, Text::Prose(chosen), Text::Prose(rejected)) => {
                implicit_prose(&chosen, &rejected)
            }
            (None | Some(Text::Prose(_)), Text::Messages(chosen), Text::Messages(rejected)) => {
                implicit_messages(chosen, rejected)
            }
            (Some(Text::Prose(prompt)), Text::Prose(chosen), Text::Prose(rejected)) => {
                let [chosen, rejected] = [chosen, rejected]
                    .map(|side| Text::Prose(transcript::completion(&prompt, &side)));
                (Text::Prose(prompt), chosen, rejected)
            }
            (Some(Text::Messages(prompt)), Text::Messages(chosen), Text::Messages(rejected)) => {
                let answer = |side: Vec<Message>| match side.strip_prefix(prompt.as_slice()) {
                    Some(rest) if !rest.is_empty() => Text::Messages(rest.to_vec()),
                    Some(_) | None => Text::Messages(side),
                };
                let (chosen, rejected) = (answer(chosen), answer(rejected));
                (Text::Messages(prompt), chosen, rejected)
            }
            (Some(Text::Messages(prompt)), Text::Prose(chosen), Text::Prose(rejected)) => {
                let [chosen, rejected] = [chosen, rejected]
                    .map(|side| Text::Messages(vec![Message::new("assistant", side)]));
                (Text::Messages(prompt), chosen, rejected)
            }
            (_, Text::Prose(_), Text::Messages(_)) | (_, Text::Messages(_), Text::Prose(_)) => {
                return Err(RecordProblem {
                    problem: "one of `chosen` and `rejected` is text, the other a list of messages"
                        .into(),
                    hint: "give both in the same form".into(),
                });
            }
        };
        Ok(Self {
            prompt,
            chosen,
            rejected,
            margin,
        })
    }
}

/// The shared start of two texts, as TRL's `extract_prompt` finds it; for transcripts, at a turn.
fn implicit_prose(chosen: &str, rejected: &str) -> (Text, Text, Text) {
    let parts = if transcript::is_transcript(chosen) && transcript::is_transcript(rejected) {
        transcript::split(chosen, rejected)
    } else {
        None
    };
    let (prompt, chosen, rejected) = parts.unwrap_or_else(|| {
        let end = shared_start(chosen, rejected);
        (
            chosen[..end].to_owned(),
            chosen[end..].to_owned(),
            rejected[end..].to_owned(),
        )
    });
    (
        Text::Prose(prompt),
        Text::Prose(chosen),
        Text::Prose(rejected),
    )
}

/// The bytes that two texts share at their start, without a blank at their end, but never all of either text.
fn shared_start(chosen: &str, rejected: &str) -> usize {
    let most = chosen
        .chars()
        .count()
        .min(rejected.chars().count())
        .saturating_sub(1);
    let equal = chosen
        .chars()
        .zip(rejected.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let bytes: usize = chosen
        .chars()
        .take(equal.min(most))
        .map(char::len_utf8)
        .sum();
    let is_different = equal <= most;
    match chosen[..bytes].strip_suffix(' ') {
        Some(start) if is_different => start.len(),
        Some(_) | None => bytes,
    }
}

/// The shared messages, but never all of either side.
fn implicit_messages(chosen: Vec<Message>, rejected: Vec<Message>) -> (Text, Text, Text) {
    let most = chosen.len().min(rejected.len()) - 1;
    let common = chosen
        .iter()
        .zip(&rejected)
        .take(most)
        .take_while(|(a, b)| a == b)
        .count();
    (
        Text::Messages(chosen[..common].to_vec()),
        Text::Messages(chosen[common..].to_vec()),
        Text::Messages(rejected[common..].to_vec()),
    )
}

/// A prompt, a completion, and whether it is wanted: `prompt`, `completion`, `label` (Ethayarajh et al. 2024,
/// arXiv:2402.01306).
#[derive(Debug, Clone, PartialEq)]
pub struct KtoRecord {
    /// What the completion answers.
    pub prompt: Text,
    /// The completion.
    pub completion: Text,
    /// Whether it is desirable.
    pub label: bool,
}

impl Record for KtoRecord {
    const EXPECTED: &'static str = "a row with `prompt`, `completion` and `label`";

    fn read(columns: &Columns) -> Result<Self, RecordProblem> {
        let prompt = columns.text("prompt")?;
        let completion = answer(&prompt, columns.text("completion")?)?;
        Ok(Self {
            prompt,
            completion,
            label: columns.flag("label")?,
        })
    }
}

impl KtoRecord {
    /// The two sides of each pair as rows of their own: first every chosen one, then every rejected one, as TRL's
    /// `unpair_preference_dataset` orders them.
    pub fn unpaired(pairs: &[PairRecord]) -> Vec<Self> {
        let row = |pair: &PairRecord, completion: &Text, label| Self {
            prompt: pair.prompt.clone(),
            completion: completion.clone(),
            label,
        };
        let chosen = pairs.iter().map(|pair| row(pair, &pair.chosen, true));
        let rejected = pairs.iter().map(|pair| row(pair, &pair.rejected, false));
        chosen.chain(rejected).collect()
    }
}

/// Columns in which several completions of a prompt may stand.
pub(super) const CANDIDATES: [&str; 3] = ["completions", "responses", "candidates"];

/// What supervised fine-tuning reads.
#[derive(Debug, Clone, PartialEq)]
pub enum SupervisedRecord {
    /// `prompt` and `completion` (or `chosen`): the loss counts the completion.
    Completion {
        /// What is answered.
        prompt: Text,
        /// The answer.
        completion: Text,
    },
    /// `messages` or `text`: the loss counts all of it.
    Whole(Text),
}

impl Record for SupervisedRecord {
    const EXPECTED: &'static str = "a row with `prompt` and `completion`, or `messages`, or `text`";

    fn read(columns: &Columns) -> Result<Self, RecordProblem> {
        if columns.has("messages") {
            return Ok(Self::Whole(columns.text("messages")?));
        }
        if columns.has("text") && !columns.has("prompt") {
            return Ok(Self::Whole(columns.text("text")?));
        }
        if columns.has("chosen") && !columns.has("completion") {
            let pair = PairRecord::read(columns)?;
            return Ok(Self::Completion {
                prompt: pair.prompt,
                completion: pair.chosen,
            });
        }
        let prompt = columns.text("prompt")?;
        let completion = answer(&prompt, columns.text("completion")?)?;
        Ok(Self::Completion { prompt, completion })
    }
}

/// A prompt with several completions and their scores: `prompt`, `completions` (or `responses`, `candidates`), each a
/// text with its number in `scores`, or an object with `text` (or `response`, `completion`) and `score` (or
/// `overall_score`).
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredRecord {
    /// What the completions answer.
    pub prompt: Text,
    /// The completions with their scores, higher being better.
    pub candidates: Vec<(Text, f64)>,
}

impl Record for ScoredRecord {
    const EXPECTED: &'static str =
        "a row with `prompt`, `completions` and `scores`, or completions with a `score` each";

    fn read(columns: &Columns) -> Result<Self, RecordProblem> {
        let prompt = columns.text("prompt")?;
        let name = CANDIDATES
            .into_iter()
            .find(|name| columns.has(name))
            .unwrap_or("completions");
        let Value::Array(completions) = columns.value(name)? else {
            return Err(RecordProblem {
                problem: format!("`{name}` is not a list"),
                hint: "give one completion an element".into(),
            });
        };
        let scores = if columns.has("scores") {
            match columns.value("scores")? {
                Value::Array(scores) if scores.len() == completions.len() => {
                    scores.into_iter().map(Some).collect()
                }
                _ => {
                    return Err(RecordProblem {
                        problem: format!("`scores` is not a list of {} numbers", completions.len()),
                        hint: format!("give one score for each of `{name}`"),
                    });
                }
            }
        } else {
            vec![None; completions.len()]
        };
        let candidates = completions
            .into_iter()
            .zip(scores)
            .map(|(completion, score)| candidate(name, &prompt, completion, score));
        Ok(Self {
            candidates: candidates.collect::<Result<_, _>>()?,
            prompt,
        })
    }
}

impl ScoredRecord {
    /// The completions of the highest and of the lowest score, the first of each; none where all scores are equal.
    pub fn extremes(&self) -> Option<Pair<&Text>> {
        let first = self.candidates.first()?;
        let (mut best, mut worst) = (first, first);
        for candidate in &self.candidates {
            if candidate.1 > best.1 {
                best = candidate;
            }
            if candidate.1 < worst.1 {
                worst = candidate;
            }
        }
        (best.1 > worst.1).then_some(Pair {
            chosen: &best.0,
            rejected: &worst.0,
        })
    }

    /// The pair of the extremes, as training takes it.
    pub fn pair(&self) -> Option<PairRecord> {
        let Pair { chosen, rejected } = self.extremes()?;
        Some(PairRecord {
            prompt: self.prompt.clone(),
            chosen: chosen.clone(),
            rejected: rejected.clone(),
            margin: None,
        })
    }
}

fn candidate(
    name: &str,
    prompt: &Text,
    completion: Value,
    score: Option<Value>,
) -> Result<(Text, f64), RecordProblem> {
    let first =
        |object: &Value, keys: &[&str]| keys.iter().find_map(|key| object.get(key).cloned());
    let (said, score) = match (completion.is_object(), score) {
        (true, score) => (
            first(&completion, &["text", "response", "completion"]),
            score.or_else(|| first(&completion, &["score", "overall_score"])),
        ),
        (false, score) => (Some(completion), score),
    };
    let missing = |what: &str| RecordProblem {
        problem: format!("an element of `{name}` has no {what}"),
        hint: "give `scores` beside them, or objects with `text` and `score`".into(),
    };
    let said = answer(prompt, text(name, said.ok_or_else(|| missing("`text`"))?)?)?;
    Ok((
        said,
        number("score", &score.ok_or_else(|| missing("`score`"))?)?,
    ))
}

/// A prompt alone: `prompt`, or `messages` that end with one of the user's, or what both sides of a pair start with.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptRecord {
    /// What is to be answered.
    pub prompt: Text,
}

impl Record for PromptRecord {
    const EXPECTED: &'static str =
        "a row with `prompt`, or with `messages` that end with the user's";

    fn read(columns: &Columns) -> Result<Self, RecordProblem> {
        let name = if columns.has("prompt") {
            "prompt"
        } else if columns.has("chosen") && columns.has("rejected") {
            let prompt = PairRecord::read(columns)?.prompt;
            return Ok(Self { prompt });
        } else if !columns.has("messages") {
            "prompt"
        } else {
            "messages"
        };
        let prompt = columns.text(name)?;
        match &prompt {
            Text::Messages(messages)
                if messages.last().is_some_and(|last| last.role == "assistant") =>
            {
                Err(RecordProblem {
                    problem: format!("`{name}` ends with a message of the assistant"),
                    hint: "end it with what is to be answered".into(),
                })
            }
            Text::Messages(_) | Text::Prose(_) => Ok(Self { prompt }),
        }
    }
}

/// A completion in the form of its prompt.
fn answer(prompt: &Text, completion: Text) -> Result<Text, RecordProblem> {
    match (prompt, completion) {
        (Text::Prose(prompt), Text::Prose(completion)) => {
            Ok(Text::Prose(transcript::completion(prompt, &completion)))
        }
        (Text::Messages(_), Text::Prose(completion)) => {
            Ok(Text::Messages(vec![Message::new("assistant", completion)]))
        }
        (Text::Messages(_), completion @ Text::Messages(_)) => Ok(completion),
        (Text::Prose(_), Text::Messages(_)) => Err(RecordProblem {
            problem: "`prompt` is text and its completion a list of messages".into(),
            hint: "give both in the same form".into(),
        }),
    }
}
