//! Text to token ids and back.

mod special;
mod train;

use std::path::{Path, PathBuf};

pub use special::Special;
use tokenizers::{Encoding, Tokenizer as HuggingFace};
pub use train::Units;

use serde_json::Value;

use crate::chat_template::{CONFIG, JINJA, read_config, read_if_exists};
use crate::{ChatTemplate, DataError};

/// A Hugging Face `tokenizers` object together with the tokens that end, start and pad a sequence.
///
/// [`Tokenizer::train`] makes one, [`Tokenizer::save`] writes `tokenizer.json` and `tokenizer_config.json`, which
/// `transformers` and [`Tokenizer::load`] read.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: HuggingFace,
    special: Special,
    /// What it was read with, so that nothing of it is lost when it is saved.
    companions: Companions,
}

/// Files beside `tokenizer.json`.
#[derive(Debug, Clone, Default)]
struct Companions {
    directory: PathBuf,
    /// `tokenizer_config.json`.
    config: Option<Value>,
    /// `chat_template.jinja`.
    template: Option<String>,
}

impl Tokenizer {
    /// Trains a tokenizer on `texts`; its ids do not depend on threads or on the order of a hash map.
    ///
    /// Ids 0 to 3 are `<pad>`, `<bos>`, `<eos>` and `<unk>`.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] if the units' pattern is not a regular expression or the texts are empty.
    pub fn train<S: AsRef<str>>(
        texts: impl IntoIterator<Item = S>,
        units: &Units,
    ) -> Result<Self, DataError> {
        let texts: Vec<S> = texts.into_iter().collect();
        let inner = train::train(&texts, units)?;
        let special = Special::trained(&inner);
        Ok(Self {
            inner,
            special,
            companions: Companions::default(),
        })
    }

    /// Reads `tokenizer.json`, given itself or the directory it lies in, and the special tokens' names from the
    /// `tokenizer_config.json` beside it (from the usual names where there is none).
    ///
    /// # Errors
    /// If a file cannot be read or parsed, or names an end-of-sequence token that is not in the vocabulary.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let file = tokenizer_file(path);
        let bytes = std::fs::read(&file).map_err(DataError::read(&file))?;
        let inner = HuggingFace::from_bytes(&bytes).map_err(|error| DataError::File {
            path: file.clone(),
            problem: format!("not a Hugging Face tokenizer: {error}"),
            hint: "expected the `tokenizer.json` of a fast tokenizer; `AutoTokenizer.from_pretrained(...).save_pretrained(...)` writes one".into(),
        })?;
        let companions = Companions::beside(&file)?;
        let special = Special::load(&inner, companions.config.as_ref(), &file)?;
        Ok(Self {
            inner,
            special,
            companions,
        })
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json` into `directory`, which must exist. What the tokenizer was read
    /// with, its chat template included, is written as it was.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub fn save(&self, directory: &Path) -> Result<(), DataError> {
        let file = directory.join("tokenizer.json");
        std::fs::write(&file, self.to_json()?).map_err(DataError::write(&file))?;
        let file = directory.join(CONFIG);
        let config = match &self.companions.config {
            Some(config) => format!("{config:#}\n"),
            None => self.special.to_json(),
        };
        std::fs::write(&file, config).map_err(DataError::write(&file))?;
        if let Some(template) = &self.companions.template {
            let file = directory.join(JINJA);
            std::fs::write(&file, template).map_err(DataError::write(&file))?;
        }
        Ok(())
    }

    /// The chat template that the tokenizer came with: `chat_template.jinja`, else the one in `tokenizer_config.json`.
    ///
    /// # Errors
    /// If it is not a template.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, DataError> {
        let Companions {
            directory,
            config,
            template,
        } = &self.companions;
        ChatTemplate::find(
            template.as_deref(),
            config.as_ref(),
            directory,
            &self.special,
        )
    }

    /// The content of `tokenizer.json`: what a data hash covers.
    ///
    /// # Errors
    /// If the tokenizer cannot be serialised.
    pub fn to_json(&self) -> Result<String, DataError> {
        self.inner
            .to_string(true)
            .map_err(failed("cannot be written as JSON"))
    }

    /// The ids of `text`, without any token added at its ends. Special tokens spelled out in the text become their id.
    ///
    /// # Errors
    /// If the text has a character outside the vocabulary and the tokenizer has no unknown token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(failed("cannot encode the text"))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The encoding of `text`, with the post-processor's tokens on request; offsets are bytes.
    pub(crate) fn encoding(&self, text: &str, with_special: bool) -> Result<Encoding, DataError> {
        self.inner
            .encode(text, with_special)
            .map_err(failed("cannot encode the text"))
    }

    /// The text of `ids`, special tokens left out.
    ///
    /// # Errors
    /// If the tokenizer's decoder fails; ids outside the vocabulary are left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        self.inner
            .decode(ids, true)
            .map_err(failed("cannot decode the ids"))
    }

    /// The text of `ids` with special tokens spelled out.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn decode_with_special(&self, ids: &[u32]) -> Result<String, DataError> {
        self.inner
            .decode(ids, false)
            .map_err(failed("cannot decode the ids"))
    }

    /// The ids of a whole completion: those of `text`, then the end-of-sequence token.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_completion(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let mut ids = self.encode(text)?;
        ids.push(self.eos());
        Ok(ids)
    }

    /// The end-of-sequence token.
    pub fn eos(&self) -> u32 {
        self.special.eos.1
    }

    /// The padding token; the end-of-sequence token where the tokenizer has none (GPT-2). What is padding is always
    /// told by lengths, never by comparing ids with this one.
    pub fn pad(&self) -> u32 {
        self.special
            .pad
            .as_ref()
            .map_or(self.eos(), |token| token.1)
    }

    /// The beginning-of-sequence token, where there is one.
    pub fn bos(&self) -> Option<u32> {
        self.special.bos.as_ref().map(|token| token.1)
    }

    /// The token of what is outside the vocabulary, where there is one.
    pub fn unknown(&self) -> Option<u32> {
        self.special.unknown.as_ref().map(|token| token.1)
    }

    /// The special tokens with their spelling.
    pub fn special(&self) -> &Special {
        &self.special
    }

    /// Number of token ids: one more than the largest, so that every id indexes a table of this many rows.
    pub fn vocabulary(&self) -> usize {
        let largest = self.inner.get_vocab(true).into_values().max();
        largest.map_or(0, |id| id as usize + 1)
    }

    /// The id of a token by its spelling.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The spelling of a token; byte-level tokens are in the tokenizer's own alphabet.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
}

impl Companions {
    fn beside(file: &Path) -> Result<Self, DataError> {
        Ok(Self {
            directory: file.parent().unwrap_or(Path::new("")).to_owned(),
            config: read_config(&file.with_file_name(CONFIG))?,
            template: read_if_exists(&file.with_file_name(JINJA))?,
        })
    }
}

/// `path` itself, or `tokenizer.json` in it.
fn tokenizer_file(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join("tokenizer.json")
    } else {
        path.to_owned()
    }
}

fn failed(what: &'static str) -> impl FnOnce(tokenizers::Error) -> DataError {
    move |error| {
        DataError::Tokenizer {
        problem: format!("{what}: {error}"),
        hint: "check `tokenizer.json`: a tokenizer without an unknown token refuses what is not in its vocabulary".into(),
    }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn characters() -> Tokenizer {
        Tokenizer::train(
            ["床前明月光\n", "abc abc|"],
            &Units::Characters { min_count: 1 },
        )
        .unwrap()
    }

    #[test]
    fn special_tokens_are_distinct_and_stand_first() {
        let tokenizer = characters();
        let ids = [
            Some(tokenizer.pad()),
            tokenizer.bos(),
            Some(tokenizer.eos()),
            tokenizer.unknown(),
        ];
        assert_eq!(ids, [Some(0), Some(1), Some(2), Some(3)]);
        // 4 special, 5 characters of the verse, line feed, a b c, space, |
        assert_eq!(tokenizer.vocabulary(), 4 + 5 + 1 + 3 + 1 + 1);
    }

    #[test]
    fn a_character_outside_the_alphabet_is_unknown() {
        let tokenizer = characters();
        assert_eq!(tokenizer.encode("霜").unwrap(), [3]);
        assert_eq!(tokenizer.decode(&[3]).unwrap(), "");
        assert_eq!(tokenizer.decode_with_special(&[3]).unwrap(), "<unk>");
    }

    #[test]
    fn rare_characters_are_left_out_on_request() {
        let tokenizer =
            Tokenizer::train(["aab", "abc"], &Units::Characters { min_count: 2 }).unwrap();
        assert_eq!(tokenizer.vocabulary(), 4 + 2);
        assert_eq!(tokenizer.encode("abc").unwrap(), [4, 5, 3]);
    }

    #[test]
    fn units_of_a_pattern_are_one_token_each() {
        let units = Units::Pattern {
            regex: "[A-Z][a-z]*".into(),
        };
        let tokenizer = Tokenizer::train(["KaLoMi\nKa|", "Tun"], &units).unwrap();
        assert_eq!(tokenizer.encode("LoTun\nKa").unwrap().len(), 4);
        assert_eq!(
            tokenizer
                .decode(&tokenizer.encode("LoTun\n|Ka").unwrap())
                .unwrap(),
            "LoTun\n|Ka"
        );
    }

    #[test]
    fn saving_and_loading_is_the_identity() {
        let directory = tempfile::tempdir().unwrap();
        for units in [
            Units::Characters { min_count: 1 },
            Units::Pattern {
                regex: "[a-z]+".into(),
            },
            Units::Bpe { vocabulary: 300 },
        ] {
            let tokenizer = Tokenizer::train(["hello world", "你好\nhello"], &units).unwrap();
            tokenizer.save(directory.path()).unwrap();
            for path in [
                directory.path().to_owned(),
                directory.path().join("tokenizer.json"),
            ] {
                let loaded = Tokenizer::load(&path).unwrap();
                assert_eq!(loaded.to_json().unwrap(), tokenizer.to_json().unwrap());
                assert_eq!(loaded.special(), tokenizer.special());
                assert_eq!(
                    loaded.encode("hello\n你").unwrap(),
                    tokenizer.encode("hello\n你").unwrap()
                );
            }
        }
    }

    #[test]
    fn what_a_tokenizer_came_with_survives_being_saved() {
        let [from, to] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        characters().save(from.path()).unwrap();
        let config = "{\"eos_token\": \"|\", \"model_max_length\": 77, \"chat_template\": \"old\"}";
        std::fs::write(from.path().join("tokenizer_config.json"), config).unwrap();
        std::fs::write(from.path().join("chat_template.jinja"), "new").unwrap();
        Tokenizer::load(from.path())
            .unwrap()
            .save(to.path())
            .unwrap();
        let saved = Tokenizer::load(to.path()).unwrap();
        assert_eq!(saved.special().eos.0, "|");
        let template = saved.chat_template().unwrap().unwrap();
        assert_eq!(template.render(&[], false).unwrap(), "new");
        let text = std::fs::read_to_string(to.path().join("tokenizer_config.json")).unwrap();
        assert!(text.contains("77") && text.contains("old"), "{text}");
        assert!(characters().chat_template().unwrap().is_none());
    }

    #[test]
    fn training_twice_gives_the_same_tokenizer() {
        let texts: Vec<String> = (0..200)
            .map(|i| format!("verse {} of {}\n", i * 37 % 101, i % 7))
            .collect();
        for units in [
            Units::Characters { min_count: 1 },
            Units::Bpe { vocabulary: 320 },
        ] {
            let json = || Tokenizer::train(&texts, &units).unwrap().to_json().unwrap();
            assert_eq!(json(), json());
        }
    }

    #[test]
    fn a_file_that_is_no_tokenizer_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = Tokenizer::load(directory.path()).unwrap_err();
        assert!(
            error.to_string().contains("tokenizer.json: cannot be read"),
            "{error}"
        );
        std::fs::write(directory.path().join("tokenizer.json"), "{}").unwrap();
        let error = Tokenizer::load(directory.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("tokenizer.json: not a Hugging Face tokenizer"),
            "{error}"
        );
    }

    #[test]
    fn an_end_of_sequence_token_that_does_not_exist_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        characters().save(directory.path()).unwrap();
        let config = directory.path().join("tokenizer_config.json");
        std::fs::write(&config, "{\"eos_token\": {\"content\": \"</s>\"}}").unwrap();
        let error = Tokenizer::load(directory.path()).unwrap_err();
        assert!(
            error.to_string().contains("`eos_token` is `</s>`"),
            "{error}"
        );
        std::fs::write(&config, "{\"eos_token\": {\"content\": \"|\"}}").unwrap();
        assert_eq!(
            Tokenizer::load(directory.path()).unwrap().eos(),
            characters().id("|").unwrap()
        );
    }

    #[test]
    fn nothing_to_train_on_is_an_error() {
        let error = Tokenizer::train(Vec::<String>::new(), &Units::Characters { min_count: 1 })
            .unwrap_err();
        assert!(error.to_string().contains("no text"), "{error}");
    }

    proptest! {
        #[test]
        fn characters_round_trip(texts in prop::collection::vec("[a-z床前\\n |]{0,20}", 1..6)) {
            prop_assume!(texts.iter().any(|text| !text.is_empty()));
            let tokenizer = Tokenizer::train(&texts, &Units::Characters { min_count: 1 }).unwrap();
            for text in &texts {
                let ids = tokenizer.encode(text).unwrap();
                prop_assert_eq!(ids.len(), text.chars().count());
                prop_assert_eq!(&tokenizer.decode(&ids).unwrap(), text);
            }
        }

        #[test]
        fn byte_pairs_round_trip_any_text(text in "\\PC{0,40}") {
            static TOKENIZER: std::sync::OnceLock<Tokenizer> = std::sync::OnceLock::new();
            let tokenizer = TOKENIZER.get_or_init(|| {
                Tokenizer::train(["the quick brown fox", "the fox"], &Units::Bpe { vocabulary: 280 }).unwrap()
            });
            prop_assert_eq!(&tokenizer.decode(&tokenizer.encode(&text).unwrap()).unwrap(), &text);
        }
    }
}
