//! Functions of log-probabilities that stay finite and exact where the textbook form does not.

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{DType, Tensor};

/// `exp(min(x, cap))`, where the cap keeps the square of the result finite in the tensor's dtype: 40 in f32 and bf16, 5 in
/// f16, 350 in f64. Beyond the cap the gradient is 0. (TRL caps at 80 in f32, whose square is not finite.)
pub(crate) fn capped_exp(x: Tensor<1>) -> Tensor<1> {
    let cap = match x.dtype() {
        DType::F64 => 350.0,
        DType::F16 => 5.0,
        _ => 40.0,
    };
    x.clamp_max(cap).exp()
}

/// `σ(x)`, with a gradient that is exact in both tails: burn's own `sigmoid` forms it as `s (1 − s)`, which is lost to
/// rounding where `s` is near 1.
pub(crate) fn probability(x: Tensor<1>) -> Tensor<1> {
    log_sigmoid(x).exp()
}

/// `x / divisor`. Not `x / divisor` as burn writes it: its backward pass forms the reciprocal in f32, whatever the dtype.
pub(crate) fn divided(x: Tensor<1>, divisor: f64) -> Tensor<1> {
    x * (1.0 / divisor)
}

/// `log(1 − exp(x))` for `x < 0`, without cancellation near 0: with `u = tanh(−x/2)` it is `log 2u − log(1 + u)`.
///
/// A value of `x` above `-1e-6` counts as `-1e-6`, so that a completion of probability 1 stays finite.
pub(crate) fn log_one_minus_exp(x: Tensor<1>) -> Tensor<1> {
    let u = (x.clamp_max(-1e-6) * -0.5).tanh();
    (u.clone() * 2.0).log() - u.log1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{leaf, values};

    #[test]
    fn log_one_minus_exp_is_exact_near_zero_and_far_away() {
        for x in [-1e-4, -0.01, -0.5, -2.0, -30.0] {
            let ours = values(&log_one_minus_exp(leaf(&[x])))[0];
            let exact = (-f64::exp_m1(x)).ln();
            assert!((ours - exact).abs() < 1e-12, "{x}: {ours} {exact}");
        }
        assert!(values(&log_one_minus_exp(leaf(&[0.0])))[0].is_finite());
        assert_eq!(values(&log_one_minus_exp(leaf(&[-1e4])))[0], 0.0);
    }

    #[test]
    fn the_slope_of_a_probability_is_exact_in_both_tails() {
        for x in [-30.0, 0.0, 30.0] {
            let at = leaf(&[x]);
            let gradients = probability(at.clone().cast(DType::F32)).backward();
            let slope = values(&at.grad(&gradients).unwrap())[0];
            let exact = 1.0 / ((1.0 + x.exp()) * (1.0 + (-x).exp()));
            assert!((slope / exact - 1.0).abs() < 1e-5, "{x}: {slope} {exact}");
        }
    }

    #[test]
    fn a_quotient_has_the_gradient_of_its_dtype() {
        let x = leaf(&[1.0]);
        let gradients = divided(x.clone(), 3.0).backward();
        assert_eq!(values(&x.grad(&gradients).unwrap()), [1.0 / 3.0]);
    }

    #[test]
    fn capped_exp_never_overflows() {
        assert!(values(&capped_exp(leaf(&[1e4])))[0].is_finite());
        let single = leaf(&[1e4]).cast(DType::F32);
        assert!(values(&capped_exp(single))[0].is_finite());
    }
}
