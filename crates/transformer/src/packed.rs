//! Tokens of many sequences, one after the other, without padding.

use burn::tensor::{Device, Int, Tensor, TensorData};
use preflab_kernels::Segments;

/// What a decoder computes on: nothing but real tokens.
#[derive(Debug)]
pub(crate) struct Packed {
    /// `[n]`.
    pub ids: Tensor<1, Int>,
    /// Place of each token in its sequence, from 0.
    pub positions: Vec<usize>,
    /// Which tokens each token sees.
    pub segments: Segments,
}

/// Indices as a tensor, `[n]`.
pub(crate) fn indices(values: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    integers(
        values.into_iter().map(|value| value as i64).collect(),
        device,
    )
}

/// Token ids as a tensor, `[n]`.
pub(crate) fn token_ids(values: impl IntoIterator<Item = u32>, device: &Device) -> Tensor<1, Int> {
    integers(values.into_iter().map(i64::from).collect(), device)
}

fn integers(values: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Row `cells[i]` of `rows`, `[n, w]`, or zeros where `cells[i]` is `n`.
pub(crate) fn spread(rows: Tensor<2>, cells: Tensor<1, Int>) -> Tensor<2> {
    let [_, width] = rows.dims();
    let zeros = Tensor::zeros([1, width], &rows.device().inner());
    Tensor::cat(vec![rows, zeros], 0).select(0, cells)
}
