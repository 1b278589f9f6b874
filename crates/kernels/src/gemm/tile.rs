//! The innermost product: a few rows of `A` times a panel of `B`, all sums in registers.

use crate::vector::Vector;

/// Where the rows of `A` lie.
#[derive(Clone, Copy)]
pub(super) enum Rows {
    /// As packed by [`super::pack::a`]: all rows of one term side by side.
    Packed(*const f32),
    /// One after the other, this many elements apart; terms side by side.
    Strided(*const f32, usize),
}

/// Where the panel of `B` lies: one row of vectors for each term.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub(super) from: *const f32,
    /// Elements from one term to the next.
    pub(super) step: usize,
    /// Read where it lies: rows are far apart and asked for early, and nothing stands behind the last column.
    pub(super) in_place: bool,
}

/// Rows of a panel in place asked for before they are used.
const AHEAD: usize = 16;

/// Where a tile goes.
#[derive(Clone, Copy)]
pub(super) struct To {
    pub(super) at: *mut f32,
    /// Elements between rows, or between columns where the tile is `turned`.
    pub(super) row: usize,
    /// Store the transpose.
    pub(super) turned: bool,
    /// Columns of the last vector that exist.
    pub(super) tail: usize,
    /// Add to what is there.
    pub(super) add: bool,
}

/// A tile of `rows × (wide vectors)`.
///
/// # Safety
///
/// `a` holds `rows` rows of `depth` terms, `b` holds `depth` rows of `wide` vectors (the last one as far as
/// `to.tail` where it is read in place), `to` is writable; rows are packed only beside a packed panel.
#[inline(always)]
pub(super) unsafe fn any<V: Vector>(
    rows: usize,
    wide: usize,
    depth: usize,
    a: Rows,
    b: Panel,
    to: To,
) {
    macro_rules! dispatch {
        ($($r:literal)*) => {
            // SAFETY: the caller's.
            unsafe {
                match (rows, wide) {
                    $(
                        ($r, 1) => at::<V, $r, 1>(depth, a, b, to),
                        ($r, 2) => at::<V, $r, 2>(depth, a, b, to),
                        ($r, 3) => at::<V, $r, 3>(depth, a, b, to),
                    )*
                    _ => unreachable!("tiles have at most {} rows and three vectors", V::ROWS),
                }
            }
        };
    }
    dispatch!(1 2 3 4 5 6 7 8)
}

#[inline(always)]
unsafe fn at<V: Vector, const R: usize, const W: usize>(depth: usize, a: Rows, b: Panel, to: To) {
    if R > V::ROWS {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        match a {
            Rows::Packed(from) => {
                sum::<V, R, W, false>(depth, b, to, |r, k| from.wrapping_add(k * V::ROWS + r));
            }
            Rows::Strided(from, row) => {
                let mut rows = [from; R];
                for (r, start) in rows.iter_mut().enumerate() {
                    *start = from.wrapping_add(r * row);
                }
                let a = |r: usize, k: usize| rows[r].wrapping_add(k);
                if b.in_place {
                    sum::<V, R, W, true>(depth, b, to, a);
                } else {
                    sum::<V, R, W, false>(depth, b, to, a);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn sum<V: Vector, const R: usize, const W: usize, const IN_PLACE: bool>(
    depth: usize,
    b: Panel,
    to: To,
    a: impl Fn(usize, usize) -> *const f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[V::zero(); W]; R];
        let mut from = b.from;
        for k in 0..depth {
            let mut vectors = [V::zero(); W];
            for (w, vector) in vectors.iter_mut().enumerate() {
                let at = from.add(w * V::WIDTH);
                *vector = if IN_PLACE && w + 1 == W {
                    V::load_first(at, to.tail)
                } else {
                    V::load(at)
                };
                if IN_PLACE {
                    V::prefetch(from.wrapping_add(AHEAD * b.step + w * V::WIDTH));
                }
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = V::broadcast(a(r, k));
                for w in 0..W {
                    sums[w] = sums[w].add_product(a, vectors[w]);
                }
            }
            from = from.wrapping_add(b.step);
        }
        if to.turned {
            store_turned(sums, to);
        } else {
            store(sums, to);
        }
    }
}

#[inline(always)]
unsafe fn store<V: Vector, const R: usize, const W: usize>(sums: [[V; W]; R], to: To) {
    // SAFETY: the caller's.
    unsafe {
        for (r, sums) in sums.into_iter().enumerate() {
            for (w, sum) in sums.into_iter().enumerate() {
                let at = to.at.add(r * to.row + w * V::WIDTH);
                if w + 1 == W && to.tail < V::WIDTH {
                    let sum = if to.add {
                        V::load_first(at, to.tail).add(sum)
                    } else {
                        sum
                    };
                    sum.store_first(at, to.tail);
                } else {
                    let sum = if to.add { V::load(at).add(sum) } else { sum };
                    sum.store(at);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn store_turned<V: Vector, const R: usize, const W: usize>(sums: [[V; W]; R], to: To) {
    /// The widest vectors.
    const WIDEST: usize = 16;
    let mut tile = [[[0.0f32; WIDEST]; W]; R];
    // SAFETY: the caller's.
    unsafe {
        for (sums, tile) in sums.into_iter().zip(&mut tile) {
            for (sum, tile) in sums.into_iter().zip(tile) {
                sum.store(tile.as_mut_ptr());
            }
        }
        let columns = (W - 1) * V::WIDTH + to.tail;
        for column in 0..columns {
            let (w, lane) = (column / V::WIDTH, column % V::WIDTH);
            for (r, tile) in tile.iter().enumerate() {
                let at = to.at.add(column * to.row + r);
                *at = if to.add {
                    *at + tile[w][lane]
                } else {
                    tile[w][lane]
                };
            }
        }
    }
}
