//! Passes that keep the input of each block alone, and compute a block once more when its gradient is wanted.
//!
//! Chen et al. 2016, [arXiv:1604.06174](https://arxiv.org/abs/1604.06174), section 4.1, with one block a segment. burn has
//! no node that runs a graph within a graph, so the backward pass is made in stages: the loss is differentiated down to the
//! output of the last block, which is a leaf; then each block is computed once more from its kept input, a leaf too, and
//! differentiated against the gradient of its output, from the last to the first; then the embedding. Every stage adds the
//! same numbers in the same order as one pass over the whole graph would.

use std::sync::{Arc, Mutex, PoisonError};

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Gradients, Tensor};
use preflab_kernels::Segments;

use crate::attention::Pass;
use crate::checkpoint::Model;
use crate::decoder::Decoder;
use crate::narrow::Narrowed;
use crate::rotary::Rotation;

/// The passes of a decoder that wait for their gradients.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape(Arc<Mutex<Vec<Recorded>>>);

/// One pass.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// What the first block read, with the graph of the embedding.
    embedded: Tensor<2>,
    /// What each block read, without a graph.
    inputs: Vec<Tensor<2>>,
    /// What the last block gave, a leaf.
    output: Tensor<2>,
    rotation: Option<Rotation>,
    segments: Segments,
    narrowed: Option<Narrowed>,
}

impl Tape {
    fn push(&self, recorded: Recorded) {
        let mut passes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        passes.push(recorded);
    }

    fn take(&self) -> Vec<Recorded> {
        let mut passes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut passes)
    }
}

/// Gradients of a loss that `model` predicted, of everything of it that is trained.
///
/// The place of `loss.backward()` for models that may recompute; forward passes of `model` that the loss does not
/// depend on are forgotten.
///
/// # Panics
/// If the loss depends on nothing that is trained.
pub fn gradients<M: Model>(model: &M, loss: Tensor<1>) -> GradientsParams {
    let mut gradients = loss.backward();
    let mut found = GradientsParams::from_module(&mut gradients, model);
    let decoder = model.decoder();
    for pass in decoder.tape().take() {
        decoder.differentiate(pass, &mut gradients, &mut found);
    }
    found
}

impl Decoder {
    /// What the last block makes of `embedded`, a leaf, with nothing kept but what each block read.
    pub(crate) fn recorded(
        &self,
        embedded: Tensor<2>,
        rotation: Option<Rotation>,
        segments: &Segments,
        narrowed: &Option<Narrowed>,
    ) -> Tensor<2> {
        let mut inputs = Vec::with_capacity(self.layers.len());
        // With autodiff though nothing is recorded: without it burn computes some operations by other kernels, to other
        // roundings.
        let mut x = Tensor::from_inner(embedded.clone().inner());
        for (index, block) in self.layers.iter().enumerate() {
            let mut pass = Pass {
                rotation: rotation.clone(),
                segments,
                cache: None,
            };
            inputs.push(x.clone().inner());
            let narrowed = self.narrowed_in(index, narrowed);
            x = block
                .clone()
                .no_grad()
                .forward(x, index, &mut pass, narrowed);
        }
        let output = Tensor::from_inner(x.inner()).require_grad();
        self.tape().push(Recorded {
            embedded,
            inputs,
            output: output.clone(),
            rotation,
            segments: segments.clone(),
            narrowed: narrowed.clone(),
        });
        output
    }

    /// Carries the gradient of a pass's output down through the blocks and the embedding.
    fn differentiate(&self, pass: Recorded, of: &mut Gradients, found: &mut GradientsParams) {
        let Recorded {
            embedded,
            mut inputs,
            output,
            rotation,
            segments,
            narrowed,
        } = pass;
        // None: the loss does not depend on this pass.
        let Some(mut gradient) = output.grad_remove(of) else {
            return;
        };
        drop(output);
        for (index, block) in self.layers.iter().enumerate().rev() {
            let Some(input) = inputs.pop() else { return };
            // Nothing below is trained: what stands in front of this block needs no gradient.
            let below = embedded.is_tracked() || self.layers[..index].iter().any(is_trained);
            let mut leaf = Tensor::from_inner(input);
            if below {
                leaf = leaf.require_grad();
            }
            let mut again = Pass {
                rotation: rotation.clone(),
                segments: &segments,
                cache: None,
            };
            let narrowed = self.narrowed_in(index, &narrowed);
            let y = block.forward(leaf.clone(), index, &mut again, narrowed);
            if !y.is_tracked() {
                return;
            }
            let mut gradients = against(y, gradient).backward();
            add(block, &mut gradients, found);
            match leaf.grad_remove(&mut gradients) {
                Some(next) => gradient = next,
                None => return,
            }
        }
        if embedded.is_tracked() {
            let mut gradients = against(embedded, gradient).backward();
            add(&self.embed_tokens, &mut gradients, found);
            if let Some(positions) = &self.embed_positions {
                add(positions, &mut gradients, found);
            }
        }
    }
}

/// A number whose gradient with respect to `y` is `gradient`.
fn against(y: Tensor<2>, gradient: Tensor<2>) -> Tensor<1> {
    (y * Tensor::from_inner(gradient)).sum()
}

fn is_trained<M: Module>(module: &M) -> bool {
    crate::lora::trained_parameters(module) > 0
}

/// Adds the gradients of the parameters of `module` to those found.
fn add<M: Module>(module: &M, gradients: &mut Gradients, found: &mut GradientsParams) {
    struct Adding<'a> {
        new: GradientsParams,
        found: &'a mut GradientsParams,
    }
    impl ModuleVisitor for Adding<'_> {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            let Some(new) = self.new.remove::<D>(parameter.id) else {
                return;
            };
            let sum = match self.found.remove::<D>(parameter.id) {
                Some(found) => found + new,
                None => new,
            };
            self.found.register(parameter.id, sum);
        }
    }
    let new = GradientsParams::from_module(gradients, module);
    module.visit(&mut Adding { new, found });
}
