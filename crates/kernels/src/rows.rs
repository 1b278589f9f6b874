//! Work on many rows, shared between threads in pieces that do not depend on their number.

use std::ops::Range;

use rayon::prelude::*;

/// Elements of one piece: large against the cost of handing it out, small against the caches.
const PIECE: usize = 1 << 14;

/// Rows of `width` elements in one piece.
pub(crate) fn piece(width: usize) -> usize {
    (PIECE / width.max(1)).max(1)
}

/// Calls `f` with every piece of `0..rows`, on several threads where there is more than one piece, and returns the
/// results in order.
pub(crate) fn map<T: Send>(
    rows: usize,
    width: usize,
    f: impl Fn(Range<usize>) -> T + Sync,
) -> Vec<T> {
    let piece = piece(width);
    let pieces = rows.div_ceil(piece);
    let range = |i: usize| i * piece..((i + 1) * piece).min(rows);
    if pieces <= 1 {
        (0..pieces).map(|i| f(range(i))).collect()
    } else {
        (0..pieces).into_par_iter().map(|i| f(range(i))).collect()
    }
}

/// Calls `f` with every piece of `0..rows`, on several threads where there is more than one piece.
pub(crate) fn each(rows: usize, width: usize, f: impl Fn(Range<usize>) + Sync) {
    let piece = piece(width);
    let pieces = rows.div_ceil(piece);
    let range = |i: usize| i * piece..((i + 1) * piece).min(rows);
    if pieces <= 1 {
        (0..pieces).for_each(|i| f(range(i)));
    } else {
        (0..pieces).into_par_iter().for_each(|i| f(range(i)));
    }
}

/// A slice that several threads write, each its own elements.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    to: *mut f32,
    len: usize,
}

// SAFETY: access is unsafe, and its callers promise disjoint elements.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// The elements of `values`, which must outlive the result.
    pub(crate) fn new(values: &mut [f32]) -> Self {
        Self {
            to: values.as_mut_ptr(),
            len: values.len(),
        }
    }

    /// Some of the elements.
    ///
    /// # Safety
    ///
    /// The slice is alive, and no other thread touches these elements meanwhile.
    pub(crate) unsafe fn slice<'a>(self, range: Range<usize>) -> &'a mut [f32] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: in bounds; the rest is the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.to.add(range.start), range.len()) }
    }

    /// Where element `i` lies.
    pub(crate) fn at(self, i: usize) -> *mut f32 {
        assert!(i <= self.len);
        self.to.wrapping_add(i)
    }
}
