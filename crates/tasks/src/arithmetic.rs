//! Arithmetic in several steps: a problem, written working, a result.
//!
//! Section 4 of "3D-Properties" ([arXiv:2406.07327](https://arxiv.org/abs/2406.07327)) has mathematical problems marked
//! from 1 to 5 points (its table 4). Here a rule gives the points ([`rubric`]), for generated problems ([`chain`]) and for
//! files in the format of GSM8K ([`problems`]).
//!
//! An answer is working, one calculation a line (or marked `<<48/2=24>>` inside a sentence), and then one or more `#` and
//! the result. [`Split::Shifted`] holds problems of another distribution.
//!
//! | criterion | value |
//! | --- | --- |
//! | `rubric` | the points, 1 to 5: the one criterion that is not in [0, 1] |
//! | `five_points` | 1 for 5 points, else 0 |
//! | `four_five_points` | 1 for 4 or 5 points, else 0 |
//! | `result` | 1 for the right result, else 0 |
//! | `process` | share of the needed steps that are there and right |
//!
//! The gold score is `(points − 1)/4`.

pub mod chain;
pub mod expression;
pub mod problems;
pub mod rubric;
pub mod working;

use preflab_config::{ArithmeticSettings, ArithmeticSource};
use preflab_data::Units;

use crate::task::{Prompts, prompt_texts};
use crate::{Prompt, Score, Split, Task, TaskError};
use rubric::{Mark, Solution};

/// The names of the criteria.
pub const CRITERIA: [&str; 5] = [
    "rubric",
    "five_points",
    "four_five_points",
    "result",
    "process",
];

/// The task `arithmetic`.
#[derive(Debug)]
pub struct Arithmetic {
    prompts: Prompts,
    kind: Kind,
    /// Text that every vocabulary must cover, whatever the prompts happen to hold.
    alphabet: Vec<String>,
}

/// Where a prompt's solution is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// In the prompt: a chain of steps can be read back.
    Generated,
    /// In the reference answer.
    Problems,
}

impl Arithmetic {
    /// Draws or reads the problems.
    ///
    /// # Errors
    /// If the ranges leave no or too few different problems, or a file cannot be used.
    pub fn open(settings: &ArithmeticSettings) -> Result<Self, TaskError> {
        let (kind, prompts, alphabet) = match &settings.source {
            ArithmeticSource::Generated(generated) => (
                Kind::Generated,
                chain::prompts(settings, generated)?,
                chain::alphabet(generated.largest.get() as u32),
            ),
            ArithmeticSource::Problems(files) => (
                Kind::Problems,
                problems::prompts(settings, files)?,
                Vec::new(),
            ),
        };
        Ok(Self {
            prompts,
            kind,
            alphabet,
        })
    }

    /// The points of `completion` and what they were given for.
    ///
    /// # Panics
    /// If `prompt` is not one of this task's.
    pub fn mark(&self, prompt: &Prompt, completion: &str) -> Mark {
        let solution = match self.kind {
            Kind::Generated => chain::Chain::parse(&prompt.text).map(|chain| chain.solution()),
            Kind::Problems => Solution::of_reference(&prompt.reference),
        };
        let solution =
            solution.unwrap_or_else(|| panic!("`{}` is not a prompt for arithmetic", prompt.text));
        rubric::mark(&solution, completion)
    }
}

impl Task for Arithmetic {
    fn name(&self) -> &'static str {
        "arithmetic"
    }

    fn prompts(&self, split: Split) -> &[Prompt] {
        self.prompts.of(split)
    }

    fn criteria(&self) -> &[&'static str] {
        &CRITERIA
    }

    fn score(&self, prompt: &Prompt, completion: &str) -> Score {
        let mark = self.mark(prompt, completion);
        let is = |condition: bool| f64::from(u8::from(condition));
        Score {
            criteria: vec![
                f64::from(mark.points),
                is(mark.points == 5),
                is(mark.points >= 4),
                is(mark.result),
                mark.process,
            ],
            gold: f64::from(mark.points - 1) / 4.0,
        }
    }

    fn units(&self) -> Units {
        match self.kind {
            Kind::Generated => Units::Pattern {
                regex: chain::UNIT.into(),
            },
            Kind::Problems => Units::Bpe { vocabulary: 1024 },
        }
    }

    fn texts(&self) -> Vec<&str> {
        prompt_texts(self)
            .chain(self.alphabet.iter().map(String::as_str))
            .collect()
    }
}

/// A setting of this task that cannot be.
fn refused(problem: impl Into<String>, hint: impl Into<String>) -> TaskError {
    TaskError::Settings {
        task: "arithmetic",
        problem: problem.into(),
        hint: hint.into(),
    }
}
