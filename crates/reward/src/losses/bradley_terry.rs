//! The Bradley-Terry loss, its label smoothing, and the term that keeps scores around zero.

use burn::tensor::Tensor;
use preflab_data::Pair;

use super::log_sigmoid;

/// Negative log-likelihood of the preference: `-(1 - e) log sigmoid(d) - e log sigmoid(-d)`, `[b]`.
///
/// `e = 0`: Ouyang et al. 2022, [arXiv:2203.02155](https://arxiv.org/abs/2203.02155), eq. 1. With a margin `m`,
/// `d = r_chosen - r_rejected - m`: Touvron et al. 2023, [arXiv:2307.09288](https://arxiv.org/abs/2307.09288), eq. 2. `e` is
/// the probability that a label is wrong: Wang et al. 2024, [arXiv:2401.06080](https://arxiv.org/abs/2401.06080), section
/// 2.3.2.
///
/// - `difference`: `d`, `[b]`.
///
/// Above 0; exactly `ln 2` at `d = 0`.
pub fn bradley_terry(difference: Tensor<1>, label_smoothing: f64) -> Tensor<1> {
    let likely = -log_sigmoid(difference.clone());
    if label_smoothing == 0.0 {
        return likely;
    }
    likely * (1.0 - label_smoothing) - log_sigmoid(-difference) * label_smoothing
}

/// `(r_chosen + r_rejected)^2`, `[b]`: differences of scores alone leave their level free, and this fixes it at 0.
///
/// Eisenstein et al. 2023, [arXiv:2312.09244](https://arxiv.org/abs/2312.09244), eq. 2; TRL's `center_rewards_coefficient`.
pub fn centring(scores: &Pair<Tensor<1>>) -> Tensor<1> {
    (scores.chosen.clone() + scores.rejected.clone()).square()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};

    fn at(difference: f64, label_smoothing: f64) -> (f64, f64) {
        let device = Device::flex().autodiff();
        let data = TensorData::new(vec![difference], [1]);
        let difference = Tensor::<1>::from_data(data, (&device, DType::F64)).require_grad();
        let loss = bradley_terry(difference.clone(), label_smoothing);
        let slope = difference
            .grad(&loss.clone().backward())
            .unwrap()
            .into_scalar::<f64>();
        (loss.into_scalar::<f64>(), slope)
    }

    #[test]
    fn the_loss_is_ln_2_and_its_slope_minus_one_half_where_scores_agree() {
        let (loss, slope) = at(0.0, 0.0);
        assert!((loss - std::f64::consts::LN_2).abs() < 1e-15 && slope == -0.5);
        assert!((at(0.0, 0.2).1 + 0.3).abs() < 1e-15);
    }

    #[test]
    fn the_loss_is_finite_and_linear_far_out() {
        assert_eq!(at(-2e4, 0.0), (2e4, -1.0));
        assert_eq!(at(2e4, 0.0), (0.0, 0.0));
        let (loss, slope) = at(2e4, 0.1);
        assert!((loss - 2e3).abs() < 1e-9 && (slope - 0.1).abs() < 1e-15);
    }

    #[test]
    fn smoothed_loss_is_least_where_the_model_is_as_sure_as_the_labels() {
        let best = (0.9f64 / 0.1).ln();
        assert!(at(best, 0.1).1.abs() < 1e-15);
    }
}
