//! What every task offers.

use preflab_data::{PairRecord, Units};
use serde::{Deserialize, Serialize};

/// A task: prompts with reference answers, and a gold score or pairs of its own.
pub trait Task: std::fmt::Debug + Send + Sync {
    /// The tag of the task in a settings file.
    fn name(&self) -> &'static str;

    /// The prompts of one split, always in the same order. Splits share no prompt.
    fn prompts(&self, split: Split) -> &[Prompt];

    /// The names of the criteria, in the order of [`Score::criteria`]: `rhyme` is logged as `task/rhyme`.
    fn criteria(&self) -> &[&'static str];

    /// Whether answers have a gold score.
    fn has_gold(&self) -> bool {
        true
    }

    /// The task's own preference pairs of one split, in the order of its prompts; none where pairs are made from samples.
    fn pairs(&self, _split: Split) -> &[PairRecord] {
        &[]
    }

    /// Leaves out the pairs, and their prompts, that `keep` refuses, and says how many; does nothing where there are none.
    fn retain_pairs(&mut self, _keep: &mut dyn FnMut(&PairRecord) -> bool) -> usize {
        0
    }

    /// The score of `completion` as an answer to `prompt`, which is one of this task's; without a gold score, a score
    /// without criteria whose gold is NaN.
    fn score(&self, prompt: &Prompt, completion: &str) -> Score;

    /// What one token of this task's text is.
    fn units(&self) -> Units;

    /// Every text of the task, prompts and references of all splits: what its tokenizer is trained on, so
    /// that nothing in them is unknown.
    fn texts(&self) -> Vec<&str>;

    /// Prompt and reference answer of each training prompt: what supervised fine-tuning reads.
    fn references(&self) -> Vec<(&str, &str)> {
        self.prompts(Split::Train)
            .iter()
            .map(|prompt| (prompt.text.as_str(), prompt.reference.as_str()))
            .collect()
    }
}

/// The prompts of every split.
#[derive(Debug, Default)]
pub struct Prompts {
    /// To train on.
    pub train: Vec<Prompt>,
    /// For choices during training.
    pub validation: Vec<Prompt>,
    /// For final scores.
    pub test: Vec<Prompt>,
    /// For final scores, from another distribution.
    pub shifted: Vec<Prompt>,
}

impl Prompts {
    /// Those of `split`.
    pub fn of(&self, split: Split) -> &[Prompt] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
            Split::Shifted => &self.shifted,
        }
    }
}

/// Prompts and references of every split.
pub(crate) fn prompt_texts(task: &dyn Task) -> impl Iterator<Item = &str> {
    Split::ALL
        .into_iter()
        .flat_map(|split| task.prompts(split))
        .flat_map(|prompt| [prompt.text.as_str(), prompt.reference.as_str()])
}

/// Ids of one split have this many bits.
const SPLIT_BITS: u32 = 40;

/// A prompt with its reference answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// Unique within the task, over all splits.
    pub id: u64,
    /// What the model reads; the completion follows directly.
    pub text: String,
    /// A good answer, without an end-of-sequence token.
    pub reference: String,
}

impl Prompt {
    /// Its place among the prompts of its split.
    pub fn index(&self) -> usize {
        (self.id & ((1 << SPLIT_BITS) - 1)) as usize
    }

    /// The split it belongs to.
    pub fn split(&self) -> Split {
        Split::ALL[(self.id >> SPLIT_BITS) as usize]
    }
}

/// What prompts are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Training of every kind.
    Train,
    /// Choices made while training.
    Validation,
    /// Final scores, from the distribution of the training prompts.
    Test,
    /// Final scores, from another distribution; empty for tasks without one.
    Shifted,
}

impl Split {
    /// Every split.
    pub const ALL: [Self; 4] = [Self::Train, Self::Validation, Self::Test, Self::Shifted];

    /// The id of this split's prompt number `index`: splits occupy disjoint ranges.
    pub(crate) fn id(self, index: usize) -> u64 {
        ((self as u64) << SPLIT_BITS) + index as u64
    }
}

/// The score of one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// One number a criterion, in the order of [`Task::criteria`]; in [0, 1] unless the task says otherwise.
    pub criteria: Vec<f64>,
    /// The judge's score in [0, 1].
    pub gold: f64,
}

impl Score {
    /// The score whose gold is the mean of its criteria.
    pub fn mean_of(criteria: Vec<f64>) -> Self {
        let gold = criteria.iter().sum::<f64>() / criteria.len() as f64;
        Self { criteria, gold }
    }
}
