//! The plain policy gradient with a quadratic pull towards the old policy.

use burn::tensor::Tensor;

use super::PolicyBatch;

/// Direct Reward Optimisation, token by token: `-(log policy * A - beta / 2 (log r)^2)`, `[b, t]`.
///
/// Richemond et al. 2024, [arXiv:2405.19107](https://arxiv.org/abs/2405.19107), as verl has it. `beta` in 1/nats.
/// The value is not centred on 0.
pub fn dro(batch: &PolicyBatch, beta: f64) -> Tensor<2> {
    batch.log_ratio().square() * (0.5 * beta) - batch.logps.clone() * batch.advantages.clone()
}
