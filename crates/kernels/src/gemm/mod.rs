//! Single-precision matrix products on the CPU, with any strides on either side.
//!
//! `C ← A·B` or `C ← C + A·B`. Every element of `C` is a sum over `k` in one fixed order (blocks of [`BLOCK`], ascending,
//! one fused multiply-add per term), whatever the other sizes, the tile it falls in and the number of threads: a row's
//! result does not depend on which rows share the call.

mod pack;
mod tile;
mod view;

use crate::scratch::Scratch;
use crate::simd::Level;
use crate::vector::{self, Vector, at_every_level};
use rayon::prelude::*;
pub(crate) use view::{Output, View};

/// Terms summed before a partial result is added to `C`: a panel of `B` this deep stays in the nearest caches.
const BLOCK: usize = 256;

/// Multiply-adds below which a product is not worth waking other threads for.
const WORTH_SHARING: usize = 1 << 20;

/// Panels of rows up to which a product is made as that of the transposes, where only these need no packing.
const TURN: usize = 2;

/// Vectors per row of a tile.
const WIDE: usize = 3;

/// Whether a product overwrites its output or adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// `C ← A·B`.
    Overwrite,
    /// `C ← C + A·B`.
    Add,
}

/// `A·B` on the calling thread.
pub(crate) fn serial(level: Level, a: View, b: View, c: Output, store: Store) {
    check(&a, &b, &c);
    // SAFETY: `check` compared the sizes, views are within their slices, and `level` is one the machine has.
    unsafe { run(level, a, b, c, store) }
}

/// `A·B` on as many threads as pay.
pub(crate) fn parallel(level: Level, a: View, b: View, mut c: Output, store: Store) {
    check(&a, &b, &c);
    let (m, n, k) = (a.rows, b.cols, a.cols);
    let threads = rayon::current_num_threads();
    if threads == 1 || m * n * k < WORTH_SHARING {
        // SAFETY: as in `serial`.
        unsafe { run(level, a, b, c, store) }
        return;
    }
    let panel = WIDE * width(level);
    let pieces = (threads * 2).min(m * n * k / (WORTH_SHARING / 2)).max(2);
    // Splitting columns packs nothing twice where `A` needs no packing; splitting rows packs `B` once per piece.
    let by_columns = (a.col == 1 || a.rows < b.cols / 4) && n.div_ceil(panel) >= pieces;
    let parts = if by_columns {
        split(n, panel, pieces)
            .into_iter()
            .map(|columns| (0..m, columns))
            .collect::<Vec<_>>()
    } else {
        let rows = split(m, rows(level), pieces);
        let left = pieces.div_ceil(rows.len());
        let columns = split(n, panel, left);
        rows.iter()
            .flat_map(|rows| {
                columns
                    .iter()
                    .map(|columns| (rows.clone(), columns.clone()))
            })
            .collect()
    };
    // SAFETY: the parts are disjoint.
    let parts = parts
        .into_iter()
        .map(|(rows, columns)| {
            let part = unsafe { c.part(rows.clone(), columns.clone()) };
            (a.rows(rows), b.columns(columns), part)
        })
        .collect::<Vec<_>>();
    parts
        .into_par_iter()
        .with_max_len(1)
        // SAFETY: as in `serial`.
        .for_each(|(a, b, c)| unsafe { run(level, a, b, c, store) });
}

/// `0..n` in at most `pieces` ranges whose bounds are multiples of `unit`.
fn split(n: usize, unit: usize, pieces: usize) -> Vec<std::ops::Range<usize>> {
    let units = n.div_ceil(unit);
    let pieces = pieces.clamp(1, units.max(1));
    (0..pieces)
        .map(|i| {
            let bound = |i: usize| (i * units / pieces * unit).min(n);
            bound(i)..bound(i + 1)
        })
        .collect()
}

fn check(a: &View, b: &View, c: &Output) {
    assert_eq!(a.cols, b.rows, "inner sizes of a matrix product");
    assert_eq!(
        (a.rows, b.cols),
        (c.rows, c.cols),
        "output of a matrix product"
    );
}

fn width(level: Level) -> usize {
    match level {
        Level::Portable => vector::Portable::WIDTH,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => vector::Avx2::WIDTH,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => vector::Avx512::WIDTH,
        #[cfg(not(target_arch = "x86_64"))]
        Level::Avx2 | Level::Avx512 => vector::Portable::WIDTH,
    }
}

fn rows(level: Level) -> usize {
    match level {
        Level::Portable => vector::Portable::ROWS,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => vector::Avx2::ROWS,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => vector::Avx512::ROWS,
        #[cfg(not(target_arch = "x86_64"))]
        Level::Avx2 | Level::Avx512 => vector::Portable::ROWS,
    }
}

at_every_level! {
    /// A product on the calling thread.
    unsafe fn run(a: View, b: View, c: Output, store: Store) = blocks
}

/// The product itself, or that of the transposes.
#[inline(always)]
unsafe fn blocks<V: Vector>(a: View, b: View, c: Output, store: Store) {
    let (m, n) = (a.rows, b.cols);
    if m == 0 || n == 0 {
        return;
    }
    // Few rows do not repay moving all of `B`. Its columns lie in order, as rows of a left operand should.
    let turn = !c.turned && b.row == 1 && b.col != 1 && m <= TURN * WIDE * V::WIDTH;
    let (a, b, c) = if turn {
        (b.t(), a.t(), c.t())
    } else {
        (a, b, c)
    };
    // SAFETY: the caller's.
    unsafe { loops::<V>(a, b, c, store) };
}

/// The loops around a tile: blocks of `k`, panels of columns, rows.
#[inline(always)]
unsafe fn loops<V: Vector>(a: View, b: View, mut c: Output, store: Store) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    if k == 0 {
        if store == Store::Overwrite {
            c.fill_zero();
        }
        return;
    }
    let deep = k.min(BLOCK);
    let pack_a = a.col != 1;
    let mut packed_a = pack_a.then(|| Scratch::new(m.next_multiple_of(V::ROWS) * deep));
    // Few rows do not repay packing a matrix that can be read as it lies.
    let in_place = b.col == 1 && !pack_a && m <= 2 * V::ROWS;
    let mut packed_b = (!in_place).then(|| Scratch::new(WIDE * V::WIDTH * deep));
    let mut k0 = 0;
    while k0 < k {
        let depth = BLOCK.min(k - k0);
        let add = store == Store::Add || k0 > 0;
        if let Some(to) = &mut packed_a {
            // SAFETY: the scratch holds the whole block.
            unsafe { pack::a::<V>(&a, k0, depth, to.as_mut_ptr()) };
        }
        let vectors = n.div_ceil(V::WIDTH);
        let mut vector = 0;
        while vector < vectors {
            let wide = match vectors - vector {
                1 => 1,
                2 | 4 => 2,
                _ => WIDE,
            };
            let j0 = vector * V::WIDTH;
            let cols = (wide * V::WIDTH).min(n - j0);
            // SAFETY: all pointers stay within the views and the scratch; see each function.
            unsafe {
                let panel = match &mut packed_b {
                    None => tile::Panel {
                        from: b.at(k0, j0),
                        step: b.row,
                        in_place,
                    },
                    Some(to) => {
                        pack::b::<V>(&b, k0, depth, j0, cols, wide, to.as_mut_ptr());
                        tile::Panel {
                            from: to.as_ptr(),
                            step: wide * V::WIDTH,
                            in_place,
                        }
                    }
                };
                let tail = cols - (wide - 1) * V::WIDTH;
                let mut i0 = 0;
                while i0 < m {
                    let rows = V::ROWS.min(m - i0);
                    let rows_of_a = match &packed_a {
                        Some(a) => tile::Rows::Packed(a.as_ptr().add(i0 * depth)),
                        None => tile::Rows::Strided(a.at(i0, k0), a.row),
                    };
                    let to = tile::To {
                        at: c.at(i0, j0),
                        row: c.row,
                        turned: c.turned,
                        tail,
                        add,
                    };
                    tile::any::<V>(rows, wide, depth, rows_of_a, panel, to);
                    i0 += rows;
                }
            }
            vector += wide;
        }
        k0 += depth;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers from -4 to 4: products are exact in any order.
    fn whole(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 31 + seed * 17 + i / 7) % 9) as f32 - 4.0)
            .collect()
    }

    fn by_hand(
        m: usize,
        n: usize,
        k: usize,
        a: impl Fn(usize, usize) -> f32,
        b: impl Fn(usize, usize) -> f32,
    ) -> Vec<f32> {
        let element = |i: usize, j: usize| (0..k).map(|k| a(i, k) * b(k, j)).sum();
        (0..m * n).map(|at| element(at / n, at % n)).collect()
    }

    const SIZES: [[usize; 3]; 10] = [
        [0, 3, 2],
        [2, 3, 0],
        [1, 1, 1],
        [3, 5, 7],
        [8, 48, 300],
        [17, 16, 9],
        [19, 65, 257],
        [40, 113, 33],
        [130, 200, 70],
        [9, 34, 600],
    ];

    #[test]
    fn products_of_all_orders_are_exact_at_every_level() {
        for level in Level::available() {
            for [m, n, k] in SIZES {
                let (a, b) = (whole(m * k, 1), whole(k * n, 2));
                for (a_turned, b_turned) in
                    [(false, false), (true, false), (false, true), (true, true)]
                {
                    let left = if a_turned {
                        View::new(&a, k, m).t()
                    } else {
                        View::new(&a, m, k)
                    };
                    let right = if b_turned {
                        View::new(&b, n, k).t()
                    } else {
                        View::new(&b, k, n)
                    };
                    let at_a =
                        |i: usize, j: usize| if a_turned { a[j * m + i] } else { a[i * k + j] };
                    let at_b =
                        |i: usize, j: usize| if b_turned { b[j * k + i] } else { b[i * n + j] };
                    let expected = by_hand(m, n, k, at_a, at_b);
                    let mut c = vec![f32::NAN; m * n];
                    serial(
                        level,
                        left,
                        right,
                        Output::new(&mut c, m, n),
                        Store::Overwrite,
                    );
                    assert_eq!(
                        c, expected,
                        "{level:?} {m} {n} {k}, turned {a_turned} {b_turned}"
                    );
                    parallel(level, left, right, Output::new(&mut c, m, n), Store::Add);
                    let twice: Vec<f32> = expected.iter().map(|x| 2.0 * x).collect();
                    assert_eq!(c, twice, "{level:?} {m} {n} {k}, added");
                }
            }
        }
    }

    #[test]
    fn only_the_block_of_the_output_is_written() {
        let (m, n, k, row) = (11, 37, 20, 50);
        let (a, b) = (whole(m * k, 1), whole(k * n, 2));
        let expected = by_hand(m, n, k, |i, j| a[i * k + j], |i, j| b[i * n + j]);
        for level in Level::available() {
            let mut c = vec![7.0; m * row];
            serial(
                level,
                View::new(&a, m, k),
                View::new(&b, k, n),
                Output::strided(&mut c, m, n, row),
                Store::Overwrite,
            );
            for (i, line) in c.chunks(row).enumerate() {
                assert_eq!(line[..n], expected[i * n..(i + 1) * n], "{level:?}");
                assert!(line[n..].iter().all(|&x| x == 7.0), "{level:?}");
            }
        }
    }

    #[test]
    fn levels_with_fused_multiply_add_give_the_same_bits() {
        let (m, n, k) = (37, 75, 300);
        let numbers = |count: usize| {
            (0..count)
                .map(|i| ((i * 7919) % 1009) as f32 * 1e-3 - 0.5)
                .collect::<Vec<_>>()
        };
        let (a, b) = (numbers(m * k), numbers(k * n));
        let products: Vec<Vec<f32>> = Level::available()
            .into_iter()
            .filter(|&level| level != Level::Portable || cfg!(target_arch = "aarch64"))
            .map(|level| {
                let mut c = vec![0.0; m * n];
                let (a, b) = (View::new(&a, m, k), View::new(&b, k, n));
                serial(level, a, b, Output::new(&mut c, m, n), Store::Overwrite);
                c
            })
            .collect();
        assert!(products.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn parallel_products_equal_serial_ones_bitwise() {
        let (m, n, k) = (300, 250, 700);
        let numbers = |count: usize| {
            (0..count)
                .map(|i| ((i * 7919) % 1009) as f32 * 1e-3 - 0.5)
                .collect::<Vec<_>>()
        };
        let (a, b) = (numbers(m * k), numbers(k * n));
        let (left, right) = (View::new(&a, m, k), View::new(&b, k, n));
        for level in Level::available() {
            let (mut one, mut many) = (vec![0.0; m * n], vec![0.0; m * n]);
            serial(
                level,
                left,
                right,
                Output::new(&mut one, m, n),
                Store::Overwrite,
            );
            for threads in [2, 3, 8] {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                pool.install(|| {
                    parallel(
                        level,
                        left,
                        right,
                        Output::new(&mut many, m, n),
                        Store::Overwrite,
                    )
                });
                assert!(one == many, "{level:?}, {threads} threads");
            }
        }
    }
}
