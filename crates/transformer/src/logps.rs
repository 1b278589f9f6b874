//! Log-probabilities of completion tokens.

use burn::tensor::{Tensor, TensorData};

/// Log-probabilities of the completion tokens of a batch, in nats.
#[derive(Debug, Clone)]
pub struct TokenLogps {
    /// `log pi(token | what stands before it)`, `[b, c]`; 0 past the end of a completion.
    pub logps: Tensor<2>,
    /// Entropy of the distribution each token was drawn from, `[b, c]`; 0 past the end. Carries its gradient, for an
    /// entropy bonus; `inner()` gives the numbers alone.
    pub entropy: Tensor<2>,
    /// 1 on completion tokens, 0 past the end, `[b, c]`.
    pub mask: Tensor<2>,
    /// Completion tokens of each row.
    pub lengths: Vec<usize>,
}

impl TokenLogps {
    /// Log-probability of each completion, `[b]`: the sum over its tokens.
    pub fn sum(&self) -> Tensor<1> {
        let [b, _] = self.logps.dims();
        self.logps.clone().sum_dim(1).reshape([b])
    }

    /// Mean log-probability of each completion's tokens, `[b]`; 0 for an empty completion.
    pub fn mean(&self) -> Tensor<1> {
        self.sum() / self.counts().clamp_min(1.0)
    }

    /// Completion tokens of each row as numbers, `[b]`.
    pub fn counts(&self) -> Tensor<1> {
        let counts: Vec<f32> = self.lengths.iter().map(|&length| length as f32).collect();
        let shape = [counts.len()];
        Tensor::from_data(TensorData::new(counts, shape), &self.mask.device())
    }
}
