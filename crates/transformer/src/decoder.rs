//! Embedding, blocks and final norm: what policy, reference, reward model and value model have in common.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::architecture::{Architecture, Positions};
use crate::block::Block;
use crate::cache::Cache;
use crate::init::Initializer;
use crate::norm::Norm;
use crate::sequences::Sequences;
use crate::visibility::Visibility;

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
                weight: initializer.normal(vocabulary, width),
            },
            embed_positions: match architecture.positions {
                Positions::Learned => Some(Embedding {
                    weight: initializer.normal(context, width),
                }),
                Positions::Rotary(_) => None,
            },
            layers: architecture
                .layers
                .iter()
                .map(|_| Block::init(architecture, initializer))
                .collect(),
            norm: Norm::init(width, norm, initializer),
            architecture: architecture.clone(),
        }
    }

    /// The shape and settings of this decoder.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The device of the weights, without autodiff.
    pub fn device(&self) -> Device {
        self.embed_tokens.weight.val().device().inner()
    }

    /// Final hidden states, `[b, t, d]`.
    pub fn forward(&self, sequences: &Sequences) -> Tensor<3> {
        self.norm.forward(self.stream(sequences))
    }

    /// Final hidden states at the flat positions `rows` of `b * t`, `[n, d]`.
    pub fn forward_at(&self, sequences: &Sequences, rows: Tensor<1, Int>) -> Tensor<2> {
        let stream = self.stream(sequences);
        let [b, t, d] = stream.dims();
        self.norm
            .forward(stream.reshape([b * t, d]).select(0, rows))
    }

    /// The residual stream after the last block, before the final norm, `[b, t, d]`.
    fn stream(&self, sequences: &Sequences) -> Tensor<3> {
        let t = sequences.columns();
        self.extend(sequences.ids.clone(), &sequences.spans, t, None)
    }

    /// The residual stream of `ids`, `[b, t]`, the last `t` of `columns` columns; earlier ones come from `cache`.
    pub(crate) fn extend(
        &self,
        ids: Tensor<2, Int>,
        spans: &[Range<usize>],
        columns: usize,
        mut cache: Option<&mut Cache>,
    ) -> Tensor<3> {
        let [_, t] = ids.dims();
        let device = self.device();
        let first = columns - t;
        let positions: Vec<Vec<usize>> = spans
            .iter()
            .map(|span| {
                (first..columns)
                    .map(|column| column.saturating_sub(span.start))
                    .collect()
            })
            .collect();
        let mut x = lookup(&self.embed_tokens, ids);
        if let Some(scale) = self.architecture.embedding_scale {
            x = x * scale;
        }
        let rotation = match &self.architecture.positions {
            Positions::Rotary(rotary) => Some(rotary.at(&positions, &device)),
            Positions::Learned => None,
        };
        if let Some(table) = &self.embed_positions {
            let last = self.architecture.context - 1;
            let flat: Vec<i64> = positions
                .iter()
                .flatten()
                .map(|&position| position.min(last) as i64)
                .collect();
            x = x + lookup(
                table,
                Tensor::from_data(TensorData::new(flat, [spans.len(), t]), &device),
            );
        }
        let visibility = Visibility::new(spans.to_vec(), t, columns, device);
        for (index, (block, layer)) in self
            .layers
            .iter()
            .zip(&self.architecture.layers)
            .enumerate()
        {
            let cache = cache.as_mut().map(|cache| &mut cache.layers[index]);
            x = block.forward(x, rotation.as_ref(), &visibility, layer.window, cache);
        }
        x
    }
}

fn lookup(table: &Embedding, ids: Tensor<2, Int>) -> Tensor<3> {
    burn::tensor::module::embedding(table.weight.val(), ids)
}
