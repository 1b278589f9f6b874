//! Embedding, blocks and final norm: what policy, reference, reward model and value model have in common.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};
use preflab_config::Precision;

use crate::architecture::{Architecture, Positions};
use crate::attention::Pass;
use crate::block::Block;
use crate::cache::{Cache, Place};
use crate::dtype::{cast, dtype_of};
use crate::init::Initializer;
use crate::narrow::{Narrowed, Wanted};
use crate::norm::Norm;
use crate::packed::{Packed, indices};
use crate::recompute::Tape;
use crate::sequences::Sequences;

/// A table of vectors.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[rows, d]`.
    pub weight: Param<Tensor<2>>,
}

/// A decoder-only transformer without a head.
#[derive(Module, Debug)]
pub struct Decoder {
    /// One vector a token, `[v, d]`.
    pub embed_tokens: Embedding,
    /// One vector a position, `[context, d]` ([`Positions::Learned`]).
    pub embed_positions: Option<Embedding>,
    /// The blocks, first to last.
    pub layers: Vec<Block>,
    /// After the last block.
    pub norm: Norm,
    #[module(skip)]
    architecture: Architecture,
    #[module(skip)]
    precision: Precision,
    #[module(skip)]
    recompute: bool,
    #[module(skip)]
    tape: Tape,
}

impl Decoder {
    pub(crate) fn init(architecture: &Architecture, initializer: &mut Initializer) -> Self {
        let Architecture {
            vocabulary,
            width,
            context,
            norm,
            ..
        } = *architecture;
        Self {
            embed_tokens: Embedding {
                weight: initializer.matrix(vocabulary, width),
            },
            embed_positions: match architecture.positions {
                Positions::Learned => Some(Embedding {
                    weight: initializer.matrix(context, width),
                }),
                Positions::Rotary(_) => None,
            },
            layers: (0..architecture.layers.len())
                .map(|index| Block::init(architecture, index, initializer))
                .collect(),
            norm: Norm::init(width, norm, initializer),
            architecture: architecture.clone(),
            precision: Precision::default(),
            recompute: false,
            tape: Tape::default(),
        }
    }

    /// The shape and settings of this decoder.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The numbers it computes in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether training computes each block once more in place of keeping its activations.
    pub fn recomputes(&self) -> bool {
        self.recompute
    }

    /// Sets the numbers it computes in.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// Sets whether activations are computed once more, [`gradients`](crate::gradients).
    pub(crate) fn set_recompute(&mut self, recompute: bool) {
        self.recompute = recompute;
        self.forget_passes();
    }

    /// Leaves the passes recorded so far to the decoder that this one was copied from.
    pub(crate) fn forget_passes(&mut self) {
        self.tape = Tape::default();
    }

    /// The passes that wait for their gradients.
    pub(crate) fn tape(&self) -> &Tape {
        &self.tape
    }

    /// The number type of activations.
    pub(crate) fn dtype(&self) -> DType {
        dtype_of(self.precision)
    }

    /// The device of the weights, without autodiff.
    pub fn device(&self) -> Device {
        self.embed_tokens.weight.val().device().inner()
    }

    /// Final hidden states, `[b, t, d]`; 0 on padding.
    ///
    /// # Panics
    /// If a row is longer than the learned positions.
    pub fn forward(&self, sequences: &Sequences) -> Tensor<3> {
        sequences.unpacked(self.hidden(&sequences.packed(), None))
    }

    /// Final hidden states of all tokens, `[n, d]`. With a cache, the keys of the segments are tokens of the cache, among
    /// which the new ones take their place.
    pub(crate) fn hidden(&self, tokens: &Packed, cache: Option<(&mut Cache, Place)>) -> Tensor<2> {
        self.norm.forward_full(self.stream(tokens, cache, &None))
    }

    /// [`Self::hidden`] of the tokens `asked` for, in their order; the last block computes no others.
    pub(crate) fn hidden_at(
        &self,
        tokens: &Packed,
        asked: &[usize],
        cache: Option<(&mut Cache, Place)>,
    ) -> Tensor<2> {
        let wanted = Wanted::new(tokens, asked, &self.architecture, &self.device());
        let stream = self.stream(tokens, cache, &wanted.narrowed);
        self.norm.forward_full(wanted.ordered(stream))
    }

    /// The residual stream after the last block, before the final norm, of all tokens or those of `narrowed`.
    fn stream(
        &self,
        tokens: &Packed,
        cache: Option<(&mut Cache, Place)>,
        narrowed: &Option<Narrowed>,
    ) -> Tensor<2> {
        let device = self.device();
        let mut x = self.embed_tokens.weight.val().select(0, tokens.ids.clone());
        if let Some(scale) = self.architecture.embedding_scale {
            x = x * scale;
        }
        if let Some(table) = &self.embed_positions {
            let highest = tokens.positions.iter().copied().max().unwrap_or(0);
            let context = self.architecture.context;
            assert!(
                highest < context,
                "a token at position {highest} in a context of {context}"
            );
            x = x + table
                .weight
                .val()
                .select(0, indices(tokens.positions.iter().copied(), &device));
        }
        let rotation = match &self.architecture.positions {
            Positions::Rotary(rotary) => Some(rotary.at(&tokens.positions, &device)),
            Positions::Learned => None,
        };
        x = cast(x, self.dtype());
        if self.recompute && cache.is_none() && x.is_autodiff() {
            return self.recorded(x, rotation, &tokens.segments, narrowed);
        }
        let mut pass = Pass {
            rotation,
            segments: &tokens.segments,
            cache,
        };
        for (index, block) in self.layers.iter().enumerate() {
            x = block.forward(x, index, &mut pass, self.narrowed_in(index, narrowed));
        }
        x
    }

    /// What narrows block `index`: the last alone is.
    pub(crate) fn narrowed_in<'n>(
        &self,
        index: usize,
        narrowed: &'n Option<Narrowed>,
    ) -> Option<&'n Narrowed> {
        narrowed.as_ref().filter(|_| index + 1 == self.layers.len())
    }
}
