//! What a surrogate objective sees of a batch of completions.

use burn::tensor::Tensor;

/// Log ratios are clamped to plus or minus this before the exponential, without a gradient beyond (verl, OpenRLHF): a
/// token whose probability changed by more is broken, and must not become an infinite loss.
pub const MAX_LOG_RATIO: f64 = 20.0;

/// Sampled tokens with their advantages, `[b, t]` each.
#[derive(Debug, Clone)]
pub struct PolicyBatch {
    /// `log policy`; carries the gradient. Nats.
    pub logps: Tensor<2>,
    /// `log policy` at sampling time. Nats.
    pub old_logps: Tensor<2>,
    /// Advantages.
    pub advantages: Tensor<2>,
    /// 1 on sampled tokens, 0 elsewhere.
    pub mask: Tensor<2>,
}

impl PolicyBatch {
    /// `log policy - log old policy`, `[b, t]`.
    pub fn log_ratio(&self) -> Tensor<2> {
        self.logps.clone() - self.old_logps.clone()
    }

    /// `policy / old policy`, `[b, t]`, see [`MAX_LOG_RATIO`].
    pub fn ratio(&self) -> Tensor<2> {
        self.log_ratio().clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    }

    /// Number of tokens of each row, at least 1, `[b, 1]`.
    pub(crate) fn counts(&self) -> Tensor<2> {
        self.mask.clone().sum_dim(1).clamp_min(1.0)
    }

    /// Mean over each row's tokens, `[b, 1]`; 0 for a row without any.
    pub(crate) fn row_mean(&self, values: Tensor<2>) -> Tensor<2> {
        (values * self.mask.clone()).sum_dim(1) / self.counts()
    }
}
