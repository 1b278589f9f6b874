//! Log-probabilities under the reference policy: computed once for a set of pairs, shared by every arm.

use preflab_data::{Pair, TokenPair};
use preflab_training::{Work, policy_parameters};
use preflab_transformer::{CausalLm, Completions, TokenLogps};
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

/// Why log-probabilities are not those of the reference.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReferenceError {
    /// Another number of rows than of pairs, or of log-probabilities than of tokens.
    #[error(
        "the reference log-probs do not belong to these pairs: {problem}\n\nhint: compute them anew"
    )]
    OtherPairs {
        /// What differs.
        problem: String,
    },
    /// The policy at the start says something else than the reference.
    #[error(
        "pair {pair}: the policy gives its {side} completion a log-prob of {policy}, the reference {reference}; training must start from the reference\n\nhint: compute the reference log-probs with the policy that training starts from"
    )]
    OtherPolicy {
        /// The pair, counted from 0.
        pair: usize,
        /// Chosen or rejected.
        side: &'static str,
        /// Log-probability under the policy, nats.
        policy: f64,
        /// The one that was kept, nats.
        reference: f64,
    },
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
    let mut scored = Vec::with_capacity(pairs.len());
    let all: Vec<usize> = (0..pairs.len()).collect();
    for chunk in all.chunks(rows.max(1)) {
        // a pair's three completions share its prompt, which is computed once
        let batch: Vec<(&[u32], &[u32])> = chunk
            .iter()
            .flat_map(|&index| {
                let pair = &pairs[index];
                [
                    pair.chosen.as_slice(),
                    &pair.rejected,
                    unrelated_completion(pairs, index),
                ]
                .map(|completion| (pair.prompt.as_slice(), completion))
            })
            .collect();
        let tokens = batch
            .iter()
            .map(|(prompt, completion)| prompt.len() + completion.len());
        work += Work::forward(tokens.sum(), policy_parameters(reference));
        let completions = Completions::new(&batch, &reference.device());
        let mut logps = token_rows(&reference.completion_logps(&completions, 1.0)).into_iter();
        while let (Some(chosen), Some(rejected), Some(unrelated)) =
            (logps.next(), logps.next(), logps.next())
        {
            scored.push(ReferenceLogps {
                sides: Pair { chosen, rejected },
                unrelated,
            });
        }
    }
    (scored, work)
}

/// Refuses log-probabilities that are not those of `policy` on `pairs`: recomputes `rows` pairs, evenly spread.
///
/// # Errors
/// If a count differs, or a sum by more than `1e-4` of its size.
pub fn check_against(
    policy: &CausalLm,
    pairs: &[TokenPair],
    reference: &[ReferenceLogps],
    rows: usize,
) -> Result<(), ReferenceError> {
    if pairs.len() != reference.len() {
        let problem = format!("{} rows for {} pairs", reference.len(), pairs.len());
        return Err(ReferenceError::OtherPairs { problem });
    }
    for (index, (pair, logps)) in pairs.iter().zip(reference).enumerate() {
        let tokens = pair.completions().map(<[u32]>::len);
        let known = logps.sides.as_ref().map(Vec::len);
        if tokens != known {
            let problem = format!(
                "pair {index} has completions of {} and {} tokens, the log-probs {} and {}",
                tokens.chosen, tokens.rejected, known.chosen, known.rejected
            );
            return Err(ReferenceError::OtherPairs { problem });
        }
    }
    let stride = pairs.len().div_ceil(rows.max(1)).max(1);
    for pair in (0..pairs.len()).step_by(stride) {
        let (now, _) = reference_logps(policy, &pairs[pair..=pair], 1);
        let sum = |side: &Vec<f32>| side.iter().map(|&logp| f64::from(logp)).sum::<f64>();
        let (kept, now) = (
            reference[pair].sides.as_ref().map(sum),
            now[0].sides.as_ref().map(sum),
        );
        for (side, policy, reference) in [
            ("chosen", now.chosen, kept.chosen),
            ("rejected", now.rejected, kept.rejected),
        ] {
            if (policy - reference).abs() > 1e-4 * reference.abs().max(1.0) {
                return Err(ReferenceError::OtherPolicy {
                    pair,
                    side,
                    policy,
                    reference,
                });
            }
        }
    }
    Ok(())
}

/// The log-probabilities of each row's tokens.
pub(crate) fn token_rows(logps: &TokenLogps) -> Vec<Vec<f32>> {
    let width = logps.logps.dims()[1];
    let all: Vec<f32> = logps.logps.clone().into_data().iter::<f32>().collect();
    all.chunks(width)
        .zip(&logps.lengths)
        .map(|(row, &length)| row[..length].to_vec())
        .collect()
}
