//! AdamW, its learning-rate schedule and gradient clipping, with PyTorch's and transformers' meanings.

use serde::{Deserialize, Serialize};

use crate::{Momentum, NonNegative, Positive};

/// AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101) as `torch.optim.AdamW` computes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSettings {
    /// Peak learning rate.
    pub learning_rate: Positive,
    /// Decay of the first and second moment. Default (0.9, 0.999), PyTorch.
    #[serde(default = "betas")]
    pub betas: [Momentum; 2],
    /// Added to the root of the second moment. Default 1e-8, PyTorch.
    #[serde(default = "epsilon")]
    pub epsilon: Positive,
    /// Decoupled weight decay of matrices; biases and norm weights are never decayed, as in transformers. Default 0.
    #[serde(default = "zero")]
    pub weight_decay: NonNegative,
    /// Global gradient norm above which gradients are scaled down; 0 switches clipping off. Default 1, transformers.
    #[serde(default = "max_grad_norm")]
    pub max_grad_norm: NonNegative,
    /// How the learning rate changes over the updates. Default: constant.
    #[serde(default)]
    pub schedule: Schedule,
    /// Updates over which the learning rate rises linearly from 0. Default 0.
    #[serde(default)]
    pub warmup: usize,
}

fn betas() -> [Momentum; 2] {
    [Momentum::of(0.9), Momentum::of(0.999)]
}
fn epsilon() -> Positive {
    Positive::of(1e-8)
}
fn zero() -> NonNegative {
    NonNegative::of(0.0)
}
fn max_grad_norm() -> NonNegative {
    NonNegative::of(1.0)
}

impl OptimizerSettings {
    /// Every other setting at its default.
    pub fn with_learning_rate(learning_rate: f64) -> Self {
        Self {
            learning_rate: Positive::of(learning_rate),
            betas: betas(),
            epsilon: epsilon(),
            weight_decay: zero(),
            max_grad_norm: max_grad_norm(),
            schedule: Schedule::default(),
            warmup: 0,
        }
    }
}

/// The factor on the peak learning rate after warm-up, named as in transformers' `lr_scheduler_type`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// 1 throughout.
    #[default]
    Constant,
    /// Falls linearly to 0 at the last update.
    Linear,
    /// Half a cosine from 1 to 0 at the last update.
    Cosine,
}

impl PartialEq<f64> for Momentum {
    fn eq(&self, other: &f64) -> bool {
        self.get() == *other
    }
}
