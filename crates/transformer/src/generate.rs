//! Sampling of completions with a key-value cache.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use preflab_config::SamplingSettings;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::architecture::Positions;
use crate::cache::Cache;
use crate::causal_lm::CausalLm;
use crate::sampling::{Choice, choose};
use crate::sequences::Sequences;

/// Tokens of one forward pass over prompts; longer batches are read in several passes.
const PREFILL_TOKENS: usize = 4096;

/// One sampled completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// The sampled tokens; a stop token that was sampled is the last of them.
    pub tokens: Vec<u32>,
    /// Log-probability of each token under `softmax(logits / temperature)`, before top-k and top-p, in nats: what
    /// [`CausalLm::completion_logps`] gives for the same tokens.
    pub logps: Vec<f32>,
    /// Whether a stop token ended the completion; otherwise `max_tokens` did, or the end of the learned positions.
    pub finished: bool,
}

/// A row that is still being sampled.
struct Active {
    /// Index among the results.
    row: usize,
    /// First column of its prompt.
    start: usize,
    /// Most tokens it may still get.
    left: usize,
    generator: ChaCha8Rng,
}

impl CausalLm {
    /// Samples one completion for each prompt.
    ///
    /// - `prompts`: token ids, none empty; equal prompts are read once.
    /// - `seeds`: one for each prompt. A row depends on its own prompt and seed alone, not on the rest of the batch (up
    ///   to rounding in the logits).
    /// - `stop`: tokens that end a completion; none lets every row run to `max_tokens`.
    ///
    /// No autodiff takes place, whatever the model's device.
    ///
    /// # Panics
    /// If a prompt is empty, or longer than the learned positions of the model.
    pub fn generate(
        &self,
        prompts: &[Vec<u32>],
        seeds: &[u64],
        settings: &SamplingSettings,
        stop: &[u32],
    ) -> Vec<Generation> {
        assert_eq!(prompts.len(), seeds.len(), "one seed a prompt");
        if prompts.is_empty() {
            return Vec::new();
        }
        let model = self.valid();
        let mut results = vec![
            Generation {
                tokens: Vec::new(),
                logps: Vec::new(),
                finished: false
            };
            prompts.len()
        ];

        let distinct = Distinct::new(prompts);
        let longest = distinct.prompts[0].len();
        let columns = longest + settings.max_tokens.get();
        let mut active: Vec<Active> = prompts
            .iter()
            .zip(seeds)
            .enumerate()
            .map(|(row, (prompt, &seed))| Active {
                row,
                start: longest - prompt.len(),
                left: model.room(prompt.len(), settings.max_tokens.get()),
                generator: ChaCha8Rng::seed_from_u64(seed),
            })
            .collect();

        let (cache, logits) = model.prefill(&distinct.prompts, longest);
        let rows = indices(distinct.of_row.iter().copied(), &model.device());
        let mut logits = logits.select(0, rows.clone());
        let mut cache = cache.gather(&rows, 0, longest, columns);
        let mut filled = longest;
        let mut room = columns;

        loop {
            let choices = sample(logits, &mut active, settings);
            let mut kept = Vec::with_capacity(active.len());
            let mut last = Vec::with_capacity(active.len());
            for (place, (row, choice)) in active.iter_mut().zip(&choices).enumerate() {
                let result = &mut results[row.row];
                result.tokens.push(choice.token);
                result.logps.push(choice.logp);
                result.finished = stop.contains(&choice.token);
                row.left -= 1;
                if !result.finished && row.left > 0 {
                    kept.push(place);
                    last.push(i64::from(choice.token));
                }
            }
            if kept.is_empty() {
                return results;
            }
            if kept.len() < active.len() {
                let mut place = 0;
                active.retain(|_| {
                    place += 1;
                    kept.binary_search(&(place - 1)).is_ok()
                });
                let trim = active.iter().map(|row| row.start).min().unwrap_or(0);
                cache = cache.gather(
                    &indices(kept.into_iter(), &model.device()),
                    trim,
                    filled,
                    room - trim,
                );
                active.iter_mut().for_each(|row| row.start -= trim);
                (filled, room) = (filled - trim, room - trim);
            }
            filled += 1;
            let ids = Tensor::from_data(TensorData::new(last, [active.len(), 1]), &model.device());
            let spans: Vec<Range<usize>> = active.iter().map(|row| row.start..filled).collect();
            logits = model.last_logits(ids, &spans, filled, &mut cache);
        }
    }

    /// Most tokens that may follow a prompt of `prompt` tokens.
    fn room(&self, prompt: usize, max_tokens: usize) -> usize {
        match self.architecture().positions {
            Positions::Rotary(_) => max_tokens,
            Positions::Learned => {
                let context = self.architecture().context;
                assert!(
                    prompt <= context,
                    "a prompt of {prompt} tokens in a context of {context}"
                );
                // The last token sampled is never read, so it needs no position.
                max_tokens.min(context - prompt + 1)
            }
        }
    }

    /// Reads prompts sorted by falling length. Returns the cache, `longest` columns wide with the prompts at its right
    /// end, and the logits that follow each prompt, `[u, v]`.
    fn prefill(&self, prompts: &[&[u32]], longest: usize) -> (Cache, Tensor<2>) {
        let device = &self.device();
        let mut whole = Cache::new(self.architecture(), prompts.len(), longest, device);
        let mut logits = Vec::new();
        let mut done = 0;
        while done < prompts.len() {
            let width = prompts[done].len();
            let count = (PREFILL_TOKENS / width).clamp(1, prompts.len() - done);
            let sequences = Sequences::left_padded(&prompts[done..done + count], device);
            let mut part = Cache::new(self.architecture(), count, width, device);
            logits.push(self.last_logits(sequences.ids, &sequences.spans, width, &mut part));
            whole.write(part, done, longest - width);
            done += count;
        }
        (whole, Tensor::cat(logits, 0))
    }

    /// Logits after the last column, `[b, v]`.
    fn last_logits(
        &self,
        ids: Tensor<2, Int>,
        spans: &[Range<usize>],
        columns: usize,
        cache: &mut Cache,
    ) -> Tensor<2> {
        let stream = self.decoder.extend(ids, spans, columns, Some(cache));
        let [b, t, d] = stream.dims();
        let last = stream.narrow(1, t - 1, 1).reshape([b, d]);
        self.head(self.decoder.norm.forward(last))
    }
}

/// The distinct prompts of a batch, longest first.
struct Distinct<'a> {
    prompts: Vec<&'a [u32]>,
    /// For each row of the batch its prompt among `prompts`.
    of_row: Vec<usize>,
}

impl<'a> Distinct<'a> {
    fn new(rows: &'a [Vec<u32>]) -> Self {
        let mut prompts: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        prompts.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        prompts.dedup();
        let places: BTreeMap<&[u32], usize> = prompts
            .iter()
            .enumerate()
            .map(|(place, prompt)| (*prompt, place))
            .collect();
        let of_row = rows.iter().map(|row| places[row.as_slice()]).collect();
        Self { prompts, of_row }
    }
}

fn indices(rows: impl Iterator<Item = usize>, device: &burn::tensor::Device) -> Tensor<1, Int> {
    let rows: Vec<i64> = rows.map(|row| row as i64).collect();
    let shape = [rows.len()];
    Tensor::from_data(TensorData::new(rows, shape), device)
}

/// The next token of every row, from logits `[b, v]`.
fn sample(logits: Tensor<2>, rows: &mut [Active], settings: &SamplingSettings) -> Vec<Choice> {
    let vocabulary = logits.dims()[1];
    let logits: Vec<f32> = logits
        .try_into_vec_as::<f32>()
        .expect("logits are read as f32");
    rows.par_iter_mut()
        .zip(logits.par_chunks_exact(vocabulary))
        .map(|(row, logits)| choose(logits, settings, &mut row.generator))
        .collect()
}
