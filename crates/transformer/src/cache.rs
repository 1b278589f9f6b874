//! Keys and values of the tokens seen so far, in memory taken once.

use std::ops::Range;

use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor};

use crate::architecture::Architecture;

/// Keys and values of all blocks, `[m, g * e]` each.
#[derive(Debug)]
pub(crate) struct Cache {
    layers: Vec<[Tensor<2>; 2]>,
}

/// Where new tokens go.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Side by side.
    Range(Range<usize>),
    /// One by one, `[n]`.
    Scattered(Box<Tensor<1, Int>>),
}

impl Cache {
    /// Room for `tokens` tokens, in numbers of type `dtype`.
    pub fn new(architecture: &Architecture, tokens: usize, dtype: DType, device: &Device) -> Self {
        let width = architecture.attention.kv_heads * architecture.attention.head_width;
        let layer = |_| [(); 2].map(|()| Tensor::zeros([tokens, width], (device, dtype)));
        Self {
            layers: (0..architecture.layers.len()).map(layer).collect(),
        }
    }

    /// Writes new keys and values, `[n, g, e]`, of block `index`, and returns those of all tokens, `[m, g, e]`.
    pub fn write(
        &mut self,
        index: usize,
        k: Tensor<3>,
        v: Tensor<3>,
        place: &Place,
    ) -> (Tensor<3>, Tensor<3>) {
        let [keys, values] = &mut self.layers[index];
        (written(keys, k, place), written(values, v, place))
    }
}

fn written(all: &mut Tensor<2>, new: Tensor<3>, place: &Place) -> Tensor<3> {
    let ([m, width], [n, heads, head_width]) = (all.dims(), new.dims());
    let new = new.reshape([n, width]);
    all.inplace(|all| match place {
        Place::Range(range) => all.slice_assign([range.clone(), 0..width], new),
        Place::Scattered(tokens) => {
            all.select_assign(0, Tensor::clone(tokens), new, IndexingUpdateOp::Assign)
        }
    });
    all.clone().reshape([m, heads, head_width])
}
