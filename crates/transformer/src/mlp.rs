//! The feed-forward of a block.

use burn::module::Module;
use burn::tensor::{Tensor, activation};
use preflab_kernels::swiglu;

use crate::architecture::{Activation, MlpSettings};
use crate::init::Initializer;
use crate::linear::Linear;

/// `down(activation(gate(x)) * up(x))`, or without a gate `down(activation(up(x)))`.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `d -> width`.
    pub gate_proj: Option<Linear>,
    /// `d -> width`.
    pub up_proj: Linear,
    /// `width -> d`.
    pub down_proj: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    pub(crate) fn init(d: usize, settings: &MlpSettings, initializer: &mut Initializer) -> Self {
        let MlpSettings {
            width,
            gated,
            activation,
            bias,
        } = *settings;
        Self {
            gate_proj: gated.then(|| Linear::init(d, width, bias, initializer)),
            up_proj: Linear::init(d, width, bias, initializer),
            down_proj: Linear::init(width, d, bias, initializer),
            activation,
        }
    }

    /// `x`: `[n, d]`. Returns `[n, d]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let inner = match &self.gate_proj {
            Some(gate) => self.gated(gate.forward(x.clone()), self.up_proj.forward(x)),
            None => self.activate(self.up_proj.forward(x)),
        };
        self.down_proj.forward(inner)
    }

    fn gated(&self, gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
        match self.activation {
            Activation::Silu => swiglu(gate, up),
            Activation::Gelu | Activation::GeluTanh | Activation::Relu => self.activate(gate) * up,
        }
    }

    fn activate(&self, x: Tensor<2>) -> Tensor<2> {
        match self.activation {
            Activation::Silu => activation::silu(x),
            Activation::Gelu => activation::gelu(x),
            Activation::GeluTanh => gelu_tanh(x),
            Activation::Relu => activation::relu(x),
        }
    }
}

/// `x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))`, the cube by products.
fn gelu_tanh(x: Tensor<2>) -> Tensor<2> {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let inner = (x.clone().square() * (0.044715 * root) + root) * x.clone();
    (inner.tanh() + 1.0) * x * 0.5
}
