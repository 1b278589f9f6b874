//! How on-policy preference pairs are: what a model makes of their two sides, and of what it says itself.

use std::path::Path;

use burn::tensor::Device;
use preflab_config::{Count, SamplingSettings};
use preflab_data::check::{Estimated, OnPolicy};
use preflab_data::{TokenPair, Tokenizer};
use preflab_stats::{ProportionInterval, Tally, mean, proportion_interval, t_interval};
use preflab_training::{Stream, Streams};
use preflab_transformer::checkpoint;
use preflab_transformer::{CausalLm, Completions};

use crate::StageError;

/// Rows in one forward pass.
const ROWS: usize = 16;

/// Prompts that the model answers itself.
const SAMPLED: usize = 64;

/// Longest of its answers, tokens.
const LONGEST: usize = 64;

/// Mean log-probabilities per token of both sides of `pairs` under the model in `directory`, and of its own samples.
///
/// Pairs that do not fit into the model's context are left out.
///
/// # Errors
/// If the model cannot be read, or no pair fits.
pub fn on_policy(
    directory: &Path,
    tokenizer: &Tokenizer,
    pairs: &[TokenPair],
    device: &Device,
) -> Result<OnPolicy, StageError> {
    let (model, _): (CausalLm, _) = checkpoint::load(directory, device)?;
    let context = model.architecture().context;
    let usable = |pair: &&TokenPair| {
        !pair.prompt.is_empty()
            && !pair.chosen.is_empty()
            && !pair.rejected.is_empty()
            && pair.longest() <= context
    };
    let pairs: Vec<&TokenPair> = pairs.iter().filter(usable).collect();
    if pairs.len() < 2 {
        return Err(StageError::Nothing {
            problem: format!(
                "fewer than two pairs fit into the model's context of {context} tokens"
            ),
            hint: "use a model with a longer context".to_owned(),
        });
    }
    let (mut chosen, mut rejected) = (Vec::new(), Vec::new());
    for batch in pairs.chunks(ROWS) {
        let rows: Vec<(&[u32], &[u32])> = batch
            .iter()
            .flat_map(|pair| {
                [&pair.chosen, &pair.rejected].map(|side| (pair.prompt.as_slice(), side.as_slice()))
            })
            .collect();
        let sums = sums(&model, &rows);
        for (sums, pair) in sums.chunks(2).zip(batch) {
            chosen.push((sums[0], pair.chosen.len()));
            rejected.push((sums[1], pair.rejected.len()));
        }
    }
    let prefers = chosen.iter().zip(&rejected).filter(|(c, r)| c.0 > r.0);
    let tally = Tally::new(prefers.count() as u64, pairs.len() as u64).map_err(impossible)?;
    let share = proportion_interval(tally, 0.05, ProportionInterval::Wilson).map_err(impossible)?;
    let per_token = |sides: &[(f64, usize)]| -> Vec<f64> {
        sides
            .iter()
            .map(|(sum, tokens)| sum / *tokens as f64)
            .collect()
    };
    let (chosen, rejected) = (per_token(&chosen), per_token(&rejected));
    let difference: Vec<f64> = chosen.iter().zip(&rejected).map(|(c, r)| c - r).collect();
    Ok(OnPolicy {
        model: directory.to_owned(),
        pairs: pairs.len(),
        difference: estimated(&difference)?,
        chosen: estimated(&chosen)?,
        rejected: estimated(&rejected)?,
        sampled: estimated(&samples(&model, tokenizer, &pairs))?,
        prefers_chosen: Estimated {
            mean: tally.share(),
            interval: [share.low, share.high],
        },
    })
}

/// Log-probabilities per token of what the model says itself to some of the prompts, at temperature 1.
fn samples(model: &CausalLm, tokenizer: &Tokenizer, pairs: &[&TokenPair]) -> Vec<f64> {
    let context = model.architecture().context;
    let room = |pair: &&&TokenPair| pair.prompt.len() < context;
    let prompts: Vec<Vec<u32>> = pairs
        .iter()
        .filter(room)
        .take(SAMPLED)
        .map(|pair| pair.prompt.clone())
        .collect();
    let settings = SamplingSettings {
        max_tokens: Count::of(LONGEST),
        ..SamplingSettings::default()
    };
    let seeds = Streams::new(0).rows(Stream::Evaluation, 0, prompts.len());
    let answers = model.generate(&prompts, &seeds, &settings, &[tokenizer.eos()]);
    let per_token =
        |logps: &[f32]| logps.iter().map(|&logp| f64::from(logp)).sum::<f64>() / logps.len() as f64;
    answers
        .iter()
        .filter(|answer| !answer.logps.is_empty())
        .map(|answer| per_token(&answer.logps))
        .collect()
}

/// Summed log-probabilities of completions.
fn sums(model: &CausalLm, rows: &[(&[u32], &[u32])]) -> Vec<f64> {
    let completions = Completions::new(rows, &model.device());
    let sums = model.completion_logps(&completions, 1.0).sum();
    sums.into_data().iter::<f64>().collect()
}

/// Mean and 95 % interval (Student's t).
fn estimated(values: &[f64]) -> Result<Estimated, StageError> {
    let interval = t_interval(values, 0.95).map_err(impossible)?;
    Ok(Estimated {
        mean: mean(values),
        interval: [interval.low, interval.high],
    })
}

fn impossible(error: preflab_stats::StatsError) -> StageError {
    StageError::Nothing {
        problem: format!("the model's log-probabilities cannot be averaged: {error}"),
        hint: "check that the weights are finite".to_owned(),
    }
}
