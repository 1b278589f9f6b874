//! Surrogate objectives of the policy: one function for each published one, one loss for each token.
//!
//! Every function takes log-probabilities of sampled tokens and their advantages, `[b, t]`, and returns `[b, t]` without
//! any reduction; what stands outside the mask is arbitrary there and left out by
//! [`aggregate`](crate::aggregate). The advantages carry no gradient. All assume that the tokens were sampled from
//! the old policy; nothing can check that here.

mod batch;
mod cispo;
mod clip_counts;
mod clipped;
mod dro;
mod geo_mean;
mod gspo;
mod reinforce;
mod sapo;

pub use batch::{MAX_LOG_RATIO, PolicyBatch};
pub use cispo::cispo;
pub use clip_counts::{ClipCounts, clip_counts};
pub use clipped::{clipped_surrogate, dual_clip};
pub use dro::dro;
pub use geo_mean::geo_mean;
pub use gspo::{gspo, gspo_token};
pub use reinforce::reinforce;
pub use sapo::sapo;

use burn::tensor::Tensor;
use preflab_config::PolicyLoss;

/// The one place where a configured surrogate becomes a function, `[b, t]`.
pub fn policy_loss(loss: PolicyLoss, batch: &PolicyBatch) -> Tensor<2> {
    match loss {
        PolicyLoss::Clipped(clip) => clipped_surrogate(batch, clip),
        PolicyLoss::Gspo(bounds) => gspo(batch, bounds),
        PolicyLoss::GspoToken(bounds) => gspo_token(batch, bounds),
        PolicyLoss::Reinforce => reinforce(batch),
        PolicyLoss::Cispo(bounds) => cispo(batch, bounds),
        PolicyLoss::Sapo(gates) => sapo(batch, gates),
        PolicyLoss::GeoMean(bounds) => {
            let shape = batch.mask.dims();
            let [b, _] = shape;
            geo_mean(batch, bounds).reshape([b, 1]).expand(shape)
        }
        PolicyLoss::Dro(beta) => dro(batch, beta.get()),
    }
}

/// The elementwise larger of two, with the whole gradient to `left` where they are equal.
pub(crate) fn larger(left: Tensor<2>, right: Tensor<2>) -> Tensor<2> {
    let right_is_larger = right.clone().greater(left.clone());
    left.mask_where(right_is_larger, right)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};

    /// One row without padding in f64, and the leaf whose gradient is that of the log-probabilities.
    pub fn batch(logps: &[f64], old_logps: &[f64], advantages: &[f64]) -> (PolicyBatch, Tensor<2>) {
        let device = Device::flex().autodiff();
        let row = |cells: &[f64]| -> Tensor<2> {
            Tensor::from_data(
                TensorData::new(cells.to_vec(), [1, cells.len()]),
                (&device, DType::F64),
            )
        };
        let leaf = row(logps).require_grad();
        let batch = PolicyBatch {
            logps: leaf.clone(),
            old_logps: row(old_logps),
            advantages: row(advantages),
            mask: row(&vec![1.0; logps.len()]),
        };
        (batch, leaf)
    }

    pub fn numbers(tensor: Tensor<2>) -> Vec<f64> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn single_precision_agrees_with_double() {
        use preflab_config::{NonNegative, Positive, RatioBounds, RatioClip, Sapo};
        let bounds = RatioBounds {
            low: NonNegative::of(0.2),
            high: NonNegative::of(0.3),
        };
        let dual = RatioClip {
            dual: Some(Positive::of(3.0)),
            ..RatioClip::default()
        };
        let losses = [
            PolicyLoss::Clipped(dual),
            PolicyLoss::Gspo(bounds),
            PolicyLoss::GspoToken(bounds),
            PolicyLoss::Reinforce,
            PolicyLoss::Cispo(bounds),
            PolicyLoss::Sapo(Sapo::default()),
            PolicyLoss::Dro(Positive::of(0.1)),
            PolicyLoss::GeoMean(bounds),
        ];
        for loss in losses {
            let of = |dtype: DType| {
                let device = Device::flex().autodiff();
                let row = |cells: [f64; 5]| -> Tensor<2> {
                    Tensor::from_data(TensorData::new(cells.to_vec(), [1, 5]), (&device, dtype))
                };
                let logps = row([-1.0, -2.5, -0.3, -4.0, -0.1]).require_grad();
                let batch = PolicyBatch {
                    logps: logps.clone(),
                    old_logps: row([-1.4, -2.4, -0.9, -2.0, -0.1]),
                    advantages: row([1.0, -0.5, -2.0, 0.7, 0.3]),
                    mask: row([1.0, 1.0, 1.0, 1.0, 0.0]),
                };
                let losses = policy_loss(loss, &batch);
                let gradients = losses.clone().sum().backward();
                let numbers =
                    |tensor: Tensor<2>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
                [
                    numbers(losses.inner()),
                    numbers(logps.grad(&gradients).unwrap()),
                ]
                .concat()
            };
            for (single, double) in of(DType::F32).iter().zip(of(DType::F64)) {
                assert!(
                    (single - double).abs() < 1e-6 * double.abs().max(1.0),
                    "{loss:?}: {single} {double}"
                );
            }
        }
    }

    #[test]
    fn every_surrogate_has_the_policy_gradient_where_nothing_changed_yet() {
        use preflab_config::{NonNegative, Positive, RatioBounds, RatioClip, Sapo};
        let bounds = RatioBounds {
            low: NonNegative::of(0.2),
            high: NonNegative::of(0.2),
        };
        let losses = [
            PolicyLoss::Clipped(RatioClip::default()),
            PolicyLoss::Gspo(bounds),
            PolicyLoss::GspoToken(bounds),
            PolicyLoss::Reinforce,
            PolicyLoss::Cispo(bounds),
            PolicyLoss::Sapo(Sapo::default()),
            PolicyLoss::Dro(Positive::of(0.1)),
            PolicyLoss::GeoMean(bounds),
        ];
        for loss in losses {
            let (batch, leaf) = batch(&[-1.0, -0.2, -3.0], &[-1.0, -0.2, -3.0], &[1.5, 1.5, 1.5]);
            let gradients = policy_loss(loss, &batch).sum().backward();
            for gradient in numbers(leaf.grad(&gradients).unwrap()) {
                assert!((gradient + 1.5).abs() < 1e-14, "{loss:?}: {gradient}");
            }
        }
    }
}
