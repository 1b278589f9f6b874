//! The logarithm of the sigmoid, right to the last digit at both ends.

use burn::tensor::Tensor;

/// `log(1 / (1 + exp(-x)))`: `-log1p(exp(-x))` where `x >= 0`, else `x - log1p(exp(x))`.
///
/// Finite everywhere, and not rounded to 0 where `exp(-x)` is small beside 1. Its gradient is `sigmoid(-x)`.
pub fn log_sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let negative = x.clone().lower_elem(0.0);
    let upper = x
        .clone()
        .mask_fill(negative.clone(), 0.0)
        .neg()
        .exp()
        .log1p()
        .neg();
    let below = x.mask_fill(negative.clone().bool_not(), 0.0);
    let lower = below.clone() - below.exp().log1p();
    upper.mask_where(negative, lower)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};

    #[test]
    fn values_and_gradients_are_right_over_the_whole_line() {
        let device = Device::flex().autodiff();
        let points = [-2e4, -30.0, -1.0, 0.0, 1.0, 30.0, 2e4];
        for dtype in [DType::F64, DType::F32] {
            let data = TensorData::new(points.to_vec(), [points.len()]);
            let x = Tensor::<1>::from_data(data, (&device, dtype)).require_grad();
            let y = log_sigmoid(x.clone());
            let gradients = x.grad(&y.clone().sum().backward()).unwrap();
            let tolerance = if dtype == DType::F64 { 1e-14 } else { 1e-6 };
            let pairs = y
                .into_data()
                .iter::<f64>()
                .zip(gradients.into_data().iter::<f64>())
                .collect::<Vec<_>>();
            for (x, (value, slope)) in points.into_iter().zip(pairs) {
                let expected = if x < 0.0 {
                    x - f64::exp(x).ln_1p()
                } else {
                    -f64::exp(-x).ln_1p()
                };
                assert!(
                    (value - expected).abs() <= tolerance * expected.abs(),
                    "{x}: {value} {expected}"
                );
                let expected = 1.0 / (1.0 + f64::exp(x));
                assert!(
                    (slope - expected).abs() <= tolerance * expected.max(1e-30),
                    "{x}: {slope} {expected}"
                );
            }
        }
    }
}
