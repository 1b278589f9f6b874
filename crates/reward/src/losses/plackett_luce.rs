//! The likelihood of a whole ranking.

use burn::tensor::Tensor;

/// Negative log-likelihood of the ranking, `[b]`: `sum over i of log sum over j >= i of exp(r_j - r_i)`.
///
/// Plackett 1975, Luce 1959: the best is drawn with probability proportional to `exp(r)`, then the best of the rest, and so
/// on. Zhu et al. 2023, [arXiv:2301.11270](https://arxiv.org/abs/2301.11270), eq. 6. Of two completions it is the
/// Bradley-Terry loss.
///
/// - `scores`: `[b, k]`, the best completion first.
///
/// At least 0; `ln k!` where all scores agree.
pub fn plackett_luce(scores: Tensor<2>) -> Tensor<1> {
    let [b, k] = scores.dims();
    let mut loss = Tensor::zeros_like(&scores.clone().inner().narrow(1, 0, 1));
    for first in 0..k.saturating_sub(1) {
        let rest = scores.clone().narrow(1, first, k - first);
        let largest = rest.clone().detach().max_dim(1);
        let log_sum = (rest - largest.clone()).exp().sum_dim(1).log() + largest;
        loss = loss + log_sum - scores.clone().narrow(1, first, 1);
    }
    loss.reshape([b])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::bradley_terry;
    use burn::tensor::{DType, Device, TensorData};

    fn scores(rows: &[f64], k: usize) -> Tensor<2> {
        let data = TensorData::new(rows.to_vec(), [rows.len() / k, k]);
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    #[test]
    fn of_two_it_is_bradley_terry() {
        let losses: Vec<f64> = plackett_luce(scores(&[1.0, -0.5, 0.0, 3.0], 2))
            .into_data()
            .iter()
            .collect();
        let differences = Tensor::<1>::from_data(
            TensorData::new(vec![1.5, -3.0], [2]),
            (&Device::flex(), DType::F64),
        );
        let pairs: Vec<f64> = bradley_terry(differences, 0.0).into_data().iter().collect();
        assert!(losses.iter().zip(pairs).all(|(a, b)| (a - b).abs() < 1e-14));
    }

    #[test]
    fn the_probabilities_of_all_rankings_add_up_to_one() {
        let (a, b, c) = (0.3, -1.2, 2.0);
        let orders = [
            [a, b, c],
            [a, c, b],
            [b, a, c],
            [b, c, a],
            [c, a, b],
            [c, b, a],
        ]
        .concat();
        let losses: Vec<f64> = plackett_luce(scores(&orders, 3))
            .into_data()
            .iter()
            .collect();
        let total: f64 = losses.iter().map(|loss| (-loss).exp()).sum();
        assert!((total - 1.0).abs() < 1e-14);
    }

    #[test]
    fn the_gradient_equals_central_differences() {
        let device = Device::flex().autodiff();
        let point = [0.5, -0.1, 0.9, 2e3];
        let leaf = |x: &[f64]| {
            Tensor::<2>::from_data(TensorData::new(x.to_vec(), [1, 4]), (&device, DType::F64))
                .require_grad()
        };
        let x = leaf(&point);
        let gradient: Vec<f64> = x
            .grad(&plackett_luce(x.clone()).backward())
            .unwrap()
            .into_data()
            .iter()
            .collect();
        for i in 0..4 {
            let at = |step: f64| {
                let mut moved = point;
                moved[i] += step;
                plackett_luce(leaf(&moved)).into_scalar::<f64>()
            };
            let difference = (at(1e-4) - at(-1e-4)) / 2e-4;
            assert!(
                (gradient[i] - difference).abs() < 1e-6,
                "{i}: {} {difference}",
                gradient[i]
            );
        }
    }
}
