//! A batch of prompts with completions.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::sequences::{Sequences, Side};

/// Rows of a prompt followed by a completion, and for every completion token the position that predicts it.
///
/// Completion tensors are `[b, c]`, `c` the longest completion: column `j` is the row's `j`-th completion token on either
/// padding side, and cells past the end of a completion are 0.
#[derive(Debug, Clone)]
pub struct Completions {
    /// Prompts and completions.
    pub sequences: Sequences,
    /// `[b, c]`, 1 on completion tokens, 0 elsewhere; without autodiff.
    pub mask: Tensor<2>,
    /// Completion tokens of each row.
    pub lengths: Vec<usize>,
    /// Flat position in `b * t` before each of the `n` completion tokens, `[n]`.
    predicting: Tensor<1, Int>,
    /// The `n` completion tokens, `[n]`.
    targets: Tensor<1, Int>,
    /// For each cell of `[b, c]` its place among the `n`, or `n` where there is none, `[b * c]`.
    cells: Tensor<1, Int>,
}

impl Completions {
    /// `rows`: (prompt, completion) of each row, starting at column 0.
    ///
    /// # Panics
    /// If there is no row, or a prompt is empty: its last token predicts the first token of the completion.
    pub fn right_padded(rows: &[(&[u32], &[u32])], device: &Device) -> Self {
        Self::padded(rows, Side::Right, device)
    }

    /// `rows`: (prompt, completion) of each row, ending in the last column.
    ///
    /// # Panics
    /// If there is no row, or a prompt is empty: its last token predicts the first token of the completion.
    pub fn left_padded(rows: &[(&[u32], &[u32])], device: &Device) -> Self {
        Self::padded(rows, Side::Left, device)
    }

    /// `rows`: (prompt, completion) of each row, padded on `side`.
    ///
    /// # Panics
    /// If there is no row, or a prompt is empty: its last token predicts the first token of the completion.
    pub fn padded(rows: &[(&[u32], &[u32])], side: Side, device: &Device) -> Self {
        let joined: Vec<Vec<u32>> = rows
            .iter()
            .map(|(prompt, completion)| [*prompt, *completion].concat())
            .collect();
        let joined: Vec<&[u32]> = joined.iter().map(Vec::as_slice).collect();
        let sequences = Sequences::padded(&joined, side, device);
        let lengths: Vec<usize> = rows
            .iter()
            .map(|(_, completion)| completion.len())
            .collect();
        let total: usize = lengths.iter().sum();
        let (columns, width) = (
            sequences.columns(),
            lengths.iter().copied().max().unwrap_or(0).max(1),
        );

        let (mut predicting, mut targets) = (Vec::with_capacity(total), Vec::with_capacity(total));
        let mut cells = vec![total as i64; rows.len() * width];
        let mut mask = vec![0f32; rows.len() * width];
        for (row, ((prompt, completion), span)) in rows.iter().zip(&sequences.spans).enumerate() {
            assert!(!prompt.is_empty(), "a prompt holds at least one token");
            let before = row * columns + span.start + prompt.len() - 1;
            for (place, &token) in completion.iter().enumerate() {
                cells[row * width + place] = targets.len() as i64;
                mask[row * width + place] = 1.0;
                predicting.push((before + place) as i64);
                targets.push(i64::from(token));
            }
        }
        if total == 0 {
            // A batch of empty completions still runs: one token that no cell refers to.
            predicting.push(0);
            targets.push(0);
            cells.fill(1);
        }
        let device = &device.clone().inner();
        let vector = |values: Vec<i64>| {
            let count = values.len();
            Tensor::from_data(TensorData::new(values, [count]), device)
        };
        Self {
            mask: Tensor::from_data(TensorData::new(mask, [rows.len(), width]), device),
            lengths,
            predicting: vector(predicting),
            targets: vector(targets),
            cells: vector(cells),
            sequences,
        }
    }

    /// Number of rows, `b`.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Longest completion, `c`, at least 1.
    pub fn width(&self) -> usize {
        self.mask.dims()[1]
    }

    /// Number of completion tokens, all rows together.
    pub fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// The completion tokens of all rows, one after the other, `[n]`.
    pub fn targets(&self) -> Tensor<1, Int> {
        self.targets.clone()
    }

    /// Flat position in `b * t` of the hidden state that predicts each of [`Self::targets`], `[n]`.
    pub fn predicting(&self) -> Tensor<1, Int> {
        self.predicting.clone()
    }

    /// Values of [`Self::targets`], `[n]`, in their cells of `[b, c]`; other cells are 0.
    pub fn spread(&self, values: Tensor<1>) -> Tensor<2> {
        let zero = Tensor::zeros([1], &values.device().inner());
        Tensor::cat(vec![values, zero], 0)
            .select(0, self.cells.clone())
            .reshape([self.rows(), self.width()])
    }
}
