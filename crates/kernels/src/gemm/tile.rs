//! The innermost product: a few rows of `A` times a panel of `B`, all sums in registers.

use super::vector::Vector;

/// Where the rows of `A` lie.
#[derive(Clone, Copy)]
pub(super) enum Rows {
    /// As packed by [`super::pack::a`]: all rows of one term side by side.
    Packed(*const f32),
    /// One after the other, this many elements apart; terms side by side.
    Strided(*const f32, usize),
}

/// Where a tile goes.
#[derive(Clone, Copy)]
pub(super) struct To {
    pub(super) at: *mut f32,
    /// Elements between rows.
    pub(super) row: usize,
    /// Columns of the last vector that exist.
    pub(super) tail: usize,
    /// Add to what is there.
    pub(super) add: bool,
}

/// A tile of `rows × (wide vectors)`.
///
/// # Safety
///
/// `a` holds `rows` rows of `depth` terms, `b` holds `depth` rows of `wide` vectors `b_step` apart, `to` is writable.
#[inline(always)]
pub(super) unsafe fn any<V: Vector>(
    rows: usize,
    wide: usize,
    depth: usize,
    a: Rows,
    b: *const f32,
    b_step: usize,
    to: To,
) {
    macro_rules! dispatch {
        ($($r:literal)*) => {
            // SAFETY: the caller's.
            unsafe {
                match (rows, wide) {
                    $(
                        ($r, 1) => at::<V, $r, 1>(depth, a, b, b_step, to),
                        ($r, 2) => at::<V, $r, 2>(depth, a, b, b_step, to),
                        ($r, 3) => at::<V, $r, 3>(depth, a, b, b_step, to),
                    )*
                    _ => unreachable!("tiles have at most {} rows and three vectors", V::ROWS),
                }
            }
        };
    }
    dispatch!(1 2 3 4 5 6 7 8)
}

#[inline(always)]
unsafe fn at<V: Vector, const R: usize, const W: usize>(
    depth: usize,
    a: Rows,
    b: *const f32,
    b_step: usize,
    to: To,
) {
    if R > V::ROWS {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        match a {
            Rows::Packed(from) => {
                sum::<V, R, W>(depth, b, b_step, to, |r, k| {
                    from.wrapping_add(k * V::ROWS + r)
                });
            }
            Rows::Strided(from, row) => {
                let rows: [*const f32; R] = std::array::from_fn(|r| from.wrapping_add(r * row));
                sum::<V, R, W>(depth, b, b_step, to, |r, k| rows[r].wrapping_add(k));
            }
        }
    }
}

#[inline(always)]
unsafe fn sum<V: Vector, const R: usize, const W: usize>(
    depth: usize,
    b: *const f32,
    b_step: usize,
    to: To,
    a: impl Fn(usize, usize) -> *const f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[V::zero(); W]; R];
        let mut b = b;
        for k in 0..depth {
            let mut vectors = [V::zero(); W];
            for (w, vector) in vectors.iter_mut().enumerate() {
                *vector = V::load(b.add(w * V::WIDTH));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = V::broadcast(a(r, k));
                for w in 0..W {
                    sums[w] = sums[w].add_product(a, vectors[w]);
                }
            }
            b = b.wrapping_add(b_step);
        }
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
