//! Functions of log-probabilities that stay finite and exact where the textbook form does not.

use burn::tensor::{DType, Tensor};

/// `exp(min(x, cap))`, where the cap keeps the result finite in the tensor's dtype: 80 in f32 and bf16 (TRL's value), 11
/// in f16, 700 in f64. Beyond the cap the gradient is 0.
pub(crate) fn capped_exp(x: Tensor<1>) -> Tensor<1> {
    let cap = match x.dtype() {
        DType::F64 => 700.0,
        DType::F16 => 11.0,
        _ => 80.0,
    };
    x.clamp_max(cap).exp()
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
