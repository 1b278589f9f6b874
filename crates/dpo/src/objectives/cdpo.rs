//! Conservative DPO: label smoothing.

use burn::tensor::Tensor;
use preflab_data::Pair;

use super::link::logistic;
use crate::inputs::margin;

/// `−(1 − ε) log σ(β h) − ε log σ(−β h)`.
///
/// Mitchell 2023, [A note on DPO with noisy preferences](https://ericmitchell.ai/cdpo.pdf), eq. 3; the original DPO code's
/// `label_smoothing`. TRL 1.9 ignores `label_smoothing` for its `sigmoid` loss.
///
/// - `scores`: log-ratios summed over completion tokens (or their f-divergence scores), `[b]` each, nats.
/// - `beta`: 1/nats. `label_smoothing`: `ε`, assumed share of flipped labels.
///
/// Returns `[b]`, above 0; `ln 2` where the policy equals the reference; smallest at `β h = log((1 − ε) / ε)`.
pub fn cdpo(scores: &Pair<Tensor<1>>, beta: f64, label_smoothing: f64) -> Tensor<1> {
    logistic(margin(scores) * beta, label_smoothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, pair, slopes};

    #[test]
    fn its_gradient_vanishes_at_the_margin_of_the_assumed_noise() {
        let at = pair(&[(0.9f64 / 0.1).ln() / 0.5], &[0.0]);
        assert_close(&slopes(&cdpo(&at, 0.5, 0.1), &at).chosen, &[0.0]);
    }
}
