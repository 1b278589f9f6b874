//! Between flex's tensors and slices, and the recording of an operation with its own backward pass.

use std::fmt;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Bytes, DType, Shape};
use burn_flex::{FlexTensor, Layout};

/// `x` with its elements side by side in order: itself, or a copy.
pub(crate) fn contiguous(x: FlexTensor) -> FlexTensor {
    if x.layout().contiguous_offsets().is_some() {
        x
    } else {
        x.to_contiguous()
    }
}

/// The elements of a [`contiguous`] tensor.
pub(crate) fn floats(x: &FlexTensor) -> &[f32] {
    x.as_slice().expect("a contiguous tensor of 32-bit floats")
}

/// The elements of a [`contiguous`] tensor for writing; copied first if another tensor shares them.
pub(crate) fn floats_mut(x: &mut FlexTensor) -> &mut [f32] {
    let (start, end) = x
        .layout()
        .contiguous_offsets()
        .expect("a contiguous tensor");
    &mut x.storage_mut::<f32>()[start..end]
}

/// Integers of either width.
pub(crate) fn integers(x: &FlexTensor) -> Vec<i64> {
    let x = contiguous(x.clone());
    match x.dtype() {
        DType::I64 => x.as_slice::<i64>().expect("64-bit integers").to_vec(),
        DType::I32 => x
            .as_slice::<i32>()
            .expect("32-bit integers")
            .iter()
            .map(|&i| i64::from(i))
            .collect(),
        other => panic!("token ids are 32- or 64-bit integers, found {other:?}"),
    }
}

/// A tensor of `shape` that owns `values`.
pub(crate) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    assert_eq!(
        values.len(),
        shape.num_elements(),
        "as many values as the shape says"
    );
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(shape),
        DType::F32,
    )
}

/// Room for `len` numbers that the caller overwrites before anything reads them: large outputs are not worth two passes.
#[expect(
    clippy::uninit_vec,
    reason = "plain numbers, all written by the kernel the buffer is made for"
)]
pub(crate) fn unwritten(len: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    // SAFETY: within the capacity; every caller fills the whole buffer before it leaves the operation.
    unsafe { values.set_len(len) };
    values
}

type Pullback<const N: usize> =
    dyn Fn(FlexTensor, [bool; N]) -> [Option<FlexTensor>; N] + Send + Sync;

/// A backward pass with what it saved.
#[derive(Clone)]
struct Saved<const N: usize>(Arc<Pullback<N>>);

impl<const N: usize> fmt::Debug for Saved<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Saved")
    }
}

#[derive(Debug)]
struct Fused;

impl<const N: usize> Backward<Flex, N> for Fused {
    type State = Saved<N>;

    fn backward(self, ops: Ops<Saved<N>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let parts = (ops.state.0)(gradient, wanted);
        for (parent, part) in ops.parents.into_iter().zip(parts) {
            if let (Some(parent), Some(part)) = (parent, part) {
                gradients.register::<Flex>(parent.id, part);
            }
        }
    }
}

/// Records one operation.
///
/// `forward` returns the output and the backward pass: from the gradient of the output, and which inputs want one, to the
/// gradients of the inputs.
pub(crate) fn differentiable<C, const N: usize, F>(
    inputs: [FloatTensor<Autodiff<Flex, C>>; N],
    forward: impl FnOnce([FlexTensor; N]) -> (FlexTensor, F),
) -> FloatTensor<Autodiff<Flex, C>>
where
    C: CheckpointStrategy,
    F: Fn(FlexTensor, [bool; N]) -> [Option<FlexTensor>; N] + Send + Sync + 'static,
{
    let nodes = inputs.each_ref().map(|input| input.node());
    let prepared = Fused.prepare::<C>(nodes).compute_bound().stateful();
    let (output, backward) = forward(inputs.map(|input| input.into_primitive()));
    match prepared {
        OpsKind::Tracked(prepared) => prepared.finish(Saved(Arc::new(backward)), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}
