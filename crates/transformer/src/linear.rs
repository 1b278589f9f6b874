//! An affine map.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::init::Initializer;

/// `y = x W + b`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `W`, `[inputs, outputs]`: the transpose of what PyTorch stores.
    pub weight: Param<Tensor<2>>,
    /// `b`, `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    pub(crate) fn init(
        inputs: usize,
        outputs: usize,
        bias: bool,
        initializer: &mut Initializer,
    ) -> Self {
        Self {
            weight: initializer.matrix(inputs, outputs),
            bias: bias.then(|| initializer.vector(outputs, 0.0)),
        }
    }

    /// `x`: `[n, inputs]`. Returns `[n, outputs]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        preflab_kernels::linear(x, self.weight.val(), self.bias.as_ref().map(Param::val))
    }
}
