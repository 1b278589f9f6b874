//! Training examples as token ids.

use serde::{Deserialize, Serialize};

use crate::Pair;

/// A prompt with one completion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenExample {
    /// Ids of the prompt, without an end-of-sequence token.
    pub prompt: Vec<u32>,
    /// Ids of the completion; ends with the end-of-sequence token unless it was cut off.
    pub completion: Vec<u32>,
}

impl TokenExample {
    /// The same text with nothing but its first token as the prompt, so that a loss over the completion counts all that a
    /// model can predict of it.
    #[must_use]
    pub fn whole(self) -> Self {
        let mut prompt = [self.prompt, self.completion].concat();
        let completion = prompt.split_off(prompt.len().min(1));
        Self { prompt, completion }
    }

    /// Prompt and completion together, tokens.
    pub fn tokens(&self) -> usize {
        self.prompt.len() + self.completion.len()
    }
}

/// A prompt with a preferred and another completion. Both completions follow the very same prompt ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPair {
    /// Ids of the prompt, without an end-of-sequence token.
    pub prompt: Vec<u32>,
    /// Ids of the preferred completion.
    pub chosen: Vec<u32>,
    /// Ids of the other completion.
    pub rejected: Vec<u32>,
}

impl TokenPair {
    /// The two completions.
    pub fn completions(&self) -> Pair<&[u32]> {
        Pair {
            chosen: &self.chosen,
            rejected: &self.rejected,
        }
    }

    /// The two sides, each with its own copy of the prompt.
    pub fn examples(&self) -> Pair<TokenExample> {
        self.completions().map(|completion| TokenExample {
            prompt: self.prompt.clone(),
            completion: completion.to_vec(),
        })
    }

    /// Longest side with its prompt, tokens.
    pub fn longest(&self) -> usize {
        self.prompt.len() + self.chosen.len().max(self.rejected.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_text_keeps_its_tokens() {
        let example = TokenExample {
            prompt: vec![4, 5],
            completion: vec![6, 2],
        };
        let whole = example.clone().whole();
        assert_eq!((whole.prompt, whole.completion), (vec![4], vec![5, 6, 2]));
        assert_eq!(example.tokens(), 4);
    }
}
