//! Generated problems: a number changed step by step, told as a story.
//!
//! `Ann has 12, gets 7, loses 5, triples.` asks for `12+7=19`, `19-5=14`, `14*3=42`, `#42`. The other distribution tells it
//! with the name before every step, a wording never trained on: `Ann has 12, Ann gets 7, Ann loses 5, Ann triples.`
//!
//! A number is one token, so that a small model learns sums as it would learn words, within minutes.

use std::collections::BTreeSet;

use preflab_config::{ArithmeticSettings, GeneratedArithmetic, Span};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::refused;
use super::rubric::{Solution, Step};
use crate::task::Prompts;
use crate::{Prompt, Split, TaskError};

/// The regular expression of one unit of text: a word with the blank after it, a number, a comma with its blank; signs
/// stand alone.
pub const UNIT: &str = "[A-Za-z]+ ?|[0-9]+|, ";

const NAMES: [&str; 6] = ["Ann", "Ben", "Cal", "Dee", "Eve", "Fay"];
const ADDING: [&str; 2] = ["gets", "finds"];
const TAKING: [&str; 2] = ["loses", "gives"];
const DOUBLING: &str = "doubles";
const TRIPLING: &str = "triples";

/// Text that holds every unit of problems with numbers up to `largest`.
pub fn alphabet(largest: u32) -> Vec<String> {
    let words = NAMES
        .iter()
        .chain(&ADDING)
        .chain(&TAKING)
        .chain(&["has"])
        .map(|word| format!("{word} "));
    let numbers = (0..=largest).map(|number| number.to_string());
    let others = [DOUBLING, TRIPLING, ", ", "+", "-", "*", "=", "#", ".", "\n"].map(str::to_owned);
    words.chain(numbers).chain(others).collect()
}

/// Numbers that no setting exceeds, so that sums stay exact and short.
const MOST: u32 = 1_000_000;

/// What problems are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranges {
    /// Steps of a problem.
    pub steps: Span,
    /// Numbers added and taken away.
    pub operands: Span,
    /// No number on the way is larger.
    pub largest: u32,
}

/// A change of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Something is added.
    Add(u32),
    /// Something is taken away.
    Take(u32),
    /// It is multiplied, by 2 or 3.
    Multiply(u32),
}

impl Change {
    /// The number after the change; `None` below 0 and above [`MOST`].
    fn apply(self, total: u32) -> Option<u32> {
        let changed = match self {
            Self::Add(operand) => total.checked_add(operand),
            Self::Take(operand) => total.checked_sub(operand),
            Self::Multiply(factor) => total.checked_mul(factor),
        };
        changed.filter(|&changed| changed <= MOST)
    }

    /// The left side of its calculation.
    fn left(self, total: u32) -> String {
        match self {
            Self::Add(operand) => format!("{total}+{operand}"),
            Self::Take(operand) => format!("{total}-{operand}"),
            Self::Multiply(factor) => format!("{total}*{factor}"),
        }
    }
}

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The number at the start.
    pub start: u32,
    /// What happens to it.
    pub changes: Vec<Change>,
}

/// A fault of a reference answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The result alone: 4 points.
    NoWorking,
    /// One step left out: 4 points.
    StepLeftOut,
    /// One step comes to a wrong number, with which the rest goes on: 1 to 3 points.
    Slip,
}

impl Fault {
    const ALL: [Self; 3] = [Self::NoWorking, Self::StepLeftOut, Self::Slip];
}

impl Chain {
    /// Draws a problem that needs no calculation twice.
    pub fn draw(ranges: Ranges, random: &mut impl Rng) -> Self {
        loop {
            let count = random.random_range(ranges.steps.range());
            let chain = Self::walk(count, ranges, random);
            if chain.solution().steps.len() == chain.changes.len() {
                return chain;
            }
        }
    }

    fn walk(count: u32, ranges: Ranges, random: &mut impl Rng) -> Self {
        let start = random.random_range(1..=ranges.largest / 2);
        let mut total = start;
        let mut changes = Vec::new();
        while changes.len() < count as usize {
            let operand = random.random_range(ranges.operands.range());
            let change = match random.random_range(0..5) {
                0 | 1 => Change::Add(operand),
                2 | 3 => Change::Take(operand),
                _ if total > 0 => Change::Multiply(random.random_range(2..=3)),
                _ => continue,
            };
            if let Some(changed) = change
                .apply(total)
                .filter(|&changed| changed <= ranges.largest)
            {
                total = changed;
                changes.push(change);
            }
        }
        Self { start, changes }
    }

    /// The calculations, with a slip of `slip.1` at step `slip.0`; `None` if one comes to a number above `largest`.
    fn lines(&self, slip: Option<(usize, i64)>, largest: u32) -> Option<(Vec<String>, u32)> {
        let mut total = self.start;
        let mut lines = Vec::new();
        for (i, change) in self.changes.iter().enumerate() {
            let left = change.left(total);
            total = change.apply(total).filter(|&total| total <= largest)?;
            if let Some((_, by)) = slip.filter(|(step, _)| *step == i) {
                total = u32::try_from(i64::from(total) + by)
                    .ok()
                    .filter(|&total| total <= largest)?;
            }
            lines.push(format!("{left}={total}"));
        }
        Some((lines, total))
    }

    /// The right answer.
    pub fn answer(&self) -> String {
        let (lines, result) = self.lines(None, MOST).expect("a chain stays in range");
        joined(&lines, result)
    }

    /// An answer with a fault, its numbers up to `largest`.
    pub fn faulty_answer(&self, fault: Fault, largest: u32, random: &mut impl Rng) -> String {
        let (mut lines, result) = self.lines(None, MOST).expect("a chain stays in range");
        match fault {
            Fault::NoWorking => joined(&[], result),
            Fault::StepLeftOut => {
                lines.remove(random.random_range(0..lines.len()));
                joined(&lines, result)
            }
            Fault::Slip => {
                let (lines, result) = loop {
                    let size = random.random_range(1..=9);
                    let by = if random.random_bool(0.5) { size } else { -size };
                    let step = random.random_range(0..self.changes.len());
                    // A slip that leaves the range is drawn again; one at the last step never has to be.
                    if let Some(answer) = self.lines(Some((step, by)), largest) {
                        break answer;
                    }
                };
                joined(&lines, result)
            }
        }
    }

    /// What a right answer has.
    pub fn solution(&self) -> Solution {
        let mut total = self.start;
        let mut steps: Vec<Step> = Vec::new();
        for change in &self.changes {
            let left = Some(change.left(total));
            total = change.apply(total).expect("a chain stays in range");
            let step = Step {
                left,
                value: total.into(),
            };
            if !steps.contains(&step) {
                steps.push(step);
            }
        }
        Solution {
            steps,
            result: total.into(),
        }
    }

    /// Tells the problem.
    fn tell(&self, random: &mut impl Rng, is_shifted: bool) -> String {
        let name = NAMES.choose(random).expect("some names");
        let separator = if is_shifted {
            format!(", {name} ")
        } else {
            ", ".into()
        };
        let mut parts = vec![format!("{name} has {}", self.start)];
        for change in &self.changes {
            parts.push(match change {
                Change::Add(operand) => {
                    format!("{} {operand}", ADDING.choose(random).expect("some verbs"))
                }
                Change::Take(operand) => {
                    format!("{} {operand}", TAKING.choose(random).expect("some verbs"))
                }
                Change::Multiply(2) => DOUBLING.into(),
                Change::Multiply(_) => TRIPLING.into(),
            });
        }
        format!("{}.\n", parts.join(&separator))
    }

    /// Reads a story back; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text
            .split([' ', ',', '.', '\n'])
            .filter(|word| !word.is_empty())
            .collect();
        let mut words = words.into_iter().filter(|word| !NAMES.contains(word));
        let (Some("has"), Some(start)) = (words.next(), words.next()) else {
            return None;
        };
        let mut chain = Self {
            start: start.parse().ok()?,
            changes: Vec::new(),
        };
        let mut total = chain.start;
        while let Some(verb) = words.next() {
            let mut operand = || words.next().and_then(|word| word.parse().ok());
            let change = match verb {
                DOUBLING => Change::Multiply(2),
                TRIPLING => Change::Multiply(3),
                verb if ADDING.contains(&verb) => Change::Add(operand()?),
                verb if TAKING.contains(&verb) => Change::Take(operand()?),
                _ => return None,
            };
            total = change.apply(total)?;
            chain.changes.push(change);
        }
        (!chain.changes.is_empty()).then_some(chain)
    }
}

fn joined(lines: &[String], result: u32) -> String {
    let working: String = lines.iter().map(|line| format!("{line}\n")).collect();
    format!("{working}#{result}")
}

/// Draws the problems of all splits, none twice.
///
/// # Errors
/// If the ranges leave no problem or fewer different ones than asked for.
pub fn prompts(
    settings: &ArithmeticSettings,
    generated: &GeneratedArithmetic,
) -> Result<Prompts, TaskError> {
    check(generated)?;
    let mut told = BTreeSet::new();
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut split = |split: Split, count: usize| -> Result<Vec<Prompt>, TaskError> {
        let is_shifted = split == Split::Shifted;
        let (steps, operands) = if is_shifted {
            (generated.shifted_steps, generated.shifted_operands)
        } else {
            (generated.steps, generated.operands)
        };
        let largest = generated.largest.get() as u32;
        let ranges = Ranges {
            steps,
            operands,
            largest,
        };
        let mut prompts = Vec::with_capacity(count);
        let mut misses = 0;
        while prompts.len() < count {
            let chain = Chain::draw(ranges, &mut random);
            let text = chain.tell(&mut random, is_shifted);
            if !told.insert(text.clone()) {
                misses += 1;
                if misses > 20 * count + 1000 {
                    return Err(refused(
                        format!(
                            "{count} different {split:?} problems are asked for, and the ranges have hardly {}",
                            prompts.len()
                        ),
                        "widen `steps` or `operands`, or ask for fewer prompts",
                    ));
                }
                continue;
            }
            let id = split.id(prompts.len());
            let reference = reference(&chain, id, generated, settings.seed);
            prompts.push(Prompt {
                id,
                text,
                reference,
            });
        }
        Ok(prompts)
    };
    // The smaller splits first, so that more training prompts do not change the tests.
    let test = split(Split::Test, settings.test_prompts.get())?;
    let shifted = split(Split::Shifted, settings.shifted_prompts.get())?;
    let validation = split(Split::Validation, settings.validation_prompts.get())?;
    let train = split(Split::Train, settings.train_prompts.get())?;
    Ok(Prompts {
        train,
        validation,
        test,
        shifted,
    })
}

/// Ranges from which problems can be drawn.
fn check(generated: &GeneratedArithmetic) -> Result<(), TaskError> {
    let largest = generated.largest.get();
    if !(10..=999).contains(&largest) {
        return Err(refused(
            format!("`largest` is {largest}"),
            "numbers run from 0 to a number from 10 to 999",
        ));
    }
    for (name, steps) in [
        ("steps", generated.steps),
        ("shifted_steps", generated.shifted_steps),
    ] {
        if steps.low() == 0 || steps.high() > 8 {
            return Err(refused(
                format!("`{name}` is [{}, {}]", steps.low(), steps.high()),
                "a problem has from 1 to 8 steps",
            ));
        }
    }
    for (name, operands) in [
        ("operands", generated.operands),
        ("shifted_operands", generated.shifted_operands),
    ] {
        if operands.low() == 0 || operands.high() as usize > largest / 2 {
            return Err(refused(
                format!("`{name}` is [{}, {}]", operands.low(), operands.high()),
                format!(
                    "numbers run from 0 to {largest}: operands from 1 to {} can always be added or taken away",
                    largest / 2
                ),
            ));
        }
    }
    Ok(())
}

fn reference(chain: &Chain, id: u64, generated: &GeneratedArithmetic, seed: u64) -> String {
    // Stream 0 draws the problems.
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(id + 1);
    if random.random_bool(generated.corruption.get()) {
        let fault = *Fault::ALL.choose(&mut random).expect("some faults");
        chain.faulty_answer(fault, generated.largest.get() as u32, &mut random)
    } else {
        chain.answer()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rubric::mark;
    use super::*;

    fn chain() -> Chain {
        Chain {
            start: 12,
            changes: vec![Change::Add(7), Change::Take(5), Change::Multiply(3)],
        }
    }

    #[test]
    fn a_story_and_its_answer_are_as_documented() {
        assert_eq!(
            Chain::parse("Ann has 12, gets 7, loses 5, triples.\n"),
            Some(chain())
        );
        assert_eq!(
            Chain::parse("Ann has 12, Ann finds 7, Ann gives 5, Ann triples.\n"),
            Some(chain())
        );
        assert_eq!(chain().answer(), "12+7=19\n19-5=14\n14*3=42\n#42");
    }

    #[test]
    fn what_is_no_story_is_not_read() {
        for text in [
            "",
            "Ann has\n",
            "Ann has 12.\n",
            "Ann has 12, eats 7.\n",
            "Ann has 12, gets.\n",
            "Ann has 2, loses 3.\n",
        ] {
            assert_eq!(Chain::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn stories_are_read_back_and_right_answers_get_five_points(seed: u64, is_shifted: bool, high in 1..6u32) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let drawn = Chain::draw(Ranges { steps: Span::of(1, high), operands: Span::of(1, 19), largest: 60 }, &mut random);
            let story = drawn.tell(&mut random, is_shifted);
            let read = Chain::parse(&story).unwrap();
            prop_assert_eq!(&read, &drawn);
            prop_assert_eq!(mark(&read.solution(), &drawn.answer()).points, 5);
        }

        #[test]
        fn faults_cost_their_points(seed: u64) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let chain = Chain::draw(Ranges { steps: Span::of(2, 4), operands: Span::of(1, 9), largest: 50 }, &mut random);
            let mut points = |fault| mark(&chain.solution(), &chain.faulty_answer(fault, 50, &mut random)).points;
            prop_assert_eq!(points(Fault::NoWorking), 4);
            prop_assert_eq!(points(Fault::StepLeftOut), 4);
            let slipped = points(Fault::Slip);
            prop_assert!((1..=3).contains(&slipped), "{}", slipped);
        }
    }
}
