//! Normalisation over the last axis.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::architecture::{NormKind, NormSettings};
use crate::init::Initializer;
use crate::ops;

/// One of [`NormKind`], with its weights.
#[derive(Module, Debug)]
pub struct Norm {
    /// `[d]`.
    pub weight: Param<Tensor<1>>,
    /// `[d]`; LayerNorm alone has it.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    settings: NormSettings,
}

impl Norm {
    pub(crate) fn init(width: usize, settings: NormSettings, initializer: &Initializer) -> Self {
        let (weight, bias) = match settings.kind {
            NormKind::Rms => (1.0, None),
            NormKind::RmsPlusOne => (0.0, None),
            NormKind::Layer => (1.0, Some(0.0)),
        };
        Self {
            weight: initializer.constant(width, weight),
            bias: bias.map(|value| initializer.constant(width, value)),
            settings,
        }
    }

    /// `x`: `[.., d]`. Returns the same shape.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (weight, epsilon) = (self.weight.val(), self.settings.epsilon);
        match self.settings.kind {
            NormKind::Rms => ops::rms_norm(x, weight, epsilon),
            NormKind::RmsPlusOne => ops::rms_norm(x, weight + 1.0, epsilon),
            NormKind::Layer => {
                let mean = x.clone().mean_dim(D - 1);
                let centred = x - mean;
                let variance = centred.clone().square().mean_dim(D - 1);
                let normed = centred / (variance + epsilon).sqrt() * weight.unsqueeze();
                match &self.bias {
                    Some(bias) => normed + bias.val().unsqueeze(),
                    None => normed,
                }
            }
        }
    }
}
