//! How far the policy is from a reference, from sampled tokens or exactly.

use burn::tensor::{Tensor, activation};
use preflab_config::{KlEstimator, KlGradient};

/// Where an estimate is cut off, as reference implementations do for numerical safety.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KlBounds {
    /// The log ratio inside `k3` is clamped to plus or minus this; nats.
    pub log_ratio: f64,
    /// The value of `k3` is clamped to plus or minus this.
    pub k3: f64,
    /// The value of every estimate is clamped to plus or minus this.
    pub value: f64,
}

impl KlBounds {
    /// None.
    pub const OFF: Self = Self {
        log_ratio: f64::INFINITY,
        k3: f64::INFINITY,
        value: f64::INFINITY,
    };
    /// verl's `kl_penalty_forward`.
    pub const VERL: Self = Self {
        log_ratio: 20.0,
        k3: 10.0,
        value: f64::INFINITY,
    };
    /// OpenRLHF's `compute_approx_kl`.
    pub const OPENRLHF: Self = Self {
        log_ratio: f64::INFINITY,
        k3: f64::INFINITY,
        value: 10.0,
    };
}

/// An estimator that needs sampled tokens only: every [`KlEstimator`] but the exact one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampledKl {
    /// `l`.
    K1,
    /// `|l|`.
    Abs,
    /// `l^2 / 2`.
    K2,
    /// `exp(-l) - 1 + l`.
    K3,
}

impl SampledKl {
    /// The same estimator as a setting names it; `None` for the exact KL, which sampled tokens do not give.
    pub fn of(estimator: KlEstimator) -> Option<Self> {
        match estimator {
            KlEstimator::K1 => Some(Self::K1),
            KlEstimator::Abs => Some(Self::Abs),
            KlEstimator::K2 => Some(Self::K2),
            KlEstimator::K3 => Some(Self::K3),
            KlEstimator::Exact => None,
        }
    }

    /// The estimate at a token whose log ratio `l = log policy - log reference` is `log_ratio`, nats.
    ///
    /// Schulman 2020, "Approximating KL divergence": `k1 = l` (unbiased, large variance, may be negative),
    /// `k2 = l^2 / 2` (biased, small variance), `k3 = exp(-l) - 1 + l` (unbiased, never negative).
    pub fn value(self, log_ratio: f64) -> f64 {
        match self {
            Self::K1 => log_ratio,
            Self::Abs => log_ratio.abs(),
            Self::K2 => 0.5 * log_ratio * log_ratio,
            Self::K3 => (-log_ratio).exp_m1() + log_ratio,
        }
    }

    /// The estimate at every token, with its own gradient, `[b, t]`; arguments as in [`kl_terms`].
    fn terms(self, logps: Tensor<2>, reference: Tensor<2>, bounds: KlBounds) -> Tensor<2> {
        let log_ratio = logps - reference;
        let terms = match self {
            Self::K1 => log_ratio,
            Self::Abs => log_ratio.abs(),
            Self::K2 => log_ratio.square() * 0.5,
            Self::K3 => {
                let back = bounded(-log_ratio, bounds.log_ratio);
                bounded(back.clone().exp() - back - 1.0, bounds.k3)
            }
        };
        bounded(terms, bounds.value)
    }
}

/// Clamped to `[-bound, bound]`, without a gradient beyond.
fn bounded<const D: usize>(x: Tensor<D>, bound: f64) -> Tensor<D> {
    if bound.is_finite() {
        x.clamp(-bound, bound)
    } else {
        x
    }
}

/// The KL estimate at every token, as a term of a loss, `[b, t]`. Nats.
///
/// - `logps`: `log policy` of the sampled tokens, `[b, t]`; carries the gradient.
/// - `reference`: `log reference` of the same tokens, `[b, t]`.
///
/// The expectation of `k1` and `k3` over samples of the policy is the KL, but the expectation of their gradients is not
/// its gradient (for `k1` it is zero); that of `k2` is. [`KlGradient::StraightThrough`] keeps the value of the estimator
/// and takes the gradient of `k2` (verl's `+`).
pub fn kl_terms(
    logps: Tensor<2>,
    reference: Tensor<2>,
    estimator: SampledKl,
    gradient: KlGradient,
    bounds: KlBounds,
) -> Tensor<2> {
    let own = estimator.terms(logps.clone(), reference.clone(), bounds);
    match gradient {
        KlGradient::Own => own,
        KlGradient::StraightThrough => {
            let square = SampledKl::K2.terms(logps, reference, KlBounds::OFF);
            square.clone() - square.detach() + own.detach()
        }
    }
}

/// KL(policy, reference) of the whole next-token distribution, `[n]`. Nats, never negative.
///
/// `sum over the vocabulary of p (log p - log q)`, `p` and `q` the softmax of the logits over `temperature`.
///
/// - `policy`, `reference`: logits, `[n, v]`, at the same places.
pub fn exact_kl(policy: Tensor<2>, reference: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [n, _] = policy.dims();
    let policy = activation::log_softmax(policy / temperature, 1);
    let reference = activation::log_softmax(reference / temperature, 1);
    (policy.clone().exp() * (policy - reference))
        .sum_dim(1)
        .reshape([n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};

    fn tensor(cells: &[f64], device: &Device) -> Tensor<2> {
        Tensor::from_data(
            TensorData::new(cells.to_vec(), [1, cells.len()]),
            (device, DType::F64),
        )
    }

    fn numbers(tensor: Tensor<2>) -> Vec<f64> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn every_estimate_is_0_where_the_policies_agree() {
        for estimator in [SampledKl::K1, SampledKl::Abs, SampledKl::K2, SampledKl::K3] {
            assert_eq!(estimator.value(0.0), 0.0);
        }
    }

    #[test]
    fn host_and_tensor_agree() {
        let device = Device::flex();
        let (logps, reference) = ([-1.0, -2.5, -0.3], [-1.2, -1.0, -0.3]);
        for estimator in [SampledKl::K1, SampledKl::Abs, SampledKl::K2, SampledKl::K3] {
            let terms = kl_terms(
                tensor(&logps, &device),
                tensor(&reference, &device),
                estimator,
                KlGradient::Own,
                KlBounds::OFF,
            );
            for (ours, (a, b)) in numbers(terms).iter().zip(logps.iter().zip(reference)) {
                assert!((ours - estimator.value(a - b)).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn k3_averages_to_the_exact_kl_and_so_does_k1() {
        let device = Device::flex();
        let (p, q) = ([0.2f64, 0.5, 0.3], [0.4f64, 0.4, 0.2]);
        let exact: f64 = p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum();
        for estimator in [SampledKl::K1, SampledKl::K3] {
            let mean: f64 = p
                .iter()
                .zip(q)
                .map(|(p, q)| p * estimator.value((p / q).ln()))
                .sum();
            assert!((mean - exact).abs() < 1e-15);
        }
        // Logits at temperature 0.5: halved logs give the same distributions.
        let logits = |p: [f64; 3]| tensor(&p.map(|p| p.ln() * 0.5 + 3.0), &device);
        let ours: Vec<f64> = exact_kl(logits(p), logits(q), 0.5)
            .into_data()
            .try_to_vec()
            .unwrap();
        assert!((ours[0] - exact).abs() < 1e-14);
    }

    #[test]
    fn a_straight_through_gradient_is_that_of_k2() {
        let device = Device::flex().autodiff();
        let logps = tensor(&[-1.0, -2.5], &device).require_grad();
        let reference = tensor(&[-1.2, -1.0], &device);
        let terms = kl_terms(
            logps.clone(),
            reference,
            SampledKl::K3,
            KlGradient::StraightThrough,
            KlBounds::VERL,
        );
        let value = numbers(terms.clone().inner());
        assert!((value[0] - SampledKl::K3.value(0.2)).abs() < 1e-15);
        let gradients = terms.sum().backward();
        let gradient = numbers(logps.grad(&gradients).unwrap());
        assert!((gradient[0] - 0.2).abs() < 1e-15 && (gradient[1] + 1.5).abs() < 1e-15);
    }
}
