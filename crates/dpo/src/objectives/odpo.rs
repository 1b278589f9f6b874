//! DPO with an offset.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use preflab_config::OffsetScale;
use preflab_data::Pair;

use crate::inputs::margin;

/// The margin that ODPO asks for, from the gap between the judge's scores, `[b]`.
///
/// `α log(s_w − s_l)` (Amini et al. 2024, [arXiv:2402.10571](https://arxiv.org/abs/2402.10571), section 4), or
/// `α (s_w − s_l)`. A gap below `1e-6` counts as `1e-6` under the logarithm, so that ties stay finite.
pub fn offset(score_gaps: Tensor<1>, alpha: f64, scale: OffsetScale) -> Tensor<1> {
    match scale {
        OffsetScale::Log => score_gaps.clamp_min(1e-6).log() * alpha,
        OffsetScale::Linear => score_gaps * alpha,
    }
}

/// `−log σ(β h − Δ)`: the more one completion is preferred, the larger the margin asked for.
///
/// Amini et al. 2024, [arXiv:2402.10571](https://arxiv.org/abs/2402.10571), eq. 8.
///
/// - `log_ratios`: `log π − log π_ref` summed over completion tokens, `[b]` each, nats.
/// - `offset`: `Δ`, `[b]`, in units of the implicit reward `β r`.
/// - `beta`: 1/nats.
///
/// Returns `[b]`, above 0; `ln 2` where `β h = Δ`. Assumes scores on one scale over the whole data set.
pub fn odpo(log_ratios: &Pair<Tensor<1>>, offset: Tensor<1>, beta: f64) -> Tensor<1> {
    -log_sigmoid(margin(log_ratios) * beta - offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, leaf, pair, slopes, values};

    #[test]
    fn it_is_ln_2_where_the_margin_is_the_offset() {
        let at = pair(&[4.0], &[-1.0]);
        let offset = offset(leaf(&[0.5f64.exp()]), 1.0, OffsetScale::Log);
        let loss = odpo(&at, offset, 0.1);
        assert_close(&values(&loss), &[std::f64::consts::LN_2]);
        assert_close(&slopes(&loss, &at).chosen, &[-0.05]);
    }

    #[test]
    fn a_tie_and_a_wrong_order_stay_finite() {
        let gaps = leaf(&[0.0, -3.0]);
        assert!(
            values(&offset(gaps, 1.0, OffsetScale::Log))
                .iter()
                .all(|x| x.is_finite())
        );
        assert_close(
            &values(&offset(leaf(&[-3.0]), 0.5, OffsetScale::Linear)),
            &[-1.5],
        );
    }
}
