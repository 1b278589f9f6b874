//! What is logged of the policy's next-token distributions.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Statistics of the next-token distributions that completion tokens were predicted from, without gradient, `[n]` each.
#[derive(Debug, Clone)]
pub struct TokenStatistics {
    /// Entropy, nats.
    pub entropy: Tensor<1>,
    /// Mean logit over the vocabulary.
    pub mean_logit: Tensor<1>,
    /// 1 where the token is the most probable one, 0 elsewhere.
    pub correct: Tensor<1>,
    /// `log Σ_v π(v)²`, nats.
    pub log_collision: Tensor<1>,
}

impl TokenStatistics {
    /// Of `logits` `[n, v]` at `targets` `[n]`.
    pub fn of(logits: &Tensor<2>, targets: &Tensor<1, Int>) -> Self {
        let logits = if logits.is_autodiff() {
            logits.clone().inner()
        } else {
            logits.clone()
        };
        let dtype = logits.dtype();
        let logps = log_softmax(logits.clone(), 1);
        let probabilities = logps.clone().exp();
        let predicted: Tensor<1, Int> = logits.clone().argmax(1).squeeze_dim(1);
        Self {
            entropy: -(probabilities.clone() * logps)
                .sum_dim(1)
                .squeeze_dim::<1>(1),
            mean_logit: logits.mean_dim(1).squeeze_dim(1),
            correct: predicted.equal(targets.clone()).float().cast(dtype),
            log_collision: probabilities.square().sum_dim(1).log().squeeze_dim(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};

    fn numbers(tensor: Tensor<1>) -> Vec<f64> {
        tensor.into_data().convert::<f64>().try_to_vec().unwrap()
    }

    #[test]
    fn they_are_those_of_the_distribution() {
        let device = Device::flex();
        let logits = TensorData::from([[1f64.ln(), 3f64.ln()], [5.0, 5.0]]);
        let logits = Tensor::<2>::from_data(logits, (&device, DType::F64));
        let targets = Tensor::<1, Int>::from_data(TensorData::from([1i64, 1]), &device);
        let statistics = TokenStatistics::of(&logits, &targets);
        let close = |ours: Vec<f64>, expected: [f64; 2]| {
            for (a, b) in ours.iter().zip(expected) {
                assert!((a - b).abs() < 1e-12, "{ours:?} {expected:?}");
            }
        };
        let entropy = 0.25 * 4f64.ln() + 0.75 * (4f64 / 3.0).ln();
        close(numbers(statistics.entropy), [entropy, 2f64.ln()]);
        close(numbers(statistics.mean_logit), [3f64.ln() / 2.0, 5.0]);
        close(numbers(statistics.correct), [1.0, 0.0]);
        close(
            numbers(statistics.log_collision),
            [(0.0625f64 + 0.5625).ln(), 0.5f64.ln()],
        );
    }
}
