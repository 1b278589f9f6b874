//! Normalisation over the last axis.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::layer_norm;
use preflab_kernels::rms_norm;

use crate::architecture::{NormKind, NormSettings};
use crate::dtype::{cast, full};
use crate::init::Initializer;

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
            weight: initializer.vector(width, weight),
            bias: bias.map(|value| initializer.vector(width, value)),
            settings,
        }
    }

    /// `x`: `[.., d]`. Returns the same shape, in the numbers of `x`; computed in 32-bit floats.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let dtype = x.dtype();
        cast(self.forward_full(x), dtype)
    }

    /// [`Self::forward`] in 32-bit floats, whatever the numbers of `x`.
    pub(crate) fn forward_full<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let x = full(x);
        let (weight, epsilon) = (self.weight.val(), self.settings.epsilon);
        match self.settings.kind {
            NormKind::Rms => rms_norm(x, weight, epsilon),
            NormKind::RmsPlusOne => rms_norm(x, weight + 1.0, epsilon),
            NormKind::Layer => layer_norm(x, weight, self.bias.as_ref().map(Param::val), epsilon),
        }
    }
}
