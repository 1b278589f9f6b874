//! Settings of the arithmetic task.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Count, Fraction, Span};

/// Arithmetic in several steps with written working, marked on the paper's rubric of 1 to 5 points (arXiv:2406.07327,
/// table 4), with a second test set from another distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArithmeticSettings {
    /// Prompts to train on. From files: at most this many, all where there are fewer.
    pub train_prompts: Count,
    /// Prompts for choices made during training.
    pub validation_prompts: Count,
    /// Prompts for the final scores, from the distribution of the training prompts.
    pub test_prompts: Count,
    /// Prompts for the final scores, from another distribution.
    pub shifted_prompts: Count,
    /// Where the problems come from.
    pub source: ArithmeticSource,
    /// Decides the drawn problems and how they are divided.
    pub seed: u64,
}

impl Default for ArithmeticSettings {
    fn default() -> Self {
        Self {
            train_prompts: Count::of(8192),
            validation_prompts: Count::of(256),
            test_prompts: Count::of(512),
            shifted_prompts: Count::of(512),
            source: ArithmeticSource::default(),
            seed: 0,
        }
    }
}

/// Where the problems come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArithmeticSource {
    /// Chains of additions, subtractions and multiplications told as a story; needs no file.
    Generated(GeneratedArithmetic),
    /// Problems from files in the format of GSM8K.
    Problems(ProblemFiles),
}

impl Default for ArithmeticSource {
    fn default() -> Self {
        Self::Generated(GeneratedArithmetic::default())
    }
}

/// Generated problems. A problem starts from a number and changes it step by step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeneratedArithmetic {
    /// Steps of a problem.
    pub steps: Span,
    /// Numbers added and taken away.
    pub operands: Span,
    /// Every number on the way is from 0 to this one. A model learns the sums as facts: their number grows with it.
    pub largest: Count,
    /// Steps of a problem of the other distribution.
    pub shifted_steps: Span,
    /// Numbers added and taken away in the other distribution, which also tells its stories in other sentences.
    pub shifted_operands: Span,
    /// Probability that a reference answer has a fault: no working, a step left out, or a slip that is carried on.
    pub corruption: Fraction,
}

impl Default for GeneratedArithmetic {
    fn default() -> Self {
        Self {
            steps: Span::of(2, 3),
            operands: Span::of(1, 9),
            largest: Count::of(50),
            shifted_steps: Span::of(3, 4),
            shifted_operands: Span::of(6, 9),
            corruption: Fraction::of(0.3),
        }
    }
}

/// Problems in the format of GSM8K (Cobbe et al. 2021, arXiv:2110.14168): JSON lines with `question` and `answer`, whose
/// last line is `#### ` and the result; `<<48/2=24>>` marks a calculation. Files may be gzip-compressed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProblemFiles {
    /// Problems for training and validation.
    pub train: PathBuf,
    /// Problems for the test.
    pub test: PathBuf,
    /// Problems of another distribution; an `answer` that is a number alone is a result without working. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shifted: Option<PathBuf>,
    /// Problems with a longer question are left out, characters.
    #[serde(default = "max_question")]
    pub max_question: Count,
    /// Problems with a longer answer are left out, characters.
    #[serde(default = "max_answer")]
    pub max_answer: Count,
}

fn max_question() -> Count {
    Count::of(300)
}
fn max_answer() -> Count {
    Count::of(400)
}
