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
