//! Keys and values of the tokens seen so far, in memory taken once.

use burn::tensor::{Device, Int, Tensor};

use crate::architecture::Architecture;

/// Keys and values of all blocks.
#[derive(Debug)]
pub(crate) struct Cache {
    pub layers: Vec<LayerCache>,
}

/// Keys and values of one block, `[b, g, columns, e]`.
#[derive(Debug)]
pub(crate) struct LayerCache {
    keys: Tensor<4>,
    values: Tensor<4>,
}

impl Cache {
    /// Room for `columns` tokens in each of `rows` rows.
    pub fn new(architecture: &Architecture, rows: usize, columns: usize, device: &Device) -> Self {
        let attention = &architecture.attention;
        let shape = [rows, attention.kv_heads, columns, attention.head_width];
        let layer = |_| LayerCache {
            keys: Tensor::zeros(shape, device),
            values: Tensor::zeros(shape, device),
        };
        Self {
            layers: (0..architecture.layers.len()).map(layer).collect(),
        }
    }

    /// Writes all of `other` at `row`, `column`.
    pub fn write(&mut self, other: Self, row: usize, column: usize) {
        for (layer, other) in self.layers.iter_mut().zip(other.layers) {
            let [rows, heads, columns, width] = other.keys.dims();
            let place = [
                row..row + rows,
                0..heads,
                column..column + columns,
                0..width,
            ];
            layer
                .keys
                .inplace(|keys| keys.slice_assign(place.clone(), other.keys));
            layer
                .values
                .inplace(|values| values.slice_assign(place, other.values));
        }
    }

    /// Row `i` of the result is row `rows[i]`, without the first `trim` columns and with room for `columns`, of which
    /// `filled` (counted before the trim) are taken over.
    pub fn gather(self, rows: &Tensor<1, Int>, trim: usize, filled: usize, columns: usize) -> Self {
        let layers = self.layers.into_iter().map(|layer| LayerCache {
            keys: gathered(layer.keys, rows, trim, filled, columns),
            values: gathered(layer.values, rows, trim, filled, columns),
        });
        Self {
            layers: layers.collect(),
        }
    }
}

fn gathered(
    from: Tensor<4>,
    rows: &Tensor<1, Int>,
    trim: usize,
    filled: usize,
    columns: usize,
) -> Tensor<4> {
    let kept = from.narrow(2, trim, filled - trim).select(0, rows.clone());
    let [b, heads, kept_columns, width] = kept.dims();
    if kept_columns == columns {
        return kept;
    }
    let place = [0..b, 0..heads, 0..kept_columns, 0..width];
    Tensor::zeros([b, heads, columns, width], &kept.device()).slice_assign(place, kept)
}

impl LayerCache {
    /// Writes the newest keys and values so that they end in column `end`, and returns all up to there.
    pub fn append(&mut self, k: Tensor<4>, v: Tensor<4>, end: usize) -> (Tensor<4>, Tensor<4>) {
        let [b, heads, t, width] = k.dims();
        let place = [0..b, 0..heads, end - t..end, 0..width];
        self.keys
            .inplace(|keys| keys.slice_assign(place.clone(), k));
        self.values.inplace(|values| values.slice_assign(place, v));
        (
            self.keys.clone().narrow(2, 0, end),
            self.values.clone().narrow(2, 0, end),
        )
    }
}
