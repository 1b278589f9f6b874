//! Lists of numbers as 64-bit tensors whose gradient can be read.

use burn::tensor::{DType, Device, Gradients, Int, Tensor, TensorData, activation};
use preflab_training::parity::{golden_device, golden_dtype};

/// `[rows, columns]`, constant.
pub(super) fn constant(rows: &[Vec<f64>]) -> Tensor<2> {
    tensor(rows, DType::F64, &golden_device())
}

/// The same in 32-bit floats.
pub(super) fn single(rows: &[Vec<f64>]) -> Tensor<2> {
    tensor(rows, DType::F32, &golden_device())
}

/// `[rows, columns]`, a leaf of the autodiff graph.
pub(super) fn leaf(rows: &[Vec<f64>]) -> Tensor<2> {
    tensor(rows, DType::F64, &golden_device().autodiff()).require_grad()
}

fn tensor(rows: &[Vec<f64>], dtype: DType, device: &Device) -> Tensor<2> {
    let columns = rows.first().map_or(0, Vec::len);
    Tensor::from_data(
        TensorData::new(rows.concat(), [rows.len(), columns]),
        (device, golden_dtype(dtype)),
    )
}

/// A mask of ones and zeros.
pub(super) fn mask(rows: &[Vec<bool>]) -> Tensor<2> {
    let cells: Vec<Vec<f64>> = rows
        .iter()
        .map(|row| row.iter().map(|&keep| f64::from(u8::from(keep))).collect())
        .collect();
    constant(&cells)
}

/// The numbers of a tensor, row by row.
pub(super) fn rows(tensor: Tensor<2>) -> Vec<Vec<f64>> {
    let [_, columns] = tensor.dims();
    let cells: Vec<f64> = tensor.into_data().iter::<f64>().collect();
    cells.chunks(columns).map(<[f64]>::to_vec).collect()
}

/// The gradient of a leaf; zeros where nothing reached it.
pub(super) fn gradient(leaf: &Tensor<2>, gradients: &Gradients) -> Vec<Vec<f64>> {
    match leaf.grad(gradients) {
        Some(gradient) => rows(gradient),
        None => rows(leaf.clone().inner().zeros_like()),
    }
}

/// Log-probability of token `targets[i]` under `softmax(logits[i] / temperature)`, `[n]`.
pub(super) fn token_logps(logits: Tensor<2>, targets: &[usize], temperature: f64) -> Tensor<1> {
    let n = targets.len();
    let targets: Vec<i64> = targets.iter().map(|&target| target as i64).collect();
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [n, 1]), &golden_device());
    activation::log_softmax(logits / temperature, 1)
        .gather(1, targets)
        .reshape([n])
}

/// One number.
pub(super) fn number(tensor: &Tensor<1>) -> f64 {
    tensor
        .clone()
        .inner()
        .into_data()
        .iter::<f64>()
        .next()
        .expect("one number")
}

/// Ones and zeros as true and false.
pub(super) fn truth(rows: &[Vec<f64>]) -> Vec<Vec<bool>> {
    rows.iter()
        .map(|row| row.iter().map(|&x| x != 0.0).collect())
        .collect()
}

/// True on the first `lengths[i]` cells of `columns`.
pub(super) fn prefix_mask(lengths: &[usize], columns: usize) -> Vec<Vec<bool>> {
    lengths
        .iter()
        .map(|&length| (0..columns).map(|column| column < length).collect())
        .collect()
}

/// Each row followed by `fill` up to `columns`.
pub(super) fn padded(rows: &[Vec<f64>], columns: usize, fill: f64) -> Vec<Vec<f64>> {
    let pad = |row: &Vec<f64>| {
        row.iter()
            .copied()
            .chain(std::iter::repeat(fill))
            .take(columns)
            .collect()
    };
    rows.iter().map(pad).collect()
}

/// The first `lengths[i]` numbers of each row.
pub(super) fn prefixes(rows: &[Vec<f64>], lengths: &[usize]) -> Vec<Vec<f64>> {
    rows.iter()
        .zip(lengths)
        .map(|(row, &length)| row[..length].to_vec())
        .collect()
}
