//! One block: attention and feed-forward on the residual stream.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::architecture::{Architecture, Residual};
use crate::attention::{Attention, Pass};
use crate::init::Initializer;
use crate::mlp::Mlp;
use crate::narrow::Narrowed;
use crate::norm::Norm;

/// `x <- x + attention(norm(x))`, then `x <- x + mlp(norm(x))`, or one of the other [`Residual`] forms.
#[derive(Module, Debug)]
pub struct Block {
    /// Before the attention.
    pub input_layernorm: Norm,
    /// The attention.
    pub self_attn: Attention,
    /// On what the attention returns ([`Residual::SequentialNormed`]).
    pub attention_output_layernorm: Option<Norm>,
    /// Before the feed-forward.
    pub post_attention_layernorm: Norm,
    /// The feed-forward.
    pub mlp: Mlp,
    /// On what the feed-forward returns ([`Residual::SequentialNormed`]).
    pub mlp_output_layernorm: Option<Norm>,
    #[module(skip)]
    residual: Residual,
}

impl Block {
    pub(crate) fn init(
        architecture: &Architecture,
        index: usize,
        initializer: &mut Initializer,
    ) -> Self {
        let Architecture {
            width,
            norm,
            residual,
            ..
        } = *architecture;
        let output_norm = |initializer: &Initializer| match residual {
            Residual::SequentialNormed => Some(Norm::init(width, norm, initializer)),
            Residual::Sequential | Residual::Parallel => None,
        };
        let layer = architecture.layers[index];
        Self {
            input_layernorm: Norm::init(width, norm, initializer),
            self_attn: Attention::init(width, &architecture.attention, layer, norm, initializer),
            attention_output_layernorm: output_norm(initializer),
            post_attention_layernorm: Norm::init(width, norm, initializer),
            mlp: Mlp::init(width, &architecture.mlp, initializer),
            mlp_output_layernorm: output_norm(initializer),
            residual,
        }
    }

    /// `x`: `[n, d]`, the stream before block `index`. Returns the stream after it, of all tokens or those of `narrowed`.
    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        index: usize,
        pass: &mut Pass,
        narrowed: Option<&Narrowed>,
    ) -> Tensor<2> {
        let read = self.input_layernorm.forward(x.clone());
        let attended = self.self_attn.forward(read, index, pass, narrowed);
        let x = match narrowed {
            Some(narrowed) => narrowed.rows(x),
            None => x,
        };
        match self.residual {
            Residual::Parallel => {
                let fed = self
                    .mlp
                    .forward(self.post_attention_layernorm.forward(x.clone()));
                x + attended + fed
            }
            Residual::Sequential | Residual::SequentialNormed => {
                let x = x + normed(&self.attention_output_layernorm, attended);
                let fed = self
                    .mlp
                    .forward(self.post_attention_layernorm.forward(x.clone()));
                x + normed(&self.mlp_output_layernorm, fed)
            }
        }
    }
}

fn normed(norm: &Option<Norm>, x: Tensor<2>) -> Tensor<2> {
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}
