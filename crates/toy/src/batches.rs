//! Mini-batches of pairs.

use preflab_config::RejectedDraw;
use preflab_data::Pair;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::streams::{self, Stream};
use crate::world::PROMPTS;

/// A pair: a prompt and two responses, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Preference {
    pub(crate) prompt: usize,
    pub(crate) responses: Pair<usize>,
}

/// The mini-batches of one seed, one after the other.
pub(crate) struct Batches {
    rng: ChaCha8Rng,
    draw: RejectedDraw,
    size: usize,
    /// Prompts of the present round that are still to come.
    round: Vec<usize>,
}

impl Batches {
    pub(crate) fn new(seed: u64, draw: RejectedDraw, size: usize) -> Self {
        Self {
            rng: streams::rng(seed, Stream::Batches, 0),
            draw,
            size,
            round: Vec::new(),
        }
    }

    /// The next mini-batch: prompts from shuffled rounds of all four, a rejected response drawn for each.
    pub(crate) fn next(&mut self) -> Vec<Preference> {
        let prompts: Vec<usize> = (0..self.size).map(|_| self.prompt()).collect();
        prompts
            .iter()
            .map(|&prompt| Preference {
                prompt,
                responses: Pair {
                    chosen: prompt,
                    rejected: self.rejected(prompt, &prompts),
                },
            })
            .collect()
    }

    fn prompt(&mut self) -> usize {
        if self.round.is_empty() {
            self.round = (0..PROMPTS).collect();
            self.round.shuffle(&mut self.rng);
        }
        self.round.pop().expect("a round that was just filled")
    }

    fn rejected(&mut self, prompt: usize, batch: &[usize]) -> usize {
        match self.draw {
            RejectedDraw::Own => prompt + PROMPTS,
            RejectedDraw::Any => PROMPTS + self.rng.random_range(0..PROMPTS),
            RejectedDraw::Batch => {
                let own = batch.iter().map(|prompt| prompt + PROMPTS);
                let others: Vec<usize> = batch
                    .iter()
                    .copied()
                    .chain(own)
                    .filter(|&response| response != prompt)
                    .collect();
                others[self.rng.random_range(0..others.len())]
            }
            RejectedDraw::OtherChosen => (prompt + self.rng.random_range(1..PROMPTS)) % PROMPTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_every_prompt_once_and_a_pair_never_one_response_twice() {
        for draw in RejectedDraw::ALL {
            let mut batches = Batches::new(3, draw, PROMPTS);
            let mut seen = [0; 10];
            for _ in 0..200 {
                let batch = batches.next();
                let mut prompts: Vec<_> = batch.iter().map(|pair| pair.prompt).collect();
                prompts.sort_unstable();
                assert_eq!(prompts, [0, 1, 2, 3]);
                for pair in batch {
                    assert_eq!(pair.responses.chosen, pair.prompt);
                    assert_ne!(pair.responses.rejected, pair.prompt);
                    seen[pair.responses.rejected] += 1;
                }
            }
            let drawn: Vec<bool> = seen.iter().map(|&count| count > 0).collect();
            let (low, high) = match draw {
                RejectedDraw::Own | RejectedDraw::Any => (4, 8),
                RejectedDraw::Batch => (0, 8),
                RejectedDraw::OtherChosen => (0, 4),
            };
            let expected: Vec<bool> = (0..10).map(|r| (low..high).contains(&r)).collect();
            assert_eq!(drawn, expected, "{draw:?}");
        }
    }

    #[test]
    fn batches_depend_on_the_seed_alone() {
        let first = |seed| Batches::new(seed, RejectedDraw::Any, 8).next();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }
}
