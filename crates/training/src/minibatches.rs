//! Which examples each update takes.

use rand::seq::SliceRandom;

use crate::{Stream, Streams};

/// Updates over `examples` rows: each takes the next `batch_size` of an endless row of shuffled passes.
///
/// No update is smaller than another, so that arms of equal updates see equal numbers of examples; an update may span
/// two passes. The order is a function of the seed alone.
#[derive(Debug, Clone)]
pub struct Minibatches {
    stream: Stream,
    streams: Streams,
    examples: usize,
    batch_size: usize,
}

impl Minibatches {
    /// # Panics
    /// If there are no examples or the batch is empty.
    pub fn new(streams: Streams, examples: usize, batch_size: usize) -> Self {
        Self::of(Stream::Minibatches, streams, examples, batch_size)
    }

    /// The same, shuffled by another stream than [`Stream::Minibatches`].
    ///
    /// # Panics
    /// If there are no examples or the batch is empty.
    pub fn of(stream: Stream, streams: Streams, examples: usize, batch_size: usize) -> Self {
        assert!(examples > 0, "at least one example to train on");
        assert!(batch_size > 0, "at least one example in an update");
        Self {
            stream,
            streams,
            examples,
            batch_size,
        }
    }

    /// The order of pass `epoch`.
    pub fn epoch(&self, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.examples).collect();
        order.shuffle(&mut self.streams.rng(self.stream, epoch as u64));
        order
    }

    /// The examples of `update`, counted from 0.
    pub fn update(&self, update: usize) -> Vec<usize> {
        let (first, last) = (update * self.batch_size, (update + 1) * self.batch_size);
        (first / self.examples..=(last - 1) / self.examples)
            .flat_map(|epoch| {
                let start = epoch * self.examples;
                let (from, to) = (
                    first.max(start) - start,
                    last.min(start + self.examples) - start,
                );
                self.epoch(epoch)[from..to].to_vec()
            })
            .collect()
    }

    /// Updates in `epochs` passes, the last one filled up from the next pass.
    pub fn updates(&self, epochs: usize) -> usize {
        (self.examples * epochs).div_ceil(self.batch_size)
    }
}

/// The order in which a trainer takes its examples.
#[derive(Debug, Clone)]
pub enum Order {
    /// Shuffled passes, see [`Minibatches`].
    Shuffled(Minibatches),
    /// As they stand in the data, pass after pass: what a sequential sampler gives.
    Sequential {
        /// Examples in the data.
        examples: usize,
        /// Examples in one update.
        batch_size: usize,
    },
}

impl Order {
    /// The examples of `update`, counted from 0.
    pub fn update(&self, update: usize) -> Vec<usize> {
        match self {
            Self::Shuffled(minibatches) => minibatches.update(update),
            Self::Sequential {
                examples,
                batch_size,
            } => (update * batch_size..(update + 1) * batch_size)
                .map(|place| place % examples)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_takes_every_example_once() {
        let minibatches = Minibatches::new(Streams::new(1), 10, 4);
        let mut taken: Vec<usize> = (0..5)
            .flat_map(|update| minibatches.update(update))
            .collect();
        assert_eq!(taken.len(), 20);
        let mut first: Vec<usize> = taken.drain(..10).collect();
        first.sort_unstable();
        taken.sort_unstable();
        assert_eq!(first, (0..10).collect::<Vec<_>>());
        assert_eq!(taken, first);
    }

    #[test]
    fn a_batch_larger_than_the_data_spans_passes() {
        assert_eq!(Minibatches::new(Streams::new(1), 3, 8).update(1).len(), 8);
    }
}
