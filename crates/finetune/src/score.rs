//! Scores of completions under a saved model: a reward model's rewards, or a language model's log-probs.

use std::path::Path;

use preflab_data::{
    Columns, KtoRecord, PairRecord, Record, RecordProblem, Records, Text, TokenExample, TokenPair,
};
use preflab_stats::{Interval, ProportionInterval, Tally, mean, proportion_interval};
use preflab_training::DeviceChoice;
use preflab_transformer::{CausalLm, Completions};
use serde::Serialize;

use crate::FinetuneError;
use crate::reward_model::RewardModel;
use crate::start::{Kind, Start, Words, kind};

/// Rows that are scored together.
const ROWS: usize = 32;

/// A row with its scores. A reward model gives a reward to a completion, a language model its log-prob (nats, summed over the
/// tokens) and how many tokens that are.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ScoredRow {
    /// One completion.
    Single {
        /// Line of the file.
        line: usize,
        /// Its score.
        #[serde(flatten)]
        score: Score,
    },
    /// Both completions of a pair.
    Pair {
        /// Line of the file.
        line: usize,
        /// Of the chosen one.
        chosen: Score,
        /// Of the rejected one.
        rejected: Score,
        /// Chosen less rejected: rewards, or log-probs.
        margin: f64,
    },
}

/// What a model says of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Score {
    /// A reward model's.
    Reward {
        /// On the model's final scale.
        reward: f64,
    },
    /// A language model's.
    Logp {
        /// Summed over the tokens, nats.
        logp: f64,
        /// How many they are, the end-of-sequence token included.
        tokens: usize,
    },
}

impl Score {
    /// The number that is compared.
    pub const fn value(&self) -> f64 {
        match self {
            Self::Reward { reward } => *reward,
            Self::Logp { logp, .. } => *logp,
        }
    }
}

/// What the scores say together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreSummary {
    /// Rows scored.
    pub rows: usize,
    /// Rows that were too long or said nothing, and were left out.
    pub left_out: usize,
    /// Mean of the scores; of pairs, of both sides.
    pub mean: f64,
    /// Of pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PairSummary>,
}

/// What the scores of pairs say together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairSummary {
    /// Share whose chosen score is strictly above the rejected one.
    pub accuracy: f64,
    /// 95 % Wilson interval of it.
    pub accuracy_interval: [f64; 2],
    /// Mean of chosen less rejected.
    pub margin: f64,
}

/// A row to be scored.
enum Row {
    Single(Text, Text),
    Pair(PairRecord),
}

impl Record for Row {
    const EXPECTED: &'static str =
        "a row with `prompt` and `completion`, or with `chosen` and `rejected`";

    fn read(columns: &Columns) -> Result<Self, RecordProblem> {
        if columns.has("chosen") && columns.has("rejected") {
            return PairRecord::read(columns).map(Self::Pair);
        }
        if columns.has("label") {
            let row = KtoRecord::read(columns)?;
            return Ok(Self::Single(row.prompt, row.completion));
        }
        match preflab_data::SupervisedRecord::read(columns)? {
            preflab_data::SupervisedRecord::Completion { prompt, completion } => {
                Ok(Self::Single(prompt, completion))
            }
            preflab_data::SupervisedRecord::Whole(_) => Err(RecordProblem {
                problem: "there is no `completion`".into(),
                hint: "give `prompt` and `completion`".into(),
            }),
        }
    }
}

/// A row as tokens.
enum Tokens {
    Single(TokenExample),
    Pair(TokenPair),
}

enum Scorer {
    Reward(Box<RewardModel>),
    Policy(Box<Start>),
}

impl Scorer {
    fn words(&self) -> &Words {
        match self {
            Self::Reward(model) => &model.start.words,
            Self::Policy(start) => &start.words,
        }
    }

    fn context(&self) -> usize {
        match self {
            Self::Reward(model) => model.start.model.architecture().context,
            Self::Policy(start) => start.policy.architecture().context,
        }
    }

    fn scores(&self, rows: &[TokenExample]) -> Vec<Score> {
        match self {
            Self::Reward(model) => {
                let rewards = model.rewards(rows).rewards.into_iter();
                rewards.map(|reward| Score::Reward { reward }).collect()
            }
            Self::Policy(start) => logps(&start.policy, rows),
        }
    }
}

/// Log-probs of completions, nats.
fn logps(policy: &CausalLm, rows: &[TokenExample]) -> Vec<Score> {
    let batch: Vec<(&[u32], &[u32])> = rows
        .iter()
        .map(|row| (row.prompt.as_slice(), row.completion.as_slice()))
        .collect();
    let completions = Completions::new(&batch, &policy.device());
    let sums = policy.completion_logps(&completions, 1.0).sum();
    sums.into_data()
        .iter::<f64>()
        .zip(rows)
        .map(|(logp, row)| Score::Logp {
            logp,
            tokens: row.completion.len(),
        })
        .collect()
}

/// Scores every row of a file, some at a time; `each` gets them in order.
///
/// # Errors
/// If the model or the file cannot be read, or `each` fails.
pub fn score<E: From<FinetuneError>>(
    model: &Path,
    data: &Path,
    device: DeviceChoice,
    mut each: impl FnMut(ScoredRow) -> Result<(), E>,
) -> Result<ScoreSummary, E> {
    let device = device.open().map_err(FinetuneError::from)?;
    let scorer = match kind(model)? {
        Kind::Classifier => Scorer::Reward(Box::new(RewardModel::load(model, &device)?)),
        Kind::Causal => Scorer::Policy(Box::new(Start::load(model, &device)?)),
    };
    let mut records = Records::<Row>::open(data).map_err(FinetuneError::from)?;
    let mut left_out = 0;
    let (mut values, mut margins) = (Vec::new(), Vec::new());
    let mut rows = 0;
    loop {
        let (mut lines, mut kinds, mut examples) = (Vec::new(), Vec::new(), Vec::new());
        for row in records.by_ref().take(ROWS) {
            let row = row.map_err(FinetuneError::from)?;
            lines.push(row.line);
            match tokens(&scorer, &row.record)? {
                Some(Tokens::Single(example)) => {
                    kinds.push(Some(false));
                    examples.push(example);
                }
                Some(Tokens::Pair(pair)) => {
                    kinds.push(Some(true));
                    let sides = pair.examples();
                    examples.extend([sides.chosen, sides.rejected]);
                }
                None => kinds.push(None),
            }
        }
        if lines.is_empty() {
            break;
        }
        let mut scores = match examples.is_empty() {
            true => Vec::new(),
            false => scorer.scores(&examples),
        }
        .into_iter();
        for (line, kind) in lines.into_iter().zip(kinds) {
            match (kind, scores.as_slice()) {
                (Some(true), [chosen, rejected, ..]) => {
                    let (chosen, rejected) = (*chosen, *rejected);
                    scores.nth(1);
                    let margin = chosen.value() - rejected.value();
                    values.extend([chosen.value(), rejected.value()]);
                    margins.push(margin);
                    rows += 1;
                    each(ScoredRow::Pair {
                        line,
                        chosen,
                        rejected,
                        margin,
                    })?;
                }
                (Some(false), [score, ..]) => {
                    let score = *score;
                    scores.next();
                    values.push(score.value());
                    rows += 1;
                    each(ScoredRow::Single { line, score })?;
                }
                (_, _) => left_out += 1,
            }
        }
    }
    if values.is_empty() {
        return Err(FinetuneError::refused(
            format!(
                "`{}` has no row that can be scored ({left_out} left out)",
                data.display()
            ),
            format!("expected {}", Row::EXPECTED),
        )
        .into());
    }
    Ok(ScoreSummary {
        rows,
        left_out,
        mean: mean(&values),
        pairs: (!margins.is_empty()).then(|| pairs(&margins)),
    })
}

fn pairs(margins: &[f64]) -> PairSummary {
    let right = margins.iter().filter(|margin| **margin > 0.0).count();
    let interval = Tally::new(right as u64, margins.len() as u64)
        .and_then(|tally| proportion_interval(tally, 0.05, ProportionInterval::Wilson));
    let Interval { low, high } = interval.expect("at least one pair");
    PairSummary {
        accuracy: right as f64 / margins.len() as f64,
        accuracy_interval: [low, high],
        margin: mean(margins),
    }
}

/// The row as tokens; none where it is empty or longer than the model's context.
fn tokens(scorer: &Scorer, row: &Row) -> Result<Option<Tokens>, FinetuneError> {
    let words = scorer.words();
    let begin = |prompt: &mut Vec<u32>| {
        if prompt.is_empty() {
            prompt.push(words.first());
        }
    };
    Ok(match row {
        Row::Single(prompt, completion) => {
            let mut example = TokenExample::from(words.preprocessor().example(prompt, completion)?);
            begin(&mut example.prompt);
            let fits = !completion.is_blank() && example.tokens() <= scorer.context();
            fits.then_some(Tokens::Single(example))
        }
        Row::Pair(record) => {
            let (mut pair, _) = words.preprocessor().pair(record)?;
            begin(&mut pair.prompt);
            let said = !record.chosen.is_blank() && !record.rejected.is_blank();
            (said && pair.longest() <= scorer.context()).then_some(Tokens::Pair(pair))
        }
    })
}
