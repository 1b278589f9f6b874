//! Prompts and reference verses of the generated language.
//!
//! A reference is composed to keep all five criteria, then breaks each of them with the probability in the settings.
//! Each way of breaking lowers its own criterion and no other.

use std::collections::BTreeSet;

use preflab_config::{GeneratedVerse, VerseForm, VerseSettings};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::form::{FormRule, Wanted};
use super::lexicon::{Lexicon, Tone};
use super::syllables::{self, RIMES, Syllable, form_name};
use super::{Request, refused};
use crate::task::Prompts;
use crate::{Prompt, Split, TaskError};

/// A way of breaking one criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// A row too many.
    Rows,
    /// A word too many in some rows, before the last.
    Words,
    /// Some rows that must rhyme end on a word of another group, in the same tone.
    Rhyme,
    /// Some places have the other tone, in the same rhyme group.
    Tone,
    /// Some words of the title are never said.
    Title,
}

impl Break {
    /// Every way, in the order of [`super::CRITERIA`].
    pub const ALL: [Self; 5] = [
        Self::Rows,
        Self::Words,
        Self::Rhyme,
        Self::Tone,
        Self::Title,
    ];
}

/// Draws the prompts of all splits with their references.
///
/// # Errors
/// If more prompts are asked for than half of those there are: they are drawn without repetition.
pub fn prompts(
    settings: &VerseSettings,
    generated: GeneratedVerse,
    lexicon: &Lexicon,
) -> Result<Prompts, TaskError> {
    let composer = Composer::new();
    let words = composer.syllables.len();
    let room = settings.forms.len() * RIMES.len() * words * words;
    let (train, validation, test) = (
        settings.train_prompts.get(),
        settings.validation_prompts.get(),
        settings.test_prompts.get(),
    );
    if (train + validation + test) * 2 > room {
        return Err(refused(
            format!(
                "{} prompts are asked for, and the language has {room} different ones",
                train + validation + test
            ),
            format!("ask for {} prompts at most, or for more forms", room / 2),
        ));
    }
    assert_eq!(
        lexicon.groups().len(),
        RIMES.len(),
        "the composer's own language"
    );

    let mut asked = BTreeSet::new();
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut split = |split: Split, count: usize| {
        (0..count)
            .map(|index| {
                let topic = loop {
                    let topic = composer.topic(&settings.forms, &mut random);
                    if asked.insert(topic.clone()) {
                        break topic;
                    }
                };
                composer.prompt(
                    split.id(index),
                    &topic,
                    generated.corruption.get(),
                    settings.seed,
                )
            })
            .collect()
    };
    // The smaller splits first, so that more training prompts do not change the test.
    let test = split(Split::Test, test);
    let validation = split(Split::Validation, validation);
    let train = split(Split::Train, train);
    Ok(Prompts {
        train,
        validation,
        test,
        shifted: Vec::new(),
    })
}

/// What a poem is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Topic {
    /// Its form.
    pub form: VerseForm,
    /// The syllables of its title, one or two different ones.
    pub title: Vec<usize>,
    /// Its rhyme group.
    pub rime: usize,
}

/// Writes verse in the generated language.
#[derive(Debug)]
pub struct Composer {
    syllables: Vec<Syllable>,
}

/// A poem being written: rows of indices into the syllables.
type Draft = Vec<Vec<usize>>;

impl Composer {
    /// A composer with every syllable.
    #[allow(
        clippy::new_without_default,
        reason = "there is one language, not a default one"
    )]
    pub fn new() -> Self {
        Self {
            syllables: syllables::all(),
        }
    }

    /// A topic drawn uniformly: the form, a title of one or two syllables, a rhyme group.
    pub fn topic(&self, forms: &[VerseForm], random: &mut impl Rng) -> Topic {
        let form = *forms.choose(random).expect("at least one form");
        let length = random.random_range(1..=2);
        let title = rand::seq::index::sample(random, self.syllables.len(), length).into_vec();
        let rime = random.random_range(0..RIMES.len());
        Topic { form, title, rime }
    }

    fn prompt(&self, id: u64, topic: &Topic, corruption: f64, seed: u64) -> Prompt {
        // Stream 0 draws the topics.
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(id + 1);
        let breaks = Break::ALL.map(|_| random.random_bool(corruption));
        let breaks: Vec<Break> = Break::ALL
            .into_iter()
            .zip(breaks)
            .filter(|(_, yes)| *yes)
            .map(|(b, _)| b)
            .collect();
        Prompt {
            id,
            text: self.text(topic),
            reference: self.verse(topic, &breaks, &mut random),
        }
    }

    /// The prompt that asks for `topic`.
    pub fn text(&self, topic: &Topic) -> String {
        Request {
            form: form_name(topic.form),
            title: &self.spell(&topic.title),
            rhyme: RIMES[topic.rime],
        }
        .text()
    }

    /// A verse on `topic` that keeps every criterion but those in `breaks`. What the form leaves open cannot be broken.
    pub fn verse(&self, topic: &Topic, breaks: &[Break], random: &mut impl Rng) -> String {
        let writing = Writing {
            composer: self,
            rule: FormRule::of(topic.form),
            topic,
        };
        let draft = loop {
            let draft = writing.write(breaks, random);
            let different: BTreeSet<&Vec<usize>> = draft.iter().collect();
            if different.len() == draft.len() {
                break draft;
            }
        };
        draft
            .iter()
            .map(|row| self.spell(row))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn spell(&self, words: &[usize]) -> String {
        words
            .iter()
            .map(|&word| self.syllables[word].spelling.as_str())
            .collect()
    }

    /// A syllable among those allowed, by weight.
    fn draw(&self, random: &mut impl Rng, allowed: impl Fn(usize) -> bool) -> usize {
        let candidates: Vec<usize> = (0..self.syllables.len())
            .filter(|&word| allowed(word))
            .collect();
        *candidates
            .choose_weighted(random, |&word| self.syllables[word].weight)
            .expect("some syllable is always allowed: every tone and rhyme group has eight")
    }

    fn fits(&self, word: usize, wanted: Wanted) -> bool {
        match wanted {
            Wanted::Level => self.syllables[word].tone == Tone::Level,
            Wanted::Oblique => self.syllables[word].tone == Tone::Oblique,
            Wanted::Any => true,
        }
    }
}

/// One poem's composition.
struct Writing<'a> {
    composer: &'a Composer,
    rule: FormRule,
    topic: &'a Topic,
}

impl Writing<'_> {
    fn write(&self, breaks: &[Break], random: &mut impl Rng) -> Draft {
        let unsaid = if breaks.contains(&Break::Title) {
            self.unsaid(random)
        } else {
            Vec::new()
        };
        let tones = self.tones(random);
        let mut draft = self.perfect(&tones, &unsaid, random);
        for &way in breaks {
            match way {
                Break::Tone => self.break_tone(&mut draft, &tones, &unsaid, random),
                Break::Rhyme => self.break_rhyme(&mut draft, &unsaid, random),
                Break::Words | Break::Rows | Break::Title => {}
            }
        }
        // Rows grow only after everything that counts places.
        if breaks.contains(&Break::Words) {
            self.break_words(&mut draft, &unsaid, random);
        }
        if breaks.contains(&Break::Rows) {
            self.break_rows(&mut draft, &unsaid, random);
        }
        draft
    }

    /// The tone of every place: one of the form's patterns; open forms get their row lengths here.
    fn tones(&self, random: &mut impl Rng) -> Vec<Vec<Wanted>> {
        if let Some(pattern) = self.rule.patterns.choose(random) {
            return pattern.clone();
        }
        let rows = random.random_range(self.rule.rows.clone());
        (0..rows)
            .map(|row| vec![Wanted::Any; random.random_range(self.rule.words(row))])
            .collect()
    }

    /// The words of the title to keep silent: at least one.
    fn unsaid(&self, random: &mut impl Rng) -> Vec<usize> {
        let mut title = self.topic.title.clone();
        title.shuffle(random);
        title.truncate(random.random_range(1..=title.len()));
        title
    }

    fn perfect(&self, tones: &[Vec<Wanted>], unsaid: &[usize], random: &mut impl Rng) -> Draft {
        let mut slots: Vec<Vec<Option<usize>>> =
            tones.iter().map(|row| vec![None; row.len()]).collect();
        let is_rhyme = |row: usize, place: usize| {
            self.rule.rhyming.contains(&row) && place + 1 == tones[row].len()
        };
        for &word in self
            .topic
            .title
            .iter()
            .filter(|word| !unsaid.contains(word))
        {
            let open: Vec<(usize, usize)> = places(tones)
                .filter(|&(row, place)| slots[row][place].is_none() && !is_rhyme(row, place))
                .filter(|&(row, place)| self.composer.fits(word, tones[row][place]))
                .collect();
            let &(row, place) = open
                .choose(random)
                .expect("every form has places that any title word fits");
            slots[row][place] = Some(word);
        }
        let mut ends = Vec::new();
        for (row, place) in places(tones) {
            if slots[row][place].is_some() {
                continue;
            }
            let word = self.composer.draw(random, |word| {
                let rhymes =
                    self.composer.syllables[word].rime == self.topic.rime && !ends.contains(&word);
                self.composer.fits(word, tones[row][place])
                    && !unsaid.contains(&word)
                    && slots[row]
                        .iter()
                        .filter(|&&other| other == Some(word))
                        .count()
                        < 2
                    && (rhymes || !is_rhyme(row, place))
            });
            if is_rhyme(row, place) {
                ends.push(word);
            }
            slots[row][place] = Some(word);
        }
        slots
            .into_iter()
            .map(|row| {
                row.into_iter()
                    .map(|word| word.expect("every place is filled"))
                    .collect()
            })
            .collect()
    }

    /// Flips the tone of up to a third of the fixed places, so that the pattern broken stays the nearest one.
    fn break_tone(
        &self,
        draft: &mut Draft,
        tones: &[Vec<Wanted>],
        unsaid: &[usize],
        random: &mut impl Rng,
    ) {
        let mut fixed: Vec<(usize, usize)> = places(tones)
            .filter(|&(row, place)| tones[row][place] != Wanted::Any)
            .collect();
        let most = (fixed.len() / 3).max(1);
        fixed.shuffle(random);
        let mut left = random.random_range(1..=most);
        for (row, place) in fixed {
            let word = draft[row][place];
            let twin = word ^ 1;
            let free = !self.topic.title.contains(&word)
                && !unsaid.contains(&twin)
                && draft[row].iter().filter(|&&other| other == twin).count() < 2;
            if left > 0 && free {
                draft[row][place] = twin;
                left -= 1;
            }
        }
    }

    fn break_rhyme(&self, draft: &mut Draft, unsaid: &[usize], random: &mut impl Rng) {
        let mut rows = self.rule.rhyming.clone();
        rows.shuffle(random);
        let broken = if rows.is_empty() {
            0
        } else {
            random.random_range(1..=rows.len())
        };
        for &row in &rows[..broken] {
            let last = draft[row].len() - 1;
            let tone = self.composer.syllables[draft[row][last]].tone;
            let start = draft[row][..last].to_vec();
            draft[row][last] = self.composer.draw(random, |word| {
                let syllable = &self.composer.syllables[word];
                syllable.tone == tone
                    && syllable.rime != self.topic.rime
                    && !unsaid.contains(&word)
                    && start.iter().filter(|&&other| other == word).count() < 2
            });
        }
    }

    fn break_words(&self, draft: &mut Draft, unsaid: &[usize], random: &mut impl Rng) {
        let mut rows: Vec<usize> = (0..draft.len()).collect();
        rows.shuffle(random);
        rows.truncate(random.random_range(1..=rows.len()));
        for row in rows {
            while self.rule.words(row).contains(&draft[row].len()) {
                let word = self.any_word(&draft[row], unsaid, random);
                let before_last = draft[row].len() - 1;
                draft[row].insert(before_last, word);
            }
        }
    }

    fn break_rows(&self, draft: &mut Draft, unsaid: &[usize], random: &mut impl Rng) {
        while self.rule.rows.contains(&draft.len()) {
            let length = random.random_range(self.rule.words(draft.len()));
            let mut row = Vec::new();
            while row.len() < length {
                row.push(self.any_word(&row, unsaid, random));
            }
            draft.push(row);
        }
    }

    fn any_word(&self, row: &[usize], unsaid: &[usize], random: &mut impl Rng) -> usize {
        self.composer.draw(random, |word| {
            !unsaid.contains(&word) && row.iter().filter(|&&other| other == word).count() < 2
        })
    }
}

/// Every place in reading order.
fn places(tones: &[Vec<Wanted>]) -> impl Iterator<Item = (usize, usize)> + '_ {
    tones
        .iter()
        .enumerate()
        .flat_map(|(row, wanted)| (0..wanted.len()).map(move |place| (row, place)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::score;
    use super::*;

    fn criteria(topic: &Topic, text: &str) -> [f64; 5] {
        let composer = Composer::new();
        let prompt = composer.text(topic);
        let request = Request::parse(&prompt).unwrap();
        score::criteria(
            &FormRule::of(topic.form),
            &syllables::lexicon(),
            &request,
            text,
        )
    }

    fn composed(form: VerseForm, seed: u64, breaks: &[Break]) -> (Topic, String) {
        let composer = Composer::new();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let topic = composer.topic(&[form], &mut random);
        let verse = composer.verse(&topic, breaks, &mut random);
        (topic, verse)
    }

    /// Whether the form asks for anything that `way` could break.
    fn can_break(form: VerseForm, way: Break) -> bool {
        let rule = FormRule::of(form);
        match way {
            Break::Rows | Break::Words | Break::Title => true,
            Break::Rhyme => !rule.rhyming.is_empty(),
            Break::Tone => !rule.patterns.is_empty(),
        }
    }

    proptest! {
        #[test]
        fn an_unbroken_verse_is_perfect(seed: u64, form in prop::sample::select(VerseForm::ALL.to_vec())) {
            let (topic, verse) = composed(form, seed, &[]);
            prop_assert_eq!(criteria(&topic, &verse), [1.0; 5], "{}", verse);
        }

        #[test]
        fn each_way_of_breaking_lowers_its_own_criterion_alone(
            seed: u64,
            form in prop::sample::select(VerseForm::ALL.to_vec()),
            which in 0..5usize,
        ) {
            let way = Break::ALL[which];
            prop_assume!(can_break(form, way));
            let (topic, verse) = composed(form, seed, &[way]);
            for (i, value) in criteria(&topic, &verse).into_iter().enumerate() {
                prop_assert_eq!(value < 1.0, i == which, "criterion {} is {} in\n{}", i, value, verse);
            }
        }

        #[test]
        fn ways_of_breaking_do_not_mend_each_other(seed: u64, form in prop::sample::select(VerseForm::ALL.to_vec())) {
            let (topic, verse) = composed(form, seed, &Break::ALL);
            for (value, way) in criteria(&topic, &verse).into_iter().zip(Break::ALL) {
                prop_assert_eq!(value < 1.0, can_break(form, way), "{:?} is {} in\n{}", way, value, verse);
            }
        }

        #[test]
        fn any_text_scores_within_bounds(
            seed: u64,
            form in prop::sample::select(VerseForm::ALL.to_vec()),
            text in "([A-Z][a-z]{0,2}|\n|h|\\|| |月){0,60}",
        ) {
            let (topic, _) = composed(form, seed, &[]);
            for value in criteria(&topic, &text) {
                prop_assert!((0.0..=1.0).contains(&value));
            }
        }
    }
}
