//! Helpers of the unit tests: pairs of f64 leaves and the gradients of a loss over them.

use burn::tensor::{DType, Device, Tensor, TensorData};
use preflab_data::Pair;

/// A trainable f64 vector.
pub(crate) fn leaf(values: &[f64]) -> Tensor<1> {
    let device = Device::flex().autodiff();
    Tensor::from_data(TensorData::from(values), (&device, DType::F64)).require_grad()
}

/// A pair of trainable f64 vectors.
pub(crate) fn pair(chosen: &[f64], rejected: &[f64]) -> Pair<Tensor<1>> {
    Pair {
        chosen: leaf(chosen),
        rejected: leaf(rejected),
    }
}

/// The numbers of a tensor.
pub(crate) fn values(tensor: &Tensor<1>) -> Vec<f64> {
    tensor
        .clone()
        .into_data()
        .convert::<f64>()
        .try_to_vec()
        .expect("f64 numbers")
}

/// Gradient of the summed `loss` with respect to both sides of `at`; 0 where the loss does not depend on a side.
pub(crate) fn slopes(loss: &Tensor<1>, at: &Pair<Tensor<1>>) -> Pair<Vec<f64>> {
    let gradients = loss.clone().sum().backward();
    at.as_ref().map(|side| match side.grad(&gradients) {
        Some(gradient) => values(&gradient),
        None => vec![0.0; side.dims()[0]],
    })
}

/// Asserts that two lists of numbers agree within `1e-12` of their size.
pub(crate) fn assert_close(ours: &[f64], expected: &[f64]) {
    assert_eq!(ours.len(), expected.len());
    for (a, b) in ours.iter().zip(expected) {
        assert!(
            (a - b).abs() <= 1e-12 * b.abs().max(1.0),
            "{ours:?} {expected:?}"
        );
    }
}
