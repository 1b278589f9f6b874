//! Rows of scores.

use std::ops::Range;

use crate::simd::{self, accumulate, exp, mul_add, vectorised};

vectorised! {
    /// Turns the scores of the visible keys into `e^(scale·s − max)`, those of the others into 0. Returns the sum and the
    /// logarithm of `Σ e^(scale·s)`.
    pub(super) fn exponentials(scores: &mut [f32], visible: Range<usize>, scale: f32) -> (f32, f32) {
        let (start, end) = (visible.start, visible.end);
        scores[..start].fill(0.0);
        scores[end..].fill(0.0);
        let seen = &mut scores[start..end];
        let largest = simd::max(seen) * scale;
        for score in seen.iter_mut() {
            *score = exp::<FMA>(mul_add::<FMA>(*score, scale, -largest));
        }
        let [sum] = accumulate([seen], |[weight]| [weight]);
        (sum, largest + sum.ln())
    }
}

vectorised! {
    /// Turns the scores of the visible keys into probabilities `e^(scale·s − log_sum)`, those of the others into 0.
    pub(super) fn probabilities(scores: &mut [f32], visible: Range<usize>, scale: f32, log_sum: f32) {
        let (start, end) = (visible.start, visible.end);
        scores[..start].fill(0.0);
        scores[end..].fill(0.0);
        for score in &mut scores[start..end] {
            *score = exp::<FMA>(mul_add::<FMA>(*score, scale, -log_sum));
        }
    }
}

vectorised! {
    /// `dp ← scale · p · (dp − Σ p·dp)`: from the gradient of probabilities to that of `q·k`.
    pub(super) fn score_gradients(p: &[f32], dp: &mut [f32], scale: f32) {
        let mean = simd::dot::<FMA>(p, dp);
        for (dp, p) in dp.iter_mut().zip(p) {
            *dp = scale * p * (*dp - mean);
        }
    }
}

vectorised! {
    /// `row ← factor · row`.
    pub(super) fn scaled(row: &mut [f32], factor: f32) {
        for x in row {
            *x *= factor;
        }
    }
}

vectorised! {
    /// `scores_j ← q·k_j` for keys `step` elements apart.
    pub(super) fn scores(q: &[f32], keys: &[f32], step: usize, scores: &mut [f32]) {
        for (j, score) in scores.iter_mut().enumerate() {
            *score = simd::dot::<FMA>(q, &keys[j * step..j * step + q.len()]);
        }
    }
}

vectorised! {
    /// `to`, `[e, count]`, the transpose of `count` rows of `e`, `step` elements apart; `to` has rows of `width`.
    pub(super) fn transpose(from: &[f32], step: usize, count: usize, e: usize, to: &mut [f32], width: usize) {
        const SIDE: usize = 8;
        let (whole_rows, whole_columns) = (count - count % SIDE, e - e % SIDE);
        for j0 in (0..whole_rows).step_by(SIDE) {
            for c0 in (0..whole_columns).step_by(SIDE) {
                let mut block = [[0.0f32; SIDE]; SIDE];
                for (j, line) in block.iter_mut().enumerate() {
                    let at = (j0 + j) * step + c0;
                    line.copy_from_slice(&from[at..at + SIDE]);
                }
                for c in 0..SIDE {
                    let column: [f32; SIDE] = std::array::from_fn(|j| block[j][c]);
                    let at = (c0 + c) * width + j0;
                    to[at..at + SIDE].copy_from_slice(&column);
                }
            }
        }
        for j in 0..count {
            let from_column = if j < whole_rows { whole_columns } else { 0 };
            for c in from_column..e {
                to[c * width + j] = from[j * step + c];
            }
        }
    }
}
