//! Training a tokenizer on texts.

use std::collections::BTreeSet;

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::wordlevel::{WordLevel, WordLevelTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer as HuggingFace};

use super::special::TRAINED;
use crate::DataError;

/// What one token of a trained tokenizer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Units {
    /// One Unicode scalar value a token. Every text over the training alphabet round-trips.
    Characters {
        /// Characters seen fewer times than this in training become the unknown token.
        min_count: usize,
    },
    /// One match of a regular expression a token, one character a token elsewhere.
    Pattern {
        /// The regular expression of a unit.
        regex: String,
    },
    /// Byte-level byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909; GPT-2's byte alphabet). Every text round-trips.
    Bpe {
        /// Size of the vocabulary, special tokens and the 256 bytes included.
        vocabulary: usize,
    },
}

/// Every character for itself, line feeds too.
const ANY_CHARACTER: &str = r"[\s\S]";

pub(super) fn train<S: AsRef<str>>(texts: &[S], units: &Units) -> Result<HuggingFace, DataError> {
    if texts.iter().all(|text| text.as_ref().is_empty()) {
        return Err(DataError::Tokenizer {
            problem: "has no text to be trained on".into(),
            hint: "check that the training data are not empty".into(),
        });
    }
    match units {
        Units::Characters { min_count } => split(texts, ANY_CHARACTER, *min_count),
        Units::Pattern { regex } => split(texts, &format!("(?:{regex})|{ANY_CHARACTER}"), 1),
        Units::Bpe { vocabulary } => byte_pairs(texts, *vocabulary),
    }
}

fn special_tokens() -> Vec<AddedToken> {
    TRAINED
        .iter()
        .map(|name| AddedToken::from(*name, true))
        .collect()
}

/// A word-level vocabulary over the pieces that `pattern` cuts out, most frequent first.
fn split<S: AsRef<str>>(
    texts: &[S],
    pattern: &str,
    min_count: usize,
) -> Result<HuggingFace, DataError> {
    let model = WordLevel::builder()
        .unk_token(TRAINED[3].to_owned())
        .build()
        .map_err(failed)?;
    let pieces = Split::new(
        SplitPattern::Regex(pattern.to_owned()),
        SplitDelimiterBehavior::Isolated,
        false,
    )
    .map_err(failed)?;
    let trainer = WordLevelTrainer::builder()
        .min_frequency(min_count as u64)
        .vocab_size(usize::MAX)
        .show_progress(false)
        .special_tokens(special_tokens())
        .build()
        .expect("every field of the trainer has a value");
    let mut tokenizer = HuggingFace::new(model);
    tokenizer
        .with_pre_tokenizer(Some(pieces))
        .with_decoder(Some(Fuse::new()));
    run(tokenizer, trainer.into(), texts)
}

fn byte_pairs<S: AsRef<str>>(texts: &[S], vocabulary: usize) -> Result<HuggingFace, DataError> {
    let smallest = TRAINED.len() + 256;
    if vocabulary < smallest {
        return Err(DataError::Tokenizer {
            problem: format!(
                "cannot have a vocabulary of {vocabulary}: byte-pair encoding starts from 256 bytes and {} special tokens",
                TRAINED.len()
            ),
            hint: format!("ask for a vocabulary of at least {smallest}"),
        });
    }
    let trainer = BpeTrainer::builder()
        .vocab_size(vocabulary)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(special_tokens())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let mut tokenizer = HuggingFace::new(BPE::default());
    tokenizer
        .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
        .with_decoder(Some(ByteLevelDecoder::new(false, true, true)));
    run(tokenizer, trainer.into(), texts)
}

fn run<S: AsRef<str>>(
    mut tokenizer: HuggingFace,
    mut trainer: TrainerWrapper,
    texts: &[S],
) -> Result<HuggingFace, DataError> {
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    tokenizer
        .train(&mut trainer, texts.into_iter())
        .map_err(failed)?;
    let ids: BTreeSet<u32> = TRAINED
        .iter()
        .filter_map(|name| tokenizer.token_to_id(name))
        .collect();
    assert_eq!(
        ids.len(),
        TRAINED.len(),
        "every special token has its own id"
    );
    Ok(tokenizer)
}

fn failed(error: impl std::fmt::Display) -> DataError {
    DataError::Tokenizer {
        problem: format!("cannot be trained: {error}"),
        hint: "check the pattern of the units".into(),
    }
}
