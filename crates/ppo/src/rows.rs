//! One list of numbers for each completion, one number for each of its tokens; nothing stands for padding.

use burn::tensor::{DType, Device, Tensor, TensorData};

/// A number for every token of every completion.
pub type Rows = Vec<Vec<f64>>;

/// `f` of every number.
pub fn map_rows(rows: &[Vec<f64>], f: impl Fn(f64) -> f64) -> Rows {
    rows.iter()
        .map(|row| row.iter().map(|&x| f(x)).collect())
        .collect()
}

/// `f` of every two numbers in the same place.
///
/// # Panics
/// If the shapes differ.
pub fn zip_rows(left: &[Vec<f64>], right: &[Vec<f64>], f: impl Fn(f64, f64) -> f64) -> Rows {
    assert_eq!(left.len(), right.len(), "as many rows");
    let row = |(left, right): (&Vec<f64>, &Vec<f64>)| {
        assert_eq!(left.len(), right.len(), "as many numbers");
        left.iter().zip(right).map(|(&a, &b)| f(a, b)).collect()
    };
    left.iter().zip(right).map(row).collect()
}

/// Mean of all numbers; 0 of none.
pub fn mean(rows: &[Vec<f64>]) -> f64 {
    let count: usize = rows.iter().map(Vec::len).sum();
    if count == 0 {
        0.0
    } else {
        rows.iter().flatten().sum::<f64>() / count as f64
    }
}

/// Mean over rows of their sums; 0 of none.
pub fn mean_sum(rows: &[Vec<f64>]) -> f64 {
    if rows.is_empty() {
        0.0
    } else {
        rows.iter().flatten().sum::<f64>() / rows.len() as f64
    }
}

/// The chosen rows, each followed by zeros up to the longest of them, as `[b, c]` of 32-bit numbers.
pub fn to_tensor(rows: &[Vec<f64>], chosen: &[usize], device: &Device) -> Tensor<2> {
    let width = chosen
        .iter()
        .map(|&row| rows[row].len())
        .max()
        .unwrap_or(0)
        .max(1);
    let mut cells = vec![0f32; chosen.len() * width];
    for (line, &row) in cells.chunks_exact_mut(width).zip(chosen) {
        for (cell, &x) in line.iter_mut().zip(&rows[row]) {
            *cell = x as f32;
        }
    }
    let data = TensorData::new(cells, [chosen.len(), width]);
    Tensor::from_data(data, (&device.clone().inner(), DType::F32))
}

/// The first `lengths[i]` numbers of each row of `[b, c]`. Waits for the device.
///
/// # Panics
/// If a length is beyond the columns.
pub fn from_tensor(tensor: Tensor<2>, lengths: &[usize]) -> Rows {
    let [rows, columns] = tensor.dims();
    assert_eq!(rows, lengths.len(), "one length for each row");
    let cells: Vec<f64> = tensor.into_data().iter::<f64>().collect();
    from_cells(&cells, columns, lengths)
}

/// The first `lengths[i]` numbers of each row of `columns`.
pub(crate) fn from_cells(cells: &[f64], columns: usize, lengths: &[usize]) -> Rows {
    cells
        .chunks_exact(columns)
        .zip(lengths)
        .map(|(line, &length)| line[..length].to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_the_way_through_a_tensor() {
        let rows = vec![vec![1.0, 2.0], vec![], vec![3.0]];
        let tensor = to_tensor(&rows, &[2, 0, 1], &Device::flex());
        assert_eq!(tensor.dims(), [3, 2]);
        assert_eq!(
            from_tensor(tensor, &[1, 2, 0]),
            [vec![3.0], vec![1.0, 2.0], vec![]]
        );
    }

    #[test]
    fn means_weigh_tokens_or_rows() {
        let rows = vec![vec![1.0, 2.0], vec![6.0]];
        assert_eq!(mean(&rows), 3.0);
        assert_eq!(mean_sum(&rows), 4.5);
        assert_eq!(mean_sum(&[]), 0.0);
    }
}
