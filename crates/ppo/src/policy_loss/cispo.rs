//! Clipped importance weights without a gradient of their own.

use burn::tensor::Tensor;
use preflab_config::RatioBounds;

use super::PolicyBatch;

/// CISPO: `-stop(clip(r, 1 - low, 1 + high)) A log policy`, `[b, t]`.
///
/// Chen et al. 2025, MiniMax-M1, [arXiv:2506.13585](https://arxiv.org/abs/2506.13585): clipping bounds a token's
/// weight but never silences it. The value is not centred on 0.
pub fn cispo(batch: &PolicyBatch, bounds: RatioBounds) -> Tensor<2> {
    let weight = batch
        .ratio()
        .clamp(1.0 - bounds.low.get(), 1.0 + bounds.high.get())
        .detach();
    -(weight * batch.advantages.clone() * batch.logps.clone())
}
