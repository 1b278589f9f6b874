//! Entropy of the next-token distribution.

use burn::tensor::{Tensor, activation};

/// `-sum over the vocabulary of p log p`, `p = softmax(logits / temperature)`, with its gradient, `[n]`. Nats.
///
/// - `logits`: `[n, v]`.
pub fn entropy(logits: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [n, _] = logits.dims();
    let logps = activation::log_softmax(logits / temperature, 1);
    -(logps.clone().exp() * logps).sum_dim(1).reshape([n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};

    #[test]
    fn a_uniform_distribution_has_the_log_of_its_size() {
        let logits = TensorData::new(vec![3.0, 3.0, 3.0, 3.0, 1e4, 0.0, 0.0, 0.0], [2, 4]);
        let logits = Tensor::<2>::from_data(logits, (&Device::flex(), DType::F64));
        let ours: Vec<f64> = entropy(logits, 0.7).into_data().try_to_vec().unwrap();
        assert!((ours[0] - 4f64.ln()).abs() < 1e-14);
        assert_eq!(ours[1], 0.0);
    }
}
