//! Losses over the scores of preferred and other completions.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use preflab_data::Pair;

/// `-(1 - e) log σ(r_w - r_l - m) - e log σ(-(r_w - r_l - m))`: Bradley-Terry with margin and label smoothing.
///
/// Ouyang et al. 2022, [arXiv:2203.02155](https://arxiv.org/abs/2203.02155), eq. 1; the margin is that of Touvron et al.
/// 2023, [arXiv:2307.09288](https://arxiv.org/abs/2307.09288), eq. 2.
///
/// - `scores`: `[b]` each.
/// - `margins`: `m`, `[b]`; absent: 0.
/// - `label_smoothing`: `e`, the probability that a label is wrong, below one half.
///
/// Returns `[b]`, above 0; `ln 2` where the scores differ by the margin.
pub fn bradley_terry(
    scores: &Pair<Tensor<1>>,
    margins: Option<Tensor<1>>,
    label_smoothing: f64,
) -> Tensor<1> {
    let difference = scores.chosen.clone() - scores.rejected.clone();
    let difference = match margins {
        Some(margins) => difference - margins,
        None => difference,
    };
    let right = -log_sigmoid(difference.clone());
    if label_smoothing == 0.0 {
        return right;
    }
    right * (1.0 - label_smoothing) - log_sigmoid(-difference) * label_smoothing
}

/// `(r_w + r_l)^2`: keeps scores around zero, since a pair fixes their difference alone.
///
/// Eisenstein et al. 2023, [arXiv:2312.09244](https://arxiv.org/abs/2312.09244), eq. 7. Returns `[b]`, at least 0.
pub fn centring(scores: &Pair<Tensor<1>>) -> Tensor<1> {
    (scores.chosen.clone() + scores.rejected.clone()).square()
}

/// `log(1 + exp(r_l - r_w))`, which is [`bradley_terry`] without margin and smoothing, under OpenRLHF's name.
///
/// Returns `[b]`. OpenRLHF's own form overflows in f32 at a difference of 88; this one does not.
pub fn log_exp(scores: &Pair<Tensor<1>>) -> Tensor<1> {
    bradley_terry(scores, None, 0.0)
}

/// `-Σ_i (r_i - log Σ_{j >= i} exp r_j)`: the negative log-likelihood of a whole ranking.
///
/// Plackett 1975; Luce 1959; of two completions it is [`bradley_terry`].
///
/// - `scores`: `[b, k]`, the best completion first.
///
/// Returns `[b]`, at least 0.
pub fn plackett_luce(scores: Tensor<2>) -> Tensor<1> {
    let [b, k] = scores.dims();
    let terms = (0..k.saturating_sub(1)).map(|place| {
        let left = scores.clone().slice([0..b, place..k]);
        let best = left.clone().slice([0..b, 0..1]).reshape([b]);
        let largest = left.clone().max_dim(1).detach();
        let sum = (left - largest.clone()).exp().sum_dim(1).log() + largest;
        sum.reshape([b]) - best
    });
    terms
        .reduce(|sum, term| sum + term)
        .unwrap_or_else(|| scores.sum_dim(1).reshape([b]) * 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn pair(chosen: &[f32], rejected: &[f32]) -> Pair<Tensor<1>> {
        let device = Device::flex().autodiff();
        Pair {
            chosen: Tensor::<1>::from_floats(chosen, &device).require_grad(),
            rejected: Tensor::<1>::from_floats(rejected, &device).require_grad(),
        }
    }

    fn numbers(values: &Tensor<1>) -> Vec<f32> {
        values.clone().into_data().iter::<f32>().collect()
    }

    #[test]
    fn equal_scores_cost_ln_2_and_pull_apart_by_one_half() {
        let scores = pair(&[1.0], &[1.0]);
        let loss = bradley_terry(&scores, None, 0.0);
        assert_eq!(numbers(&loss), [std::f32::consts::LN_2]);
        let gradients = loss.backward();
        assert_eq!(numbers(&scores.chosen.grad(&gradients).unwrap()), [-0.5]);
        assert_eq!(numbers(&scores.rejected.grad(&gradients).unwrap()), [0.5]);
    }

    #[test]
    fn the_loss_is_finite_and_asymptotically_right() {
        let scores = pair(&[1e4, -1e4], &[-1e4, 1e4]);
        assert_eq!(numbers(&bradley_terry(&scores, None, 0.0)), [0.0, 2e4]);
        assert_eq!(numbers(&log_exp(&scores)), [0.0, 2e4]);
    }

    #[test]
    fn smoothing_mixes_in_the_swapped_pair() {
        let scores = pair(&[2.0], &[0.5]);
        let swapped = numbers(&bradley_terry(&scores.clone().swapped(), None, 0.0))[0];
        let plain = numbers(&bradley_terry(&scores, None, 0.0))[0];
        let smoothed = numbers(&bradley_terry(&scores, None, 0.1))[0];
        assert!((smoothed - (0.9 * plain + 0.1 * swapped)).abs() < 1e-6);
    }

    #[test]
    fn a_ranking_of_two_is_a_pair() {
        let scores = pair(&[2.0, -0.3], &[0.5, 4.0]);
        let both = Tensor::stack::<2>(vec![scores.chosen.clone(), scores.rejected.clone()], 1);
        let (ranking, pairs) = (plackett_luce(both), bradley_terry(&scores, None, 0.0));
        for (a, b) in numbers(&ranking).iter().zip(numbers(&pairs)) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn the_likelihoods_of_all_rankings_add_up_to_one() {
        let device = Device::flex();
        let r = [0.3f32, -1.2, 2.0];
        let orders = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        let total: f32 = orders
            .iter()
            .map(|order| {
                let row = order.map(|place: usize| r[place]);
                let loss = plackett_luce(Tensor::<2>::from_floats([row], &device));
                (-loss.into_scalar::<f32>()).exp()
            })
            .sum();
        assert!((total - 1.0).abs() < 1e-6);
    }
}
