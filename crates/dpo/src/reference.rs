//! Log-probabilities under the reference policy: computed once for a set of pairs, shared by every arm.

use preflab_data::{Pair, TokenPair};
use preflab_training::Work;
use preflab_transformer::{CausalLm, Completions};
use serde::{Deserialize, Serialize};

/// Log-probabilities of one pair's completion tokens under the reference, nats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceLogps {
    /// Of the pair's own completions, one number a token.
    pub sides: Pair<Vec<f32>>,
    /// Of the next pair's chosen completion after this pair's prompt: KTO's unrelated completion.
    pub unrelated: Vec<f32>,
}

/// The completion that [`ReferenceLogps::unrelated`] scores for pair `index`.
pub fn unrelated_completion(pairs: &[TokenPair], index: usize) -> &[u32] {
    &pairs[(index + 1) % pairs.len()].chosen
}

/// Scores `pairs` under `reference`, a model without autodiff, `rows` pairs at a time.
pub fn reference_logps(
    reference: &CausalLm,
    pairs: &[TokenPair],
    rows: usize,
) -> (Vec<ReferenceLogps>, Work) {
    let mut work = Work::default();
    let mut score = |batch: &[(&[u32], &[u32])]| -> Vec<Vec<f32>> {
        let completions = Completions::right_padded(batch, &reference.device());
        let tokens = batch
            .iter()
            .map(|(prompt, completion)| prompt.len() + completion.len());
        work += Work::forward(tokens.sum(), preflab_training::policy_parameters(reference));
        token_rows(&reference.completion_logps(&completions, 1.0))
    };
    let mut scored = Vec::with_capacity(pairs.len());
    for (chunk, first) in pairs.chunks(rows).zip((0..).step_by(rows)) {
        let side = |pick: fn(&TokenPair) -> &[u32]| -> Vec<(&[u32], &[u32])> {
            chunk
                .iter()
                .map(|pair| (pair.prompt.as_slice(), pick(pair)))
                .collect()
        };
        let unrelated: Vec<(&[u32], &[u32])> = chunk
            .iter()
            .enumerate()
            .map(|(place, pair)| {
                (
                    pair.prompt.as_slice(),
                    unrelated_completion(pairs, first + place),
                )
            })
            .collect();
        let chosen = score(&side(|pair| &pair.chosen));
        let rejected = score(&side(|pair| &pair.rejected));
        let unrelated = score(&unrelated);
        for ((chosen, rejected), unrelated) in chosen.into_iter().zip(rejected).zip(unrelated) {
            scored.push(ReferenceLogps {
                sides: Pair { chosen, rejected },
                unrelated,
            });
        }
    }
    (scored, work)
}

/// The log-probabilities of each row's tokens.
pub(crate) fn token_rows(logps: &preflab_transformer::TokenLogps) -> Vec<Vec<f32>> {
    let width = logps.logps.dims()[1];
    let all: Vec<f32> = logps.logps.clone().into_data().iter::<f32>().collect();
    all.chunks(width)
        .zip(&logps.lengths)
        .map(|(row, &length)| row[..length].to_vec())
        .collect()
}
