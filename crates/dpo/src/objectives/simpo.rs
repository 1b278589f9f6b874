//! Simple Preference Optimization: mean log-probabilities, a target margin, no reference.

use burn::tensor::Tensor;
use preflab_config::Link;
use preflab_data::Pair;

use super::link::linked;
use crate::inputs::margin;

/// `−log σ(β log π(y_w) / |y_w| − β log π(y_l) / |y_l| − γ)`.
///
/// Meng et al. 2024, [arXiv:2405.14734](https://arxiv.org/abs/2405.14734), eq. 6;
/// [arXiv:2406.07327](https://arxiv.org/abs/2406.07327), eq. 13.
///
/// - `means`: log-probabilities divided by the number of completion tokens, `[b]` each, nats per token.
/// - `beta`: scale, tokens/nats. `gamma`: target margin *after* beta, as in TRL's `simpo_gamma`; the authors' code, oat and
///   HALOs give `gamma_beta_ratio = γ / β`.
/// - `link`: logistic with label smoothing, or the hinge `max(0, 1 − m)` of the authors' code.
///
/// Returns `[b]`, at least 0.
pub fn simpo(means: &Pair<Tensor<1>>, beta: f64, gamma: f64, link: Link) -> Tensor<1> {
    linked(margin(means) * beta - gamma, link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stable::divided;
    use crate::testing::{assert_close, pair, slopes, values};

    #[test]
    fn it_is_ln_2_at_the_target_margin() {
        let at = pair(&[-0.5], &[-1.0]);
        let loss = simpo(&at, 2.0, 1.0, Link::default());
        assert_close(&values(&loss), &[std::f64::consts::LN_2]);
        assert_close(&slopes(&loss, &at).chosen, &[-1.0]);
        assert_close(&values(&simpo(&at, 2.0, 1.0, Link::Hinge)), &[1.0]);
    }

    /// arXiv:2406.07327: `∂l/∂π_w = −(β/|y_w|) σ(−m) / π_w`, `∂l/∂π_l = (β/|y_l|) σ(−m) / π_l`.
    #[test]
    fn its_gradient_in_the_likelihoods_is_the_closed_form() {
        let (beta, gamma, w, l, tokens) = (2.0f64, 0.3f64, 1e-3f64, 1e-5f64, 4.0);
        let at = pair(&[w.ln()], &[l.ln()]);
        let means = at.clone().map(|side| divided(side, tokens));
        let slopes = slopes(&simpo(&means, beta, gamma, Link::default()), &at);
        let wrong = 1.0 / (1.0 + (beta / tokens * (w / l).ln() - gamma).exp());
        assert_close(&[slopes.chosen[0]], &[-beta / tokens * wrong]);
        assert_close(&[slopes.rejected[0]], &[beta / tokens * wrong]);
    }
}
