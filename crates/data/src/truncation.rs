//! Sequences that are too long.

use serde::{Deserialize, Serialize};

use crate::{TokenExample, TokenPair};

/// Which end of a sequence survives when it is cut to a length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truncation {
    /// The start: the completion loses its end, and with it the end-of-sequence token. TRL's default.
    #[default]
    KeepStart,
    /// The end: the prompt loses its start first.
    KeepEnd,
}

impl TokenExample {
    /// The example cut to `max_length` tokens; `None` if no token of the completion is left.
    pub fn truncated(mut self, max_length: usize, truncation: Truncation) -> Option<Self> {
        match truncation {
            Truncation::KeepStart => {
                self.prompt.truncate(max_length);
                self.completion.truncate(max_length - self.prompt.len());
            }
            Truncation::KeepEnd => {
                let excess = self.tokens().saturating_sub(max_length);
                let of_prompt = excess.min(self.prompt.len());
                self.prompt.drain(..of_prompt);
                self.completion.drain(..excess - of_prompt);
            }
        }
        (!self.completion.is_empty()).then_some(self)
    }
}

impl TokenPair {
    /// The pair with both sides cut to `max_length` tokens at their ends; `None` if the prompt fills them. The prompt
    /// stays whole, so that both sides still share it.
    pub fn truncated(mut self, max_length: usize) -> Option<Self> {
        let room = max_length
            .checked_sub(self.prompt.len())
            .filter(|&room| room > 0)?;
        self.chosen.truncate(room);
        self.rejected.truncate(room);
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> TokenExample {
        TokenExample {
            prompt: vec![1, 2, 3],
            completion: vec![4, 5],
        }
    }

    fn cut(max_length: usize, truncation: Truncation) -> Option<(Vec<u32>, Vec<u32>)> {
        example()
            .truncated(max_length, truncation)
            .map(|example| (example.prompt, example.completion))
    }

    #[test]
    fn the_named_end_survives() {
        assert_eq!(
            cut(5, Truncation::KeepStart),
            Some((vec![1, 2, 3], vec![4, 5]))
        );
        assert_eq!(
            cut(4, Truncation::KeepStart),
            Some((vec![1, 2, 3], vec![4]))
        );
        assert_eq!(cut(3, Truncation::KeepStart), None);
        assert_eq!(cut(4, Truncation::KeepEnd), Some((vec![2, 3], vec![4, 5])));
        assert_eq!(cut(1, Truncation::KeepEnd), Some((vec![], vec![5])));
        assert_eq!(cut(0, Truncation::KeepEnd), None);
    }

    #[test]
    fn a_pair_keeps_its_prompt() {
        let pair = TokenPair {
            prompt: vec![1, 2],
            chosen: vec![3, 4, 5],
            rejected: vec![6],
        };
        let cut = pair.clone().truncated(4).unwrap();
        assert_eq!(
            (cut.prompt, cut.chosen, cut.rejected),
            (vec![1, 2], vec![3, 4], vec![6])
        );
        assert_eq!(pair.truncated(2), None);
    }
}
