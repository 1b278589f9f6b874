//! Verse: the prompt fixes form, title and rhyme; five criteria say how well they were kept.
//!
//! Section 4 of "3D-Properties" ([arXiv:2406.07327](https://arxiv.org/abs/2406.07327)) trains a model on Chinese verse
//! and scores row number, words per row, rhyme, tone pattern and title. Here a rule scores each of them, for two
//! languages: a generated one of syllables ([`syllables`]), and Chinese poems with a table of tones and rhyme groups
//! ([`characters`], [`poems`]).
//!
//! A prompt is `form|title|rhyme` and a line feed; the answer's rows are separated by line feeds.
//!
//! The criteria are defined in [`score`], the forms in [`form`].

pub mod characters;
pub mod compose;
pub mod form;
pub mod lexicon;
pub mod poems;
pub mod score;
pub mod syllables;

use preflab_config::{VerseForm, VerseSettings, VerseSource};
use preflab_data::Units;

use crate::task::{Prompts, prompt_texts};
use crate::{Prompt, Score, Split, Task, TaskError};
use form::FormRule;
use lexicon::Lexicon;
pub use score::CRITERIA;

/// The task `verse`.
#[derive(Debug)]
pub struct Verse {
    lexicon: Lexicon,
    forms: Vec<NamedForm>,
    units: Units,
    /// Text that every vocabulary must cover, whatever the prompts happen to hold.
    alphabet: Vec<String>,
    prompts: Prompts,
}

/// A form under the name by which prompts ask for it.
#[derive(Debug)]
struct NamedForm {
    name: &'static str,
    rule: FormRule,
}

/// What a prompt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'p> {
    /// The form's name in the language of the prompt.
    pub form: &'p str,
    /// The title, as written.
    pub title: &'p str,
    /// The rhyme group's name.
    pub rhyme: &'p str,
}

impl<'p> Request<'p> {
    /// The text of a prompt.
    pub fn text(&self) -> String {
        let Self { form, title, rhyme } = self;
        format!("{form}|{title}|{rhyme}\n")
    }

    /// Reads the text of a prompt; `None` if it is not one.
    pub fn parse(text: &'p str) -> Option<Self> {
        let mut parts = text.strip_suffix('\n')?.split('|');
        let request = Self {
            form: parts.next()?,
            title: parts.next()?,
            rhyme: parts.next()?,
        };
        parts.next().is_none().then_some(request)
    }
}

impl Verse {
    /// Draws or reads the prompts.
    ///
    /// # Errors
    /// If `forms` is empty or repeats itself, more prompts are asked for than there are, or a file cannot be used.
    pub fn open(settings: &VerseSettings) -> Result<Self, TaskError> {
        let mut forms = settings.forms.clone();
        forms.sort();
        forms.dedup();
        if forms.len() != settings.forms.len() || forms.is_empty() {
            return Err(refused(
                "`forms` must name at least one form, and each only once",
                "for example forms = [\"quatrain5\"]",
            ));
        }
        match &settings.source {
            VerseSource::Generated(generated) => {
                let lexicon = syllables::lexicon();
                let words = lexicon.words().map(|(spelling, _)| spelling.to_owned());
                let alphabet = words.chain(lexicon.groups().to_vec()).collect();
                let prompts = compose::prompts(settings, *generated, &lexicon)?;
                let forms = named(&settings.forms, |form| Some(syllables::form_name(form)))?;
                let units = Units::Pattern {
                    regex: syllables::UNIT.into(),
                };
                Ok(Self {
                    lexicon,
                    forms,
                    units,
                    alphabet,
                    prompts,
                })
            }
            VerseSource::Poems(files) => {
                let forms = named(&settings.forms, poems::form_name)?;
                let lexicon = characters::read(&files.characters)?;
                let prompts = poems::prompts(settings, files, &lexicon)?;
                let units = Units::Characters { min_count: 1 };
                Ok(Self {
                    lexicon,
                    forms,
                    units,
                    alphabet: Vec::new(),
                    prompts,
                })
            }
        }
    }

    /// The words of the language with tones and rhyme groups.
    pub fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// The five criteria of `completion`, in the order of [`CRITERIA`].
    ///
    /// # Panics
    /// If `prompt` is not the text of a prompt of this task.
    pub fn criteria_of(&self, prompt: &str, completion: &str) -> [f64; 5] {
        let request = Request::parse(prompt)
            .unwrap_or_else(|| panic!("`{prompt}` is not a prompt for verse"));
        let form = self
            .forms
            .iter()
            .find(|form| form.name == request.form)
            .unwrap_or_else(|| panic!("`{}` is not a form of this task", request.form));
        score::criteria(&form.rule, &self.lexicon, &request, completion)
    }
}

impl Task for Verse {
    fn name(&self) -> &'static str {
        "verse"
    }

    fn prompts(&self, split: Split) -> &[Prompt] {
        self.prompts.of(split)
    }

    fn criteria(&self) -> &[&'static str] {
        &CRITERIA
    }

    fn score(&self, prompt: &Prompt, completion: &str) -> Score {
        Score::mean_of(self.criteria_of(&prompt.text, completion).to_vec())
    }

    fn units(&self) -> Units {
        self.units.clone()
    }

    fn texts(&self) -> Vec<&str> {
        let prompts = prompt_texts(self);
        prompts
            .chain(self.alphabet.iter().map(String::as_str))
            .collect()
    }
}

fn named(
    forms: &[VerseForm],
    name: impl Fn(VerseForm) -> Option<&'static str>,
) -> Result<Vec<NamedForm>, TaskError> {
    forms
        .iter()
        .map(|&form| match name(form) {
            Some(name) => Ok(NamedForm {
                name,
                rule: FormRule::of(form),
            }),
            None => Err(refused(
                format!(
                    "poems from a file have no form `{}`",
                    syllables::form_name(form)
                ),
                "use quatrain5, quatrain7, regulated5 or regulated7, or the generated language",
            )),
        })
        .collect()
}

/// A setting of this task that cannot be.
fn refused(problem: impl Into<String>, hint: impl Into<String>) -> TaskError {
    TaskError::Settings {
        task: "verse",
        problem: problem.into(),
        hint: hint.into(),
    }
}
