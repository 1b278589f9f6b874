//! An affine map.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::dtype::cast;
use crate::init::Initializer;
use crate::lora::Adapter;

/// `y = x W + b`, and what an adapter adds.
#[derive(Module, Debug)]
pub struct Linear {
    /// `W`, `[inputs, outputs]`: the transpose of what PyTorch stores.
    pub weight: Param<Tensor<2>>,
    /// `b`, `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// A low-rank adapter.
    pub adapter: Option<Adapter>,
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
            adapter: None,
        }
    }

    /// `x`: `[n, inputs]`. Returns `[n, outputs]`, in the numbers of `x`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let dtype = x.dtype();
        let weight = cast(self.weight.val(), dtype);
        let bias = self.bias.as_ref().map(|bias| cast(bias.val(), dtype));
        match &self.adapter {
            None => preflab_kernels::linear(x, weight, bias),
            Some(adapter) => {
                let y = preflab_kernels::linear(x.clone(), weight, bias);
                adapter.add(x, y)
            }
        }
    }
}
