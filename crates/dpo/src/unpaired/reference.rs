//! Log-probabilities of single completions under the reference.

use preflab_data::{TokenExample, Words};
use preflab_training::{Work, policy_parameters};
use preflab_transformer::{CausalLm, Completions};
use serde::{Deserialize, Serialize};

use crate::reference::token_rows;

/// Log-probabilities of one example under the reference, one number a token, nats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleLogps {
    /// Of its own completion.
    pub own: Vec<f32>,
    /// Of the unrelated completion, [`unrelated`], after its prompt.
    pub unrelated: Vec<f32>,
}

impl Words for ExampleLogps {
    fn write(&self, words: &mut Vec<u32>) {
        words.push(self.own.len() as u32);
        let all = self.own.iter().chain(&self.unrelated);
        words.extend(all.map(|logp| logp.to_bits()));
    }

    fn read(words: &[u32]) -> Self {
        let (own, unrelated) = words[1..].split_at(words[0] as usize);
        let numbers = |words: &[u32]| words.iter().map(|&bits| f32::from_bits(bits)).collect();
        Self {
            own: numbers(own),
            unrelated: numbers(unrelated),
        }
    }
}

/// The example whose completion is the unrelated one of example `index`: the one before it among `block` examples that
/// follow one another in the data, of the first the last. As in TRL's `KTOTrainer`, where `block` is the batch size.
pub(super) fn unrelated(index: usize, block: usize, examples: usize) -> usize {
    let first = index / block * block;
    let last = (first + block).min(examples) - 1;
    if index == first { last } else { index - 1 }
}

/// Prompt of an example with its own completion.
pub(super) fn own(examples: &[TokenExample], index: usize) -> (&[u32], &[u32]) {
    let example = &examples[index];
    (&example.prompt, &example.completion)
}

/// Prompt of an example with an unrelated completion.
pub(super) fn mismatched(
    examples: &[TokenExample],
    index: usize,
    block: usize,
) -> (&[u32], &[u32]) {
    let other = unrelated(index, block, examples.len());
    (&examples[index].prompt, &examples[other].completion)
}

/// Scores `examples` under `reference`, a model without autodiff, `rows` examples at a time. Unrelated completions are
/// those of blocks of `block` examples, the batch size of the training they are for.
pub fn example_logps(
    reference: &CausalLm,
    examples: &[TokenExample],
    block: usize,
    rows: usize,
) -> (Vec<ExampleLogps>, Work) {
    let mut work = Work::default();
    let mut scored = Vec::with_capacity(examples.len());
    let all: Vec<usize> = (0..examples.len()).collect();
    for chunk in all.chunks(rows.max(1)) {
        // both completions of an example share its prompt, which is computed once
        let batch: Vec<(&[u32], &[u32])> = chunk
            .iter()
            .flat_map(|&index| [own(examples, index), mismatched(examples, index, block)])
            .collect();
        let tokens = batch
            .iter()
            .map(|(prompt, completion)| prompt.len() + completion.len());
        work += Work::forward(tokens.sum(), policy_parameters(reference));
        let completions = Completions::new(&batch, &reference.device());
        let mut logps = token_rows(&reference.completion_logps(&completions, 1.0)).into_iter();
        while let (Some(own), Some(unrelated)) = (logps.next(), logps.next()) {
            scored.push(ExampleLogps { own, unrelated });
        }
    }
    (scored, work)
}

#[cfg(test)]
mod tests {
    use super::unrelated;

    #[test]
    fn completions_rotate_within_their_block() {
        let of = |examples| -> Vec<usize> {
            (0..examples)
                .map(|index| unrelated(index, 4, examples))
                .collect()
        };
        assert_eq!(of(6), [3, 0, 1, 2, 5, 4]);
        assert_eq!(of(5)[4], 4);
    }
}
