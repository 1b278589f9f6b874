//! Log-probabilities under the reference policy: computed once for a set of pairs, shared by every arm.

use std::io;

use preflab_data::{Pair, Rows, TokenPair, Words};
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
    /// A pair or its log-probabilities cannot be read from the file they are kept in.
    #[error("a pair or its reference log-probs cannot be read again: {problem}")]
    Unread {
        /// What the system says.
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

impl Words for ReferenceLogps {
    fn write(&self, words: &mut Vec<u32>) {
        let Pair { chosen, rejected } = &self.sides;
        words.extend([chosen.len() as u32, rejected.len() as u32]);
        let all = chosen.iter().chain(rejected).chain(&self.unrelated);
        words.extend(all.map(|logp| logp.to_bits()));
    }

    fn read(words: &[u32]) -> Self {
        let (chosen, rest) = words[2..].split_at(words[0] as usize);
        let (rejected, unrelated) = rest.split_at(words[1] as usize);
        let numbers = |words: &[u32]| words.iter().map(|&bits| f32::from_bits(bits)).collect();
        Self {
            sides: Pair { chosen, rejected }.map(numbers),
            unrelated: numbers(unrelated),
        }
    }
}

/// Scores `pairs` under `reference`, a model without autodiff, `rows` pairs at a time.
pub fn reference_logps(
    reference: &CausalLm,
    pairs: &[TokenPair],
    rows: usize,
) -> (Vec<ReferenceLogps>, Work) {
    let mut scored = Vec::with_capacity(pairs.len());
    let keep = |logps| {
        scored.push(logps);
        Ok(())
    };
    let work = score_rows(reference, Rows::Memory(pairs), rows, keep);
    (scored, work.expect("rows in memory are read"))
}

/// The same of pairs that may stand in a file; `each` gets the log-probabilities in order.
///
/// # Errors
/// If the file cannot be read, or `each` fails.
pub fn score_rows(
    reference: &CausalLm,
    pairs: Rows<'_, TokenPair>,
    rows: usize,
    mut each: impl FnMut(ReferenceLogps) -> io::Result<()>,
) -> io::Result<Work> {
    let mut work = Work::default();
    let all: Vec<usize> = (0..pairs.len()).collect();
    for chunk in all.chunks(rows.max(1)) {
        let own = pairs.rows(chunk)?;
        let next = pairs.row((chunk[chunk.len() - 1] + 1) % pairs.len())?;
        let unrelated = own[1..].iter().chain([&next]).map(|pair| &pair.chosen);
        // a pair's three completions share its prompt, which is computed once
        let batch: Vec<(&[u32], &[u32])> = own
            .iter()
            .zip(unrelated)
            .flat_map(|(pair, unrelated)| {
                [&pair.chosen, &pair.rejected, unrelated]
                    .map(|completion| (pair.prompt.as_slice(), completion.as_slice()))
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
            each(ReferenceLogps {
                sides: Pair { chosen, rejected },
                unrelated,
            })?;
        }
    }
    Ok(work)
}

/// Refuses log-probabilities that are not those of `policy` on `pairs`: recomputes `rows` pairs, evenly spread.
///
/// # Errors
/// If a count differs, or a sum by more than `1e-4` of its size, or a row cannot be read.
pub fn check_against<'p>(
    policy: &CausalLm,
    pairs: impl Into<Rows<'p, TokenPair>>,
    reference: impl Into<Rows<'p, ReferenceLogps>>,
    rows: usize,
) -> Result<(), ReferenceError> {
    let (pairs, reference) = (pairs.into(), reference.into());
    if pairs.len() != reference.len() {
        let problem = format!("{} rows for {} pairs", reference.len(), pairs.len());
        return Err(ReferenceError::OtherPairs { problem });
    }
    let unread = |error: io::Error| ReferenceError::Unread {
        problem: error.to_string(),
    };
    let stride = pairs.len().div_ceil(rows.max(1)).max(1);
    for index in 0..pairs.len() {
        let pair = pairs.row(index).map_err(unread)?;
        let logps = reference.row(index).map_err(unread)?;
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
    for index in (0..pairs.len()).step_by(stride) {
        let pair = pairs.row(index).map_err(unread)?;
        let logps = reference.row(index).map_err(unread)?;
        check_pair(policy, index, &pair, &logps)?;
    }
    Ok(())
}

fn check_pair(
    policy: &CausalLm,
    index: usize,
    pair: &TokenPair,
    kept: &ReferenceLogps,
) -> Result<(), ReferenceError> {
    let (now, _) = reference_logps(policy, std::slice::from_ref(pair), 1);
    let sum = |side: &Vec<f32>| side.iter().map(|&logp| f64::from(logp)).sum::<f64>();
    let (kept, now) = (kept.sides.as_ref().map(sum), now[0].sides.as_ref().map(sum));
    for (side, policy, reference) in [
        ("chosen", now.chosen, kept.chosen),
        ("rejected", now.rejected, kept.rejected),
    ] {
        if (policy - reference).abs() > 1e-4 * reference.abs().max(1.0) {
            return Err(ReferenceError::OtherPolicy {
                pair: index,
                side,
                policy,
                reference,
            });
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
