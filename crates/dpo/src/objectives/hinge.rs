//! The hinge on the log-ratio margin.

use burn::tensor::Tensor;
use preflab_data::Pair;

use super::link::hinge_of;
use crate::inputs::margin;

/// `max(0, 1 − β h)` with `h = r_w − r_l`.
///
/// Liu et al. 2023 (RSO), [arXiv:2309.06657](https://arxiv.org/abs/2309.06657), eq. 11 (its `γ` is beta); TRL's `hinge`,
/// oat's `SLiC`.
///
/// - `scores`: log-ratios summed over completion tokens (or their f-divergence scores), `[b]` each, nats.
/// - `beta`: reciprocal of the margin, 1/nats.
///
/// Returns `[b]`, at least 0; 1 where the policy equals the reference.
pub fn hinge(scores: &Pair<Tensor<1>>, beta: f64) -> Tensor<1> {
    hinge_of(margin(scores) * beta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn it_stops_at_a_margin_of_the_reciprocal_of_beta() {
        let at = pair(&[0.0, 6.0, 1e4, -1e4], &[0.0, -6.0, -1e4, 1e4]);
        let loss = hinge(&at, 0.1);
        assert_close(&values(&loss), &[1.0, 0.0, 0.0, 2001.0]);
        assert_close(&slopes(&loss, &at).chosen, &[-0.1, 0.0, 0.0, -0.1]);
    }
}
