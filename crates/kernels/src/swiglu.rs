//! The gated activation of a feed-forward layer.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, activation};
use burn_flex::FlexTensor;

use crate::flex::{contiguous, differentiable, floats, tensor, unwritten};
use crate::path::fused;
use crate::rows::{self, Shared};
use crate::simd::{Level, mul_add, sigmoid, vectorised};

/// `silu(gate) · up`, element by element, with `silu(x) = x / (1 + e^-x)`.
///
/// Shazeer 2020, [arXiv:2002.05202](https://arxiv.org/abs/2002.05202), eq. 6 without its projections.
///
/// - `gate`, `up`: of equal shape.
///
/// Returns that shape.
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    assert_eq!(gate.dims(), up.dims(), "gate and up have one shape");
    if fused(&gate) && fused(&up) {
        Tensor::from_dispatch(Dispatch::swiglu(gate.into_dispatch(), up.into_dispatch()))
    } else {
        activation::silu(gate) * up
    }
}

#[backend_extension(Autodiff, Flex)]
trait SwigluOp: Backend {
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl SwigluOp for Flex {
    fn swiglu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        forward(&contiguous(gate), &contiguous(up))
    }
}

impl<C: CheckpointStrategy> SwigluOp for Autodiff<Flex, C> {
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        differentiable::<C, 2, _>([gate, up], |[gate, up]| {
            let (gate, up) = (contiguous(gate), contiguous(up));
            let y = forward(&gate, &up);
            (y, move |dy: FlexTensor, _: [bool; 2]| {
                backward(&gate, &up, &contiguous(dy)).map(Some)
            })
        })
    }
}

fn forward(gate: &FlexTensor, up: &FlexTensor) -> FlexTensor {
    let (shape, level) = (gate.shape(), Level::best());
    let (gate, up) = (floats(gate), floats(up));
    let mut y = unwritten(gate.len());
    let to = Shared::new(&mut y);
    rows::each(gate.len(), 1, |part| {
        // SAFETY: the parts are disjoint.
        let y = unsafe { to.slice(part.clone()) };
        activate(level, &gate[part.clone()], &up[part], y);
    });
    tensor(y, shape)
}

fn backward(gate: &FlexTensor, up: &FlexTensor, dy: &FlexTensor) -> [FlexTensor; 2] {
    let (shape, level) = (gate.shape(), Level::best());
    let (gate, up, dy) = (floats(gate), floats(up), floats(dy));
    let (mut dgate, mut dup) = (unwritten(gate.len()), unwritten(gate.len()));
    let (to_gate, to_up) = (Shared::new(&mut dgate), Shared::new(&mut dup));
    rows::each(gate.len(), 1, |part| {
        // SAFETY: the parts are disjoint.
        let (dgate, dup) = unsafe { (to_gate.slice(part.clone()), to_up.slice(part.clone())) };
        gradients(
            level,
            &gate[part.clone()],
            &up[part.clone()],
            &dy[part],
            dgate,
            dup,
        );
    });
    [tensor(dgate, shape.clone()), tensor(dup, shape)]
}

vectorised! {
    fn activate(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((y, &gate), &up) in y.iter_mut().zip(gate).zip(up) {
            *y = gate * sigmoid::<FMA>(gate) * up;
        }
    }
}

vectorised! {
    /// With `σ` the sigmoid of the gate: `dgate = dy·up·σ·(1 + gate·(1 − σ))`, `dup = dy·gate·σ`.
    fn gradients(gate: &[f32], up: &[f32], dy: &[f32], dgate: &mut [f32], dup: &mut [f32]) {
        let outputs = dgate.iter_mut().zip(dup);
        for ((((dgate, dup), &gate), &up), &dy) in outputs.zip(gate).zip(up).zip(dy) {
            let open = sigmoid::<FMA>(gate);
            *dgate = dy * up * open * mul_add::<FMA>(gate, 1.0 - open, 1.0);
            *dup = dy * gate * open;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agree, differentiates, normal, values};

    #[test]
    fn fused_equals_composed() {
        for n in [1, 7, 64, 100, 70_000] {
            agree(
                [normal(vec![n], 1), normal(vec![n], 2)],
                1e-5,
                |[gate, up]| swiglu(gate.reshape([n]), up.reshape([n])),
            );
        }
    }

    #[test]
    fn gradients_equal_central_differences() {
        differentiates(
            [normal(vec![9], 1), normal(vec![9], 2)],
            1e-3,
            |[gate, up]| swiglu(gate, up),
        );
    }

    #[test]
    fn large_gates_are_open_or_shut() {
        let gate = values(vec![-1e4, -100.0, 0.0, 100.0, 1e4]);
        let y = swiglu(gate, values(vec![2.0; 5]));
        assert_eq!(
            y.into_data().try_to_vec::<f32>().unwrap(),
            [0.0, 0.0, 0.0, 200.0, 2e4]
        );
    }
}
