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
            weight: initializer.normal(inputs, outputs),
            bias: bias.then(|| initializer.constant(outputs, 0.0)),
        }
    }

    /// `x`: `[b, t, inputs]`. Returns `[b, t, outputs]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [b, t, inputs] = x.dims();
        let y = self.rows(x.reshape([b * t, inputs]));
        let outputs = y.dims()[1];
        y.reshape([b, t, outputs])
    }

    /// `x`: `[n, inputs]`. Returns `[n, outputs]`.
    pub fn rows(&self, x: Tensor<2>) -> Tensor<2> {
        let y = x.matmul(self.weight.val());
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }
}
