//! The plain policy gradient.

use burn::tensor::Tensor;

use super::PolicyBatch;

/// The score-function estimator: `-log policy * A`, `[b, t]`.
///
/// Williams 1992, REINFORCE; Chu et al. 2025, GPG, [arXiv:2504.02546](https://arxiv.org/abs/2504.02546).
///
/// Its gradient is that of the expected reward on policy only: one epoch, one minibatch. Its value means nothing by
/// itself (it is not centred on 0).
pub fn reinforce(batch: &PolicyBatch) -> Tensor<2> {
    -(batch.logps.clone() * batch.advantages.clone())
}
