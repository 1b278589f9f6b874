//! Slogans: the prompt fixes the number of words and some content words; two criteria say how well they were kept.
//!
//! Section 4 of "3D-Properties" ([arXiv:2406.07327](https://arxiv.org/abs/2406.07327)) scores slogans on word count and
//! content. Here both are rules, over a small language of English words written without spaces, as in a hashtag:
//! `7|CoffeeFresh` asks for something like `TasteTheFreshCoffeeWithYourFriends` ([`words`]).
//!
//! Let an answer have `m` words, `n` being asked for. What is not a word of the language is not counted.
//!
//! | criterion | value |
//! | --- | --- |
//! | `word_count` | `max(0, 1 − abs(m − n)/n)`, 0 with text that is not a word |
//! | `content_words` | share of the asked words that are said, times the share of the answer's words that are different from all words before them |
//!
//! The second factor keeps a word said over and over from filling the count. The gold score is the mean.

pub mod compose;
pub mod words;

use preflab_config::SloganSettings;
use preflab_data::Units;

use crate::task::{Prompts, prompt_texts};
use crate::{Prompt, Score, Split, Task, TaskError};

/// The names of the criteria.
pub const CRITERIA: [&str; 2] = ["word_count", "content_words"];

/// The task `slogan`.
#[derive(Debug)]
pub struct Slogan {
    prompts: Prompts,
}

/// What a prompt asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'p> {
    /// Number of words.
    pub words: usize,
    /// Words that must be said.
    pub content: Vec<&'p str>,
}

impl<'p> Request<'p> {
    /// The text of a prompt.
    pub fn text(&self) -> String {
        format!("{}|{}\n", self.words, self.content.concat())
    }

    /// Reads the text of a prompt; `None` if it is not one.
    pub fn parse(text: &'p str) -> Option<Self> {
        let (count, content) = text.strip_suffix('\n')?.split_once('|')?;
        let content = cut(content);
        let is_request = !content.is_empty() && content.iter().all(|word| words::is_word(word));
        is_request.then_some(())?;
        Some(Self {
            words: count.parse().ok().filter(|&count| count > 0)?,
            content,
        })
    }
}

impl Slogan {
    /// Draws the prompts.
    ///
    /// # Errors
    /// If the ranges do not fit together or more prompts are asked for than there are.
    pub fn open(settings: &SloganSettings) -> Result<Self, TaskError> {
        Ok(Self {
            prompts: compose::prompts(settings)?,
        })
    }
}

/// The two criteria of `text` as an answer to `request`, in the order of [`CRITERIA`].
pub fn criteria(request: &Request<'_>, text: &str) -> [f64; 2] {
    let pieces = cut(text);
    let said: Vec<&str> = pieces
        .iter()
        .copied()
        .filter(|piece| words::is_word(piece))
        .collect();
    if said.is_empty() {
        return [0.0, 0.0];
    }
    let missed = said.len().abs_diff(request.words) as f64 / request.words as f64;
    let is_clean = said.len() == pieces.len();
    let count = if is_clean {
        (1.0 - missed).max(0.0)
    } else {
        0.0
    };

    let asked = request
        .content
        .iter()
        .filter(|word| said.contains(word))
        .count() as f64
        / request.content.len() as f64;
    let fresh = said
        .iter()
        .enumerate()
        .filter(|(i, word)| !said[..*i].contains(word))
        .count();
    [count, asked * fresh as f64 / said.len() as f64]
}

/// The pieces of a text: a word starts at each ASCII capital.
fn cut(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = text
        .char_indices()
        .filter(|(_, c)| c.is_ascii_uppercase())
        .map(|(at, _)| at)
        .collect();
    if !text.is_empty() && starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| &text[start..end])
        .collect()
}

impl Task for Slogan {
    fn name(&self) -> &'static str {
        "slogan"
    }

    fn prompts(&self, split: Split) -> &[Prompt] {
        self.prompts.of(split)
    }

    fn criteria(&self) -> &[&'static str] {
        &CRITERIA
    }

    fn score(&self, prompt: &Prompt, completion: &str) -> Score {
        let request = Request::parse(&prompt.text)
            .unwrap_or_else(|| panic!("`{}` is not a prompt for slogan", prompt.text));
        Score::mean_of(criteria(&request, completion).to_vec())
    }

    fn units(&self) -> Units {
        Units::Pattern {
            regex: "[A-Z][a-z]*|[0-9]+".into(),
        }
    }

    fn texts(&self) -> Vec<&str> {
        prompt_texts(self)
            .chain(words::all())
            .chain(compose::COUNTS)
            .collect()
    }
}

/// A setting of this task that cannot be.
fn refused(problem: impl Into<String>, hint: impl Into<String>) -> TaskError {
    TaskError::Settings {
        task: "slogan",
        problem: problem.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn score(text: &str) -> [f64; 2] {
        criteria(&Request::parse("6|CoffeeFresh\n").unwrap(), text)
    }

    #[test]
    fn answers_get_the_documented_scores() {
        for (text, expected) in [
            ("TasteTheFreshCoffeeEveryDay", [1.0, 1.0]),
            ("TasteTheCoffeeEveryDayNow", [1.0, 0.5]),
            ("TasteTheFreshCoffee", [1.0 - 2.0 / 6.0, 1.0]),
            ("TheTheTheTheFreshCoffee", [1.0, 0.5]),
            ("FreshCoffee".repeat(3).as_str(), [1.0, 2.0 / 6.0]),
            ("FreshCoffee".repeat(6).as_str(), [0.0, 2.0 / 12.0]),
            ("TasteTheFreshCoffeeEveryDay ", [0.0, 1.0]),
            ("", [0.0, 0.0]),
            ("fresh coffee", [0.0, 0.0]),
        ] {
            // A blank at the end makes the last word no word.
            let expected = if text.ends_with(' ') {
                [0.0, expected[1]]
            } else {
                expected
            };
            assert_eq!(score(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_prompt_is_not_read() {
        for text in [
            "",
            "6|\n",
            "0|Coffee\n",
            "six|Coffee\n",
            "6|Coffee",
            "6|Xyzzy\n",
        ] {
            assert_eq!(Request::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_scores_within_bounds(text in "([A-Z][a-z]{0,5}|Coffee|The|\n| |é){0,30}") {
            for value in score(&text) {
                prop_assert!((0.0..=1.0).contains(&value));
            }
        }
    }
}
