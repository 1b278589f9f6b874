//! Where a prompt ends and its completion begins, in tokens.
//!
//! A tokenizer may merge characters across the boundary: `"The quick " + "brown"` ends in a token ` b`. Cutting the ids
//! of the joined text at the number of prompt ids, as TRL does, then loses the `b` from the completion, and the prompt's
//! last blank is not what the model was conditioned on. Here the prompt's ids are always those of the prompt alone, so that chosen and
//! rejected share them, and the completion's ids are chosen so that prompt and completion together decode to the very
//! text. Where nothing merges the ids are those of the joined text.

use crate::{DataError, TokenExample, Tokenizer};

/// A prompt and a completion in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Ids of the prompt alone.
    pub prompt: Vec<u32>,
    /// Ids of the completion after it.
    pub completion: Vec<u32>,
    /// Whether the joined text has other tokens at the boundary.
    pub merges: bool,
}

impl From<Cut> for TokenExample {
    fn from(cut: Cut) -> Self {
        Self {
            prompt: cut.prompt,
            completion: cut.completion,
        }
    }
}

/// What a sequence of tokens starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The tokens that the tokenizer's own post-processor puts in front (Llama's beginning of sequence).
    PostProcessor,
    /// Nothing: the text, rendered by a chat template, has its start in it.
    Rendered,
}

impl Tokenizer {
    /// The ids of a text that starts a sequence. What the post-processor puts after the text is left out.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_start(&self, text: &str, start: Start) -> Result<Vec<u32>, DataError> {
        match start {
            Start::Rendered => self.encode(text),
            Start::PostProcessor => {
                let encoding = self.encoding(text, true)?;
                let added = encoding.get_special_tokens_mask();
                let end = added.iter().rposition(|&added| added == 0).map_or_else(
                    // Nothing but added tokens: those in front are what the ids of a non-empty text start with.
                    || {
                        self.encoding("a", true).map(|one| {
                            one.get_special_tokens_mask()
                                .iter()
                                .take_while(|&&added| added == 1)
                                .count()
                        })
                    },
                    |last| Ok(last + 1),
                )?;
                Ok(encoding.get_ids()[..end].to_vec())
            }
        }
    }

    /// The ids of `prompt` and of `completion` after it; see the module's documentation.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn cut(&self, prompt: &str, completion: &str, start: Start) -> Result<Cut, DataError> {
        let prompt_ids = self.encode_start(prompt, start)?;
        let joined = format!("{prompt}{completion}");
        let joined_ids = self.encode_start(&joined, start)?;
        if let Some(rest) = joined_ids.strip_prefix(prompt_ids.as_slice()) {
            let completion = rest.to_vec();
            return Ok(Cut {
                prompt: prompt_ids,
                completion,
                merges: false,
            });
        }
        let wanted = self.decode_with_special(&joined_ids)?;
        let alone = self.encode(completion)?;
        let split = self.split_at(&joined, prompt.len())?;
        let is_exact = |completion: &[u32]| -> Result<bool, DataError> {
            let ids = [prompt_ids.as_slice(), completion].concat();
            Ok(self.decode_with_special(&ids)? == wanted)
        };
        // Tokenizers that write a blank before every text (SentencePiece) cannot encode the completion alone.
        let completion = if !is_exact(&alone)? && is_exact(&split)? {
            split
        } else {
            alone
        };
        Ok(Cut {
            prompt: prompt_ids,
            completion,
            merges: true,
        })
    }

    /// The ids of `joined` from byte `boundary` on: the token across it is cut and its second part encoded by itself.
    fn split_at(&self, joined: &str, boundary: usize) -> Result<Vec<u32>, DataError> {
        let encoding = self.encoding(joined, false)?;
        let offsets = encoding.get_offsets();
        let first = offsets
            .iter()
            .position(|&(start, _)| start >= boundary)
            .unwrap_or(offsets.len());
        let end = offsets.get(first).map_or(joined.len(), |&(start, _)| start);
        let piece = joined.get(boundary..end).unwrap_or_default();
        Ok([self.encode(piece)?.as_slice(), &encoding.get_ids()[first..]].concat())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Units;

    /// Trained once: every case of a property uses it.
    fn byte_pairs() -> &'static Tokenizer {
        static TOKENIZER: std::sync::OnceLock<Tokenizer> = std::sync::OnceLock::new();
        TOKENIZER.get_or_init(|| {
            let texts = [
                "the quick brown fox jumped over the brown dog",
                "brown fox, quick brown dog",
                "a b c the the brown brown",
            ];
            Tokenizer::train(texts, &Units::Bpe { vocabulary: 320 }).unwrap()
        })
    }

    #[test]
    fn a_merge_across_the_boundary_loses_nothing() {
        let tokenizer = byte_pairs();
        let cut = tokenizer
            .cut("the quick ", "brown fox", Start::PostProcessor)
            .unwrap();
        assert!(cut.merges);
        assert_eq!(tokenizer.decode(&cut.prompt).unwrap(), "the quick ");
        assert_eq!(tokenizer.decode(&cut.completion).unwrap(), "brown fox");
    }

    #[test]
    fn without_a_merge_the_ids_are_those_of_the_joined_text() {
        let tokenizer = byte_pairs();
        let cut = tokenizer
            .cut("the quick", " brown fox", Start::PostProcessor)
            .unwrap();
        assert!(!cut.merges);
        assert_eq!(
            [cut.prompt, cut.completion].concat(),
            tokenizer.encode("the quick brown fox").unwrap()
        );
    }

    proptest! {
        #[test]
        fn prompt_and_completion_decode_to_the_text(prompt in "[a-e the\n]{0,12}", completion in "\\PC{0,12}|[a-e brown]{0,12}") {
            let tokenizer = byte_pairs();
            let cut = tokenizer.cut(&prompt, &completion, Start::PostProcessor).unwrap();
            prop_assert_eq!(tokenizer.decode(&cut.prompt).unwrap(), prompt);
            prop_assert_eq!(tokenizer.decode(&cut.completion).unwrap(), completion);
        }
    }
}
