//! Matrices within slices.

use std::marker::PhantomData;
use std::ops::Range;

/// A matrix to read: sizes and the distance in elements between neighbours of a row and of a column.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    from: *const f32,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// From one row to the next.
    pub(crate) row: usize,
    /// From one column to the next.
    pub(crate) col: usize,
    data: PhantomData<&'a [f32]>,
}

// SAFETY: a view is a shared borrow of a slice.
unsafe impl Send for View<'_> {}
// SAFETY: as above.
unsafe impl Sync for View<'_> {}

impl<'a> View<'a> {
    /// A matrix of `rows × cols` that starts with `data`, `row` and `col` elements apart.
    pub(crate) fn strided(
        data: &'a [f32],
        rows: usize,
        cols: usize,
        row: usize,
        col: usize,
    ) -> Self {
        if rows > 0 && cols > 0 {
            let last = (rows - 1) * row + (cols - 1) * col;
            assert!(
                last < data.len(),
                "a {rows} x {cols} matrix beyond its slice"
            );
        }
        Self {
            from: data.as_ptr(),
            rows,
            cols,
            row,
            col,
            data: PhantomData,
        }
    }

    /// A matrix stored row after row.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols, 1)
    }

    /// The transpose: the same memory.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row: self.col,
            col: self.row,
            ..self
        }
    }

    /// Some of the rows.
    pub(crate) fn rows(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.rows);
        // SAFETY: within the matrix (an empty range may point one row behind it and is never read).
        let from = self.from.wrapping_add(range.start * self.row);
        Self {
            from,
            rows: range.len(),
            ..self
        }
    }

    /// Some of the columns.
    pub(crate) fn columns(self, range: Range<usize>) -> Self {
        self.t().rows(range).t()
    }

    /// Where element `(i, j)` lies.
    pub(super) fn at(&self, i: usize, j: usize) -> *const f32 {
        self.from.wrapping_add(i * self.row + j * self.col)
    }
}

/// A matrix to write, stored row after row with `row` elements between row starts; or its transpose.
pub(crate) struct Output<'a> {
    to: *mut f32,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Between rows, or between columns where the matrix is `turned`.
    pub(crate) row: usize,
    /// Columns are stored one after the other.
    pub(super) turned: bool,
    data: PhantomData<&'a mut [f32]>,
}

// SAFETY: an output is a unique borrow of a slice.
unsafe impl Send for Output<'_> {}

impl<'a> Output<'a> {
    /// A matrix of `rows × cols` that starts with `data`, its rows `row` elements apart.
    pub(crate) fn strided(data: &'a mut [f32], rows: usize, cols: usize, row: usize) -> Self {
        if rows > 0 && cols > 0 {
            assert!(
                (rows - 1) * row + cols <= data.len(),
                "a {rows} x {cols} matrix beyond its slice"
            );
        }
        assert!(rows < 2 || row >= cols, "rows overlap");
        Self {
            to: data.as_mut_ptr(),
            rows,
            cols,
            row,
            turned: false,
            data: PhantomData,
        }
    }

    /// A matrix stored row after row.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix at `to`.
    ///
    /// # Safety
    ///
    /// All of it can be written while the result lives, and nothing else touches it.
    pub(crate) unsafe fn raw(to: *mut f32, rows: usize, cols: usize, row: usize) -> Self {
        Self {
            to,
            rows,
            cols,
            row,
            turned: false,
            data: PhantomData,
        }
    }

    /// The same matrix for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Output<'_> {
        Output { ..*self }
    }

    /// The transpose: the same memory.
    pub(super) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            turned: !self.turned,
            ..self
        }
    }

    /// A block of the matrix.
    ///
    /// # Safety
    ///
    /// Blocks alive at the same time must not overlap.
    pub(super) unsafe fn part(&mut self, rows: Range<usize>, cols: Range<usize>) -> Output<'a> {
        assert!(rows.end <= self.rows && cols.end <= self.cols);
        Output {
            to: self.at(rows.start, cols.start),
            rows: rows.len(),
            cols: cols.len(),
            ..*self
        }
    }

    pub(super) fn at(&mut self, i: usize, j: usize) -> *mut f32 {
        let (i, j) = if self.turned { (j, i) } else { (i, j) };
        self.to.wrapping_add(i * self.row + j)
    }

    /// Sets every element to zero.
    pub(crate) fn fill_zero(&mut self) {
        for i in 0..self.rows {
            for j in 0..self.cols {
                // SAFETY: within the matrix.
                unsafe { *self.at(i, j) = 0.0 };
            }
        }
    }
}
