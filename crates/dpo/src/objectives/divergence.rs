//! f-DPO: the implicit reward of a policy regularised by another divergence than the reverse KL.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use preflab_config::Divergence;
use preflab_data::Pair;

use crate::stable::{capped_exp, divided};

/// `f'(π/π_ref)` up to a constant, from the log-ratio `r = log π − log π_ref`.
///
/// | divergence | `f'` | score |
/// | --- | --- | --- |
/// | reverse KL | `log u + 1` | `r` |
/// | forward KL | `−1/u` | `−exp(−r)` |
/// | Jensen-Shannon | `log(2u / (1 + u))` | `log σ(r)` |
/// | alpha | `(u^(α−1) − 1) / (α − 1)` | `exp((α − 1) r) / (α − 1)` |
///
/// Wang et al. 2023, [arXiv:2309.16240](https://arxiv.org/abs/2309.16240), table 1.
///
/// - `log_ratio`: summed over tokens, `[b]`, nats.
///
/// Returns `[b]`. Constants are dropped: they cancel in every margin, but not in losses that look at one side alone.
/// Exponents are capped so that the score stays finite (TRL caps the alpha divergence only); at `|α − 1| < 1e-6` the
/// alpha divergence is the reverse KL, as in TRL.
pub fn score(log_ratio: Tensor<1>, divergence: Divergence) -> Tensor<1> {
    match divergence {
        Divergence::ReverseKl => log_ratio,
        Divergence::ForwardKl => -capped_exp(-log_ratio),
        Divergence::JensenShannon => log_sigmoid(log_ratio),
        Divergence::Alpha(alpha) => {
            let power = alpha.get() - 1.0;
            if power.abs() < 1e-6 {
                return log_ratio;
            }
            divided(capped_exp(log_ratio * power), power)
        }
    }
}

/// [`score`] of both sides.
pub fn scores(log_ratios: Pair<Tensor<1>>, divergence: Divergence) -> Pair<Tensor<1>> {
    log_ratios.map(|side| score(side, divergence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, leaf, values};
    use preflab_config::Finite;

    fn at(r: f64, divergence: Divergence) -> f64 {
        values(&score(leaf(&[r]), divergence))[0]
    }

    #[test]
    fn each_score_is_the_derivative_of_its_divergence_up_to_a_constant() {
        // differences between r = 0.7 and r = 0 cancel the constants
        let (r, u) = (0.7, 0.7f64.exp());
        let change = |divergence| at(r, divergence) - at(0.0, divergence);
        assert_close(&[change(Divergence::ReverseKl)], &[r]);
        assert_close(&[change(Divergence::ForwardKl)], &[1.0 - 1.0 / u]);
        assert_close(
            &[change(Divergence::JensenShannon)],
            &[(2.0 * u / (1.0 + u)).ln()],
        );
        let alpha = Divergence::Alpha(Finite::of(0.5));
        assert_close(&[change(alpha)], &[(u.powf(-0.5) - 1.0) / -0.5]);
    }

    #[test]
    fn the_alpha_divergence_holds_forward_and_reverse_kl() {
        assert_eq!(
            at(1.3, Divergence::Alpha(Finite::of(0.0))),
            at(1.3, Divergence::ForwardKl)
        );
        assert_eq!(at(1.3, Divergence::Alpha(Finite::of(1.0))), 1.3);
    }
}
