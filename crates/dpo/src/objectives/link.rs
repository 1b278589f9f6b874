//! What is made of a margin that is wanted above 0.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, relu};
use preflab_config::Link;

/// `−(1 − ε) log σ(m) − ε log σ(−m)`: the cross-entropy of `σ(m)` against a label that is right with probability
/// `1 − ε`.
///
/// - `margin`: `m`, `[b]`.
/// - `label_smoothing`: `ε` in `[0, 0.5)`.
///
/// Returns `[b]`, above 0; `ln 2` at `m = 0` for every `ε`.
pub fn logistic(margin: Tensor<1>, label_smoothing: f64) -> Tensor<1> {
    let right = -log_sigmoid(margin.clone());
    if label_smoothing == 0.0 {
        return right;
    }
    right * (1.0 - label_smoothing) - log_sigmoid(-margin) * label_smoothing
}

/// `max(0, 1 − m)`, `[b]`.
pub fn hinge_of(margin: Tensor<1>) -> Tensor<1> {
    relu(-margin + 1.0)
}

/// The loss that `link` makes of a margin, `[b]`.
pub fn linked(margin: Tensor<1>, link: Link) -> Tensor<1> {
    match link {
        Link::Logistic { label_smoothing } => logistic(margin, label_smoothing.get()),
        Link::Hinge => hinge_of(margin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, leaf, values};

    #[test]
    fn smoothing_takes_its_share_of_the_flipped_loss() {
        let (right, wrong) = (0.25f64.exp().ln_1p() - 0.25, 0.25f64.exp().ln_1p());
        assert_close(
            &values(&logistic(leaf(&[0.25]), 0.2)),
            &[0.8 * right + 0.2 * wrong],
        );
    }

    #[test]
    fn the_hinge_is_zero_beyond_a_margin_of_one() {
        assert_close(
            &values(&hinge_of(leaf(&[-2.0, 0.0, 0.5, 1.0, 3.0]))),
            &[3.0, 1.0, 0.5, 0.0, 0.0],
        );
    }
}
