//! Sampling of completions with a key-value cache.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::Tensor;
use preflab_config::SamplingSettings;
use preflab_kernels::{Segment, Segments};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::architecture::Positions;
use crate::cache::{Cache, Place};
use crate::causal_lm::CausalLm;
use crate::lora::merged;
use crate::packed::{Packed, indices, token_ids};
use crate::sampling::{Choice, choose};

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
    /// Where the cache holds its prompt.
    prompt: Range<usize>,
    /// Where the cache holds its own tokens so far, and will hold the next.
    own: Range<usize>,
    /// Most tokens it may still get.
    left: usize,
    generator: ChaCha8Rng,
}

impl CausalLm {
    /// Samples one completion for each prompt.
    ///
    /// - `prompts`: token ids, none empty; equal prompts are read, and kept, once.
    /// - `seeds`: one for each prompt. A row depends on its own prompt and seed alone, not on the rest of the batch (up
    ///   to rounding in the logits).
    /// - `stop`: tokens that end a completion; none lets every row run to `max_tokens`.
    ///
    /// Rows that are done are computed no further. No autodiff takes place, whatever the model's device; adapters are folded
    /// into a copy of the weights they stand beside first.
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
        assert!(
            prompts.iter().all(|prompt| !prompt.is_empty()),
            "a prompt holds at least one token"
        );
        let mut results = vec![
            Generation {
                tokens: Vec::new(),
                logps: Vec::new(),
                finished: false
            };
            prompts.len()
        ];
        if prompts.is_empty() {
            return results;
        }
        let model = merged(self);
        let device = &model.device();
        let distinct = Distinct::new(prompts);
        // The last token of a completion is never read.
        let room = settings.max_tokens.get() - 1;
        let mut cache = Cache::new(
            model.architecture(),
            distinct.tokens() + prompts.len() * room,
            model.decoder.dtype(),
            device,
        );
        let mut logits = model.read(&distinct, &mut cache);
        logits = logits.select(0, indices(distinct.of_row.iter().copied(), device));
        let mut active: Vec<Active> = (0..prompts.len())
            .map(|row| {
                let start = distinct.tokens() + row * room;
                Active {
                    row,
                    prompt: distinct.places[distinct.of_row[row]].clone(),
                    own: start..start,
                    left: model.longest(prompts[row].len(), settings.max_tokens.get()),
                    generator: ChaCha8Rng::seed_from_u64(seeds[row]),
                }
            })
            .collect();

        loop {
            let choices = sample(logits, &mut active, settings);
            let mut last = Vec::with_capacity(active.len());
            let mut choices = choices.into_iter();
            active.retain_mut(|row| {
                let Choice { token, logp } = choices.next().expect("a choice for each row");
                let result = &mut results[row.row];
                result.tokens.push(token);
                result.logps.push(logp);
                result.finished = stop.contains(&token);
                row.left -= 1;
                let goes_on = !result.finished && row.left > 0;
                if goes_on {
                    row.own.end += 1;
                    last.push(token);
                }
                goes_on
            });
            if active.is_empty() {
                return results;
            }
            logits = model.step(last, &active, &mut cache);
        }
    }

    /// Most tokens that may follow a prompt of `prompt` tokens.
    fn longest(&self, prompt: usize, max_tokens: usize) -> usize {
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

    /// Reads the prompts into the first tokens of the cache. Returns the logits that follow each, `[u, v]`.
    fn read(&self, distinct: &Distinct, cache: &mut Cache) -> Tensor<2> {
        let device = &self.device();
        let mut logits = Vec::new();
        let mut done = 0;
        while done < distinct.prompts.len() {
            let from = distinct.places[done].start;
            let fits = |place: &&Range<usize>| place.end - from <= PREFILL_TOKENS;
            let count = distinct.places[done..]
                .iter()
                .take_while(fits)
                .count()
                .max(1);
            let (prompts, places) = (
                &distinct.prompts[done..done + count],
                &distinct.places[done..done + count],
            );
            let queries = |place: &Range<usize>| place.start - from..place.end - from;
            let segments = places.iter().map(|place| Segment {
                queries: queries(place),
                keys: place.clone(),
                prefix: 0..0,
            });
            let tokens = Packed {
                ids: token_ids(
                    prompts.iter().flat_map(|prompt| prompt.iter().copied()),
                    device,
                ),
                positions: prompts.iter().flat_map(|prompt| 0..prompt.len()).collect(),
                segments: Segments::new(segments.collect()),
            };
            let ends: Vec<usize> = places.iter().map(|place| place.end - from - 1).collect();
            let place = Place::Range(from..places[count - 1].end);
            let cache = Some((&mut *cache, place));
            logits.push(self.logits(self.decoder.hidden_at(&tokens, &ends, cache)));
            done += count;
        }
        Tensor::cat(logits, 0)
    }

    /// Reads the newest token of each row. Returns the logits that follow, `[b, v]`.
    fn step(&self, last: Vec<u32>, rows: &[Active], cache: &mut Cache) -> Tensor<2> {
        let device = &self.device();
        let segments = rows.iter().enumerate().map(|(query, row)| Segment {
            queries: query..query + 1,
            keys: row.own.clone(),
            prefix: row.prompt.clone(),
        });
        let tokens = Packed {
            ids: token_ids(last, device),
            positions: rows
                .iter()
                .map(|row| row.prompt.len() + row.own.len() - 1)
                .collect(),
            segments: Segments::new(segments.collect()),
        };
        let places = indices(rows.iter().map(|row| row.own.end - 1), device);
        let place = Place::Scattered(Box::new(places));
        self.logits(self.decoder.hidden(&tokens, Some((cache, place))))
    }
}

/// The distinct prompts of a batch.
struct Distinct<'a> {
    prompts: Vec<&'a [u32]>,
    /// Where each lies among the tokens of all.
    places: Vec<Range<usize>>,
    /// For each row of the batch its prompt among `prompts`.
    of_row: Vec<usize>,
}

impl<'a> Distinct<'a> {
    fn new(rows: &'a [Vec<u32>]) -> Self {
        let mut known: BTreeMap<&[u32], usize> = BTreeMap::new();
        let mut distinct = Self {
            prompts: Vec::new(),
            places: Vec::new(),
            of_row: Vec::new(),
        };
        for row in rows {
            let index = *known.entry(row).or_insert_with(|| {
                let start = distinct.tokens();
                distinct.prompts.push(row);
                distinct.places.push(start..start + row.len());
                distinct.prompts.len() - 1
            });
            distinct.of_row.push(index);
        }
        distinct
    }

    fn tokens(&self) -> usize {
        self.places.last().map_or(0, |place| place.end)
    }
}

/// The next token of every row, from logits `[b, v]`.
fn sample(logits: Tensor<2>, rows: &mut [Active], settings: &SamplingSettings) -> Vec<Choice> {
    let vocabulary = logits.dims()[1];
    let logits = logits
        .try_into_vec_as::<f32>()
        .expect("logits are read as f32");
    rows.par_iter_mut()
        .zip(logits.par_chunks_exact(vocabulary))
        .map(|(row, logits)| choose(logits, settings, &mut row.generator))
        .collect()
}
