//! Copies of blocks of the operands in the order a tile reads them.

use super::view::View;
use crate::transpose;
use crate::vector::Vector;

/// Terms `k0..k0 + depth` of all rows of `A`, in groups of [`Vector::ROWS`] rows, each group term by term.
///
/// # Safety
///
/// `to` takes `depth` times the number of rows rounded up to whole groups.
#[inline(always)]
pub(super) unsafe fn a<V: Vector>(a: &View, k0: usize, depth: usize, to: *mut f32) {
    let mut i0 = 0;
    while i0 < a.rows {
        let rows = V::ROWS.min(a.rows - i0);
        // SAFETY: the caller's; reads stay within the view.
        unsafe {
            let to = to.add(i0 * depth);
            if a.row == 1 && rows == V::ROWS {
                for k in 0..depth {
                    let (from, to) = (a.at(i0, k0 + k), to.add(k * V::ROWS));
                    std::ptr::copy_nonoverlapping(from, to, V::ROWS);
                }
            } else {
                for k in 0..depth {
                    for r in 0..rows {
                        *to.add(k * V::ROWS + r) = *a.at(i0 + r, k0 + k);
                    }
                }
            }
        }
        i0 += rows;
    }
}

/// Terms `k0..k0 + depth` of columns `j0..j0 + cols` of `B`, term by term, filled up with zeros to `wide` vectors.
///
/// # Safety
///
/// `to` takes `depth × wide` vectors.
#[inline(always)]
pub(super) unsafe fn b<V: Vector>(
    b: &View,
    k0: usize,
    depth: usize,
    j0: usize,
    cols: usize,
    wide: usize,
    to: *mut f32,
) {
    let step = wide * V::WIDTH;
    let tail = cols - (wide - 1) * V::WIDTH;
    // SAFETY: the caller's; reads stay within the view.
    unsafe {
        if b.col == 1 {
            for k in 0..depth {
                let (from, to) = (b.at(k0 + k, j0), to.add(k * step));
                for w in 0..wide {
                    let (from, to) = (from.add(w * V::WIDTH), to.add(w * V::WIDTH));
                    if w + 1 < wide || tail == V::WIDTH {
                        V::load(from).store(to);
                    } else {
                        V::load_first(from, tail).store(to);
                    }
                }
            }
            return;
        }
        if b.row == 1 {
            transpose::blocks::<V>(b.at(k0, j0), b.col, cols, depth, to, step);
        } else {
            for j in 0..cols {
                for k in 0..depth {
                    *to.add(k * step + j) = *b.at(k0 + k, j0 + j);
                }
            }
        }
        for j in cols..step {
            for k in 0..depth {
                *to.add(k * step + j) = 0.0;
            }
        }
    }
}
