//! The last block, computed for the tokens that something is asked of.
//!
//! Nothing reads the stream behind the last block but the final norm and the head. Its keys and values are needed of every
//! token; queries, attention output, feed-forward and residual of the wanted tokens alone.

use burn::tensor::{Device, Int, Tensor};
use preflab_kernels::Segments;

use crate::architecture::{Architecture, Positions};
use crate::packed::{Packed, indices};
use crate::rotary::Rotation;

/// Tokens wanted behind the last block.
#[derive(Debug, Clone)]
pub(crate) struct Narrowed {
    /// Their places among all tokens, ascending, each once, `[w]`.
    places: Tensor<1, Int>,
    /// Theirs.
    pub rotation: Option<Rotation>,
    /// Their queries, over the keys of all tokens.
    pub segments: Segments,
}

impl Narrowed {
    /// `wanted`: places among `tokens`, ascending, each once.
    fn new(
        tokens: &Packed,
        wanted: &[usize],
        architecture: &Architecture,
        device: &Device,
    ) -> Self {
        let positions: Vec<usize> = wanted.iter().map(|&i| tokens.positions[i]).collect();
        Self {
            places: indices(wanted.iter().copied(), device),
            rotation: match &architecture.positions {
                Positions::Rotary(rotary) => Some(rotary.at(&positions, device)),
                Positions::Learned => None,
            },
            segments: tokens.segments.of_queries(wanted),
        }
    }

    /// The wanted rows of `x`, `[n, ..]`: `[w, ..]`.
    pub fn rows<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        x.select(0, self.places.clone())
    }
}

/// What is wanted of the tokens of a pass.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The tokens wanted, each once; none where all are.
    pub narrowed: Option<Narrowed>,
    /// Where each token asked for stands among those wanted; none where they are the same.
    order: Option<Tensor<1, Int>>,
}

impl Wanted {
    /// `asked`: places among `tokens`, in any order, possibly several times.
    pub fn new(
        tokens: &Packed,
        asked: &[usize],
        architecture: &Architecture,
        device: &Device,
    ) -> Self {
        let mut wanted = asked.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let order = (wanted != asked).then(|| {
            let place = |token| {
                wanted
                    .binary_search(token)
                    .expect("every token asked for is wanted")
            };
            indices(asked.iter().map(place), device)
        });
        let narrowed = (wanted.len() < tokens.positions.len())
            .then(|| Narrowed::new(tokens, &wanted, architecture, device));
        Self { narrowed, order }
    }

    /// The rows asked for, in their order, of those wanted.
    pub fn ordered(&self, rows: Tensor<2>) -> Tensor<2> {
        match &self.order {
            Some(order) => rows.select(0, order.clone()),
            None => rows,
        }
    }
}
