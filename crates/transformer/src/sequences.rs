//! A batch of token rows, padded on either side.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Token ids `[b, t]` and, for each row, the columns that hold its real tokens.
///
/// Positions count from the start of a row's real tokens, padding is hidden from them, and what stands in the padding
/// changes nothing.
#[derive(Debug, Clone)]
pub struct Sequences {
    /// `[b, t]`, without autodiff.
    pub ids: Tensor<2, Int>,
    /// Columns of the real tokens of each row.
    pub spans: Vec<Range<usize>>,
}

/// Which side of a row is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Real tokens end the row.
    Left,
    /// Real tokens start the row.
    Right,
}

impl Sequences {
    /// Rows that start at column 0.
    ///
    /// # Panics
    /// If there is no row, or a row is empty.
    pub fn right_padded(rows: &[&[u32]], device: &Device) -> Self {
        Self::padded(rows, Side::Right, device)
    }

    /// Rows that end in the last column.
    ///
    /// # Panics
    /// If there is no row, or a row is empty.
    pub fn left_padded(rows: &[&[u32]], device: &Device) -> Self {
        Self::padded(rows, Side::Left, device)
    }

    /// Rows padded on `side` to the longest of them.
    ///
    /// # Panics
    /// If there is no row, or a row is empty.
    pub fn padded(rows: &[&[u32]], side: Side, device: &Device) -> Self {
        let columns = rows
            .iter()
            .map(|row| row.len())
            .max()
            .expect("at least one row");
        Self::padded_to(rows, columns, side, device)
    }

    /// Rows padded on `side` to `columns`.
    ///
    /// # Panics
    /// If there is no row, or a row is empty or longer than `columns`.
    pub fn padded_to(rows: &[&[u32]], columns: usize, side: Side, device: &Device) -> Self {
        assert!(!rows.is_empty(), "at least one row");
        let mut ids = vec![0i64; rows.len() * columns];
        let mut spans = Vec::with_capacity(rows.len());
        for (line, row) in ids.chunks_exact_mut(columns).zip(rows) {
            assert!(!row.is_empty(), "a row holds at least one token");
            let start = match side {
                Side::Left => columns - row.len(),
                Side::Right => 0,
            };
            let span = start..start + row.len();
            for (id, &token) in line[span.clone()].iter_mut().zip(*row) {
                *id = i64::from(token);
            }
            spans.push(span);
        }
        let ids = Tensor::from_data(
            TensorData::new(ids, [rows.len(), columns]),
            &device.clone().inner(),
        );
        Self { ids, spans }
    }

    /// Number of rows, `b`.
    pub fn rows(&self) -> usize {
        self.spans.len()
    }

    /// Number of columns, `t`.
    pub fn columns(&self) -> usize {
        self.ids.dims()[1]
    }

    /// Number of real tokens.
    pub fn tokens(&self) -> usize {
        self.spans.iter().map(ExactSizeIterator::len).sum()
    }

    /// Share of cells that hold padding, 0 to 1.
    pub fn padding_share(&self) -> f64 {
        1.0 - self.tokens() as f64 / (self.rows() * self.columns()) as f64
    }
}
