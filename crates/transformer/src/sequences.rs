//! A batch of token rows, padded on either side.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use preflab_kernels::{Segment, Segments};

use crate::packed::{Packed, indices, spread};

/// Token ids `[b, t]` and, for each row, the columns that hold its real tokens.
///
/// Positions count from the start of a row's real tokens, and padding is never computed on: what stands there, on which
/// side, and how much of it, changes nothing.
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
        let device = device.clone().inner();
        let ids = Tensor::from_data(TensorData::new(ids, [rows.len(), columns]), &device);
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

    /// The real tokens, row after row.
    pub(crate) fn packed(&self) -> Packed {
        let columns = self.columns();
        let device = self.ids.device();
        let cells = self
            .spans
            .iter()
            .enumerate()
            .flat_map(|(row, span)| span.clone().map(move |column| row * columns + column));
        let ids = self.ids.clone().reshape([self.rows() * columns]);
        let ids = if self.tokens() == self.rows() * columns {
            ids
        } else {
            ids.select(0, indices(cells, &device))
        };
        let mut end = 0;
        let segments = self.spans.iter().map(|span| {
            end += span.len();
            Segment::alone(end - span.len()..end)
        });
        let segments = Segments::new(segments.collect());
        let positions = self.spans.iter().flat_map(|span| 0..span.len()).collect();
        Packed {
            ids,
            positions,
            segments,
        }
    }

    /// Index of the last token of each row among the packed ones.
    pub(crate) fn ends(&self) -> Vec<usize> {
        let mut end = 0;
        let ends = self.spans.iter().map(|span| {
            end += span.len();
            end - 1
        });
        ends.collect()
    }

    /// Rows of packed tokens, `[n, w]`, in their cells of `[b, t, w]`; padding cells are 0.
    pub(crate) fn unpacked(&self, rows: Tensor<2>) -> Tensor<3> {
        let ([n, width], columns) = (rows.dims(), self.columns());
        let shape = [self.rows(), columns, width];
        if n == self.rows() * columns {
            return rows.reshape(shape);
        }
        let mut cells = vec![n; self.rows() * columns];
        let mut token = 0;
        for (line, span) in cells.chunks_exact_mut(columns).zip(&self.spans) {
            for cell in &mut line[span.clone()] {
                *cell = token;
                token += 1;
            }
        }
        spread(rows, indices(cells, &self.ids.device())).reshape(shape)
    }
}
