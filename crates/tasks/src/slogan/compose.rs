//! Prompts and reference slogans.
//!
//! A reference keeps both criteria, then breaks each of them with the probability in the settings; each way of breaking
//! lowers its own criterion and not the other.

use std::collections::BTreeSet;

use preflab_config::SloganSettings;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::words::{CONTENT, Class};
use super::{Request, refused};
use crate::task::Prompts;
use crate::{Prompt, Split, TaskError};

/// The numbers of words that prompts may ask for.
pub const COUNTS: [&str; 12] = [
    "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12",
];

/// A way of breaking one criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// A word or two too many or too few.
    WordCount,
    /// Some asked words are not said.
    ContentWords,
}

impl Break {
    /// Every way, in the order of [`super::CRITERIA`].
    pub const ALL: [Self; 2] = [Self::WordCount, Self::ContentWords];
}

/// Draws the prompts of all splits, none twice.
///
/// # Errors
/// If the ranges do not fit together or leave fewer prompts than asked for.
pub fn prompts(settings: &SloganSettings) -> Result<Prompts, TaskError> {
    let (words, content) = (settings.words, settings.content_words);
    if words.low() < 3 || words.high() as usize > COUNTS.len() {
        return Err(refused(
            format!("`words` is [{}, {}]", words.low(), words.high()),
            format!("a slogan has from 3 to {} words", COUNTS.len()),
        ));
    }
    if content.low() == 0 || content.high() > 3 || content.high() * 3 > words.low() {
        return Err(refused(
            format!(
                "`content_words` is [{}, {}] in slogans of {} words or more",
                content.low(),
                content.high(),
                words.low()
            ),
            "ask for 1 to 3 content words, and at most a third of the words",
        ));
    }
    let mut asked = BTreeSet::new();
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut split = |split: Split, count: usize| -> Result<Vec<Prompt>, TaskError> {
        let mut prompts = Vec::with_capacity(count);
        let mut misses = 0;
        while prompts.len() < count {
            let request = draw(settings, &mut random);
            let text = request.text();
            if !asked.insert(text.clone()) {
                misses += 1;
                if misses > 20 * count + 1000 {
                    return Err(refused(
                        format!(
                            "{count} different {split:?} prompts are asked for, and the ranges have hardly {}",
                            prompts.len()
                        ),
                        "widen `words` or `content_words`, or ask for fewer prompts",
                    ));
                }
                continue;
            }
            let id = split.id(prompts.len());
            // Stream 0 draws the prompts.
            let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
            random.set_stream(id + 1);
            let breaks = Break::ALL.map(|way| (way, random.random_bool(settings.corruption.get())));
            let breaks: Vec<Break> = breaks
                .into_iter()
                .filter(|(_, yes)| *yes)
                .map(|(way, _)| way)
                .collect();
            let reference = slogan(&request, &breaks, &mut random);
            prompts.push(Prompt {
                id,
                text,
                reference,
            });
        }
        Ok(prompts)
    };
    // The smaller splits first, so that more training prompts do not change the test.
    let test = split(Split::Test, settings.test_prompts.get())?;
    let validation = split(Split::Validation, settings.validation_prompts.get())?;
    let train = split(Split::Train, settings.train_prompts.get())?;
    Ok(Prompts {
        train,
        validation,
        test,
        shifted: Vec::new(),
    })
}

/// A request drawn uniformly.
fn draw(settings: &SloganSettings, random: &mut impl Rng) -> Request<'static> {
    let words = random.random_range(settings.words.range()) as usize;
    let count = random.random_range(settings.content_words.range()) as usize;
    let mut content: Vec<&str> = CONTENT
        .iter()
        .flat_map(|class| class.words())
        .copied()
        .collect();
    content.shuffle(random);
    content.truncate(count);
    Request { words, content }
}

/// A slogan for `request` that keeps every criterion but those in `breaks`.
pub fn slogan(request: &Request<'_>, breaks: &[Break], random: &mut impl Rng) -> String {
    let mut silent: Vec<&str> = Vec::new();
    if breaks.contains(&Break::ContentWords) {
        silent = request.content.clone();
        silent.shuffle(random);
        silent.truncate(random.random_range(1..=silent.len()));
    }
    let said: Vec<&str> = request
        .content
        .iter()
        .copied()
        .filter(|word| !silent.contains(word))
        .collect();
    let length = if breaks.contains(&Break::WordCount) {
        let off = random.random_range(1..=2);
        // A slogan with few words has no room for fewer.
        let fewer = request.words.saturating_sub(off);
        if fewer >= 3 * said.len().max(1) && random.random_bool(0.5) {
            fewer
        } else {
            request.words + off
        }
    } else {
        request.words
    };
    loop {
        if let Some(words) = fill(&classes(length, random), &said, &silent, random) {
            return words.concat();
        }
    }
}

/// The classes of a slogan of `length` words: a walk through the followers that ends where a slogan may.
fn classes(length: usize, random: &mut impl Rng) -> Vec<Class> {
    loop {
        let mut classes = vec![Class::Verb];
        while classes.len() < length {
            let followers = classes[classes.len() - 1].followers();
            classes.push(*followers.choose(random).expect("every class has followers"));
        }
        if classes[length - 1].may_end() {
            return classes;
        }
    }
}

/// Words for the classes, all different: the said ones at places of their class, none of the silent ones. `None` if
/// there is no place for them.
fn fill<'w>(
    classes: &[Class],
    said: &[&'w str],
    silent: &[&str],
    random: &mut impl Rng,
) -> Option<Vec<&'w str>> {
    let mut words: Vec<Option<&'w str>> = vec![None; classes.len()];
    for word in said {
        let open: Vec<usize> = (0..classes.len())
            .filter(|&place| {
                words[place].is_none()
                    && CONTENT.contains(&classes[place])
                    && classes[place].words().contains(word)
            })
            .collect();
        words[*open.choose(random)?] = Some(word);
    }
    for place in 0..classes.len() {
        if words[place].is_none() {
            let free: Vec<&'static str> = classes[place]
                .words()
                .iter()
                .copied()
                .filter(|word| !words.contains(&Some(word)) && !silent.contains(word))
                .collect();
            words[place] = Some(free.choose(random)?);
        }
    }
    words.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use preflab_config::Span;
    use proptest::prelude::*;

    use super::super::criteria;
    use super::*;

    fn drawn(seed: u64, breaks: &[Break]) -> (String, [f64; 2]) {
        let settings = SloganSettings {
            words: Span::of(9, 12),
            content_words: Span::of(1, 3),
            ..SloganSettings::default()
        };
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let request = draw(&settings, &mut random);
        let slogan = slogan(&request, breaks, &mut random);
        let text = request.text();
        let criteria = criteria(&Request::parse(&text).unwrap(), &slogan);
        (format!("{text}{slogan}"), criteria)
    }

    proptest! {
        #[test]
        fn an_unbroken_slogan_is_perfect(seed: u64) {
            let (text, criteria) = drawn(seed, &[]);
            prop_assert_eq!(criteria, [1.0; 2], "{}", text);
        }

        #[test]
        fn each_way_of_breaking_lowers_its_own_criterion_alone(seed: u64, which in 0..2usize) {
            let (text, criteria) = drawn(seed, &[Break::ALL[which]]);
            for (i, value) in criteria.into_iter().enumerate() {
                prop_assert_eq!(value < 1.0, i == which, "criterion {} is {} in {}", i, value, text);
            }
        }
    }
}
