//! Scores of many completions.

use burn::module::Module;
use preflab_data::TokenExample;
use preflab_training::{Work, scalar_parameters};
use preflab_transformer::{Completions, ScalarModel};

/// The raw score of each prompt with its completion, at the last token, and what scoring cost.
///
/// - `rows`: most examples in one forward pass. Neither it nor the order changes a score beyond rounding.
///
/// # Panics
/// If a prompt is empty, or `rows` is 0.
pub fn scores(model: &ScalarModel, examples: &[TokenExample], rows: usize) -> (Vec<f64>, Work) {
    let model = model.valid();
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(examples[index].tokens()));
    let mut scores = vec![0.0; examples.len()];
    for chunk in order.chunks(rows) {
        let batch: Vec<(&[u32], &[u32])> = chunk
            .iter()
            .map(|&index| {
                (
                    examples[index].prompt.as_slice(),
                    examples[index].completion.as_slice(),
                )
            })
            .collect();
        let of_batch = model.completion_scores(&Completions::new(&batch, &model.device()));
        for (&index, score) in chunk.iter().zip(of_batch.into_data().iter::<f64>()) {
            scores[index] = score;
        }
    }
    let tokens = examples.iter().map(TokenExample::tokens).sum();
    let cost = Work {
        reward_calls: examples.len() as u64,
        ..Work::forward(tokens, scalar_parameters(&model))
    };
    (scores, cost)
}
