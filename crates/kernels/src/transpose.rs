//! Transposes.

use crate::simd::Level;
use crate::vector::{Vector, at_every_level};

/// Writes the transpose of `rows` rows of `columns` elements, `step` elements apart, to rows `to_step` elements apart.
pub(crate) fn transpose(
    level: Level,
    from: &[f32],
    step: usize,
    [rows, columns]: [usize; 2],
    to: &mut [f32],
    to_step: usize,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(
        (rows - 1) * step + columns <= from.len(),
        "rows beyond their slice"
    );
    assert!(
        (columns - 1) * to_step + rows <= to.len(),
        "columns beyond their slice"
    );
    // SAFETY: in bounds, and a level is one the machine has.
    unsafe {
        any(
            level,
            from.as_ptr(),
            step,
            rows,
            columns,
            to.as_mut_ptr(),
            to_step,
        )
    };
}

at_every_level! {
    unsafe fn any(
        from: *const f32,
        step: usize,
        rows: usize,
        columns: usize,
        to: *mut f32,
        to_step: usize,
    ) = blocks
}

/// A block of vectors at a time.
///
/// # Safety
///
/// `from` holds `rows` rows of `columns` elements and `to` takes `columns` rows of `rows`.
#[inline(always)]
pub(crate) unsafe fn blocks<V: Vector>(
    from: *const f32,
    step: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
    to_step: usize,
) {
    for row in (0..rows).step_by(V::WIDTH) {
        for column in (0..columns).step_by(V::WIDTH) {
            let (high, wide) = (V::WIDTH.min(rows - row), V::WIDTH.min(columns - column));
            // SAFETY: the caller's.
            unsafe {
                let (from, to) = (
                    from.add(row * step + column),
                    to.add(column * to_step + row),
                );
                V::transpose(from, step, high, wide, to, to_step);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_changes_places_and_nothing_else_is_written() {
        for level in Level::available() {
            for [rows, columns] in [
                [0, 3],
                [1, 1],
                [16, 16],
                [8, 40],
                [17, 33],
                [40, 24],
                [3, 100],
            ] {
                let (step, to_step) = (columns + 3, rows + 2);
                let from: Vec<f32> = (0..rows * step).map(|i| i as f32).collect();
                let mut to = vec![-1.0; columns * to_step];
                transpose(level, &from, step, [rows, columns], &mut to, to_step);
                for (column, line) in to.chunks(to_step).enumerate() {
                    for (row, &x) in line.iter().enumerate() {
                        let expected = if row < rows {
                            (row * step + column) as f32
                        } else {
                            -1.0
                        };
                        assert_eq!(
                            x, expected,
                            "{level:?}, {rows} x {columns}, at {row}, {column}"
                        );
                    }
                }
            }
        }
    }
}
