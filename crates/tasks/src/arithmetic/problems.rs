//! Problems from files in the format of GSM8K.

use std::collections::BTreeSet;
use std::path::Path;

use preflab_config::{ArithmeticSettings, ProblemFiles};
use preflab_data::JsonLines;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::refused;
use super::rubric::Solution;
use super::working::number;
use crate::task::Prompts;
use crate::{Prompt, Split, TaskError};

/// A row of the file; other keys are passed over.
#[derive(Debug, Deserialize)]
struct ProblemRow {
    question: String,
    answer: String,
}

/// Reads the problems of all splits. Validation is drawn from the training file; a question that stands in several files
/// is kept for the first of test, shifted and training alone.
///
/// # Errors
/// If a file cannot be read, a row has no result, or nothing is left.
pub fn prompts(settings: &ArithmeticSettings, files: &ProblemFiles) -> Result<Prompts, TaskError> {
    let mut asked = BTreeSet::new();
    let mut read = |path: &Path, split: Split, most: usize| -> Result<Vec<Prompt>, TaskError> {
        let mut prompts = rows(path, split, files)?;
        prompts.retain(|prompt| asked.insert(prompt.text.clone()));
        if prompts.is_empty() {
            return Err(refused(
                format!(
                    "{} has no problem that is short enough and new",
                    path.display()
                ),
                "allow longer questions and answers with `max_question` and `max_answer`",
            ));
        }
        let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
        random.set_stream(split as u64);
        prompts.shuffle(&mut random);
        prompts.truncate(most);
        Ok(prompts)
    };
    let test = read(&files.test, Split::Test, settings.test_prompts.get())?;
    let shifted = match &files.shifted {
        Some(path) => read(path, Split::Shifted, settings.shifted_prompts.get())?,
        None => Vec::new(),
    };
    let mut validation = read(&files.train, Split::Train, usize::MAX)?;
    let held_out = settings.validation_prompts.get().min(validation.len() / 2);
    let mut train = validation.split_off(held_out);
    train.truncate(settings.train_prompts.get());
    if train.is_empty() || validation.is_empty() {
        return Err(refused(
            format!(
                "{} has too few problems to train and validate on",
                files.train.display()
            ),
            "at least two problems are needed",
        ));
    }
    Ok(Prompts {
        train,
        validation,
        test,
        shifted,
    })
}

fn rows(path: &Path, split: Split, files: &ProblemFiles) -> Result<Vec<Prompt>, TaskError> {
    let mut lines =
        JsonLines::<ProblemRow>::open(path, "an object with the keys `question` and `answer`")?;
    let mut prompts = Vec::new();
    while let Some(row) = lines.next() {
        let (line, ProblemRow { question, answer }) = row?;
        let is_bare = number(answer.trim()).is_some();
        let reference = if split == Split::Shifted && is_bare {
            format!("#### {answer}")
        } else {
            answer
        };
        if Solution::of_reference(&reference).is_none() {
            return Err(TaskError::Data(lines.error(
                "`answer` has no result",
                "the last line of an answer is `#### ` and a number, as in GSM8K",
            )));
        }
        let is_short = question.chars().count() <= files.max_question.get()
            && reference.chars().count() <= files.max_answer.get();
        if is_short {
            prompts.push(Prompt {
                id: split.id(line),
                text: format!("{question}\n"),
                reference,
            });
        }
    }
    Ok(prompts)
}
