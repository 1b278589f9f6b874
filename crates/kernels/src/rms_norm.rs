//! Root-mean-square normalisation.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use crate::flex::{contiguous, differentiable, floats, tensor, unwritten};
use crate::path::fused;
use crate::rows::{self, Shared};
use crate::simd::{Level, accumulate, mul_add, vectorised};

/// `γ · x / √(mean(x²) + ε)` over the last axis.
///
/// Zhang & Sennrich 2019, [arXiv:1910.07467](https://arxiv.org/abs/1910.07467), eq. 4, with the `ε` of the published
/// models.
///
/// - `x`: `[.., d]`; `gamma`: `[d]`; `epsilon`: added to the mean square.
///
/// Returns the shape of `x`.
pub fn rms_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, epsilon: f64) -> Tensor<D> {
    assert_eq!(
        x.dims()[D - 1],
        gamma.dims()[0],
        "one weight for each component of the last axis"
    );
    if fused(&x) && fused(&gamma) {
        let y = Dispatch::rms_norm(x.into_dispatch(), gamma.into_dispatch(), epsilon as f32);
        Tensor::from_dispatch(y)
    } else {
        composed(x, gamma, epsilon)
    }
}

fn composed<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let scale = (x.clone().square().mean_dim(D - 1) + epsilon)
        .sqrt()
        .recip();
    x * scale * gamma.unsqueeze()
}

#[backend_extension(Autodiff, Flex)]
trait RmsNormOp: Backend {
    fn rms_norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self>;
}

impl RmsNormOp for Flex {
    fn rms_norm(x: FlexTensor, gamma: FlexTensor, epsilon: f32) -> FlexTensor {
        forward(&contiguous(x), &contiguous(gamma), epsilon).0
    }
}

impl<C: CheckpointStrategy> RmsNormOp for Autodiff<Flex, C> {
    fn rms_norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self> {
        differentiable::<C, 2, _>([x, gamma], |[x, gamma]| {
            let (x, gamma) = (contiguous(x), contiguous(gamma));
            let (y, scales) = forward(&x, &gamma, epsilon);
            let backward = move |dy: FlexTensor, [_, gamma_wanted]: [bool; 2]| {
                let (dx, dgamma) = backward(&x, &gamma, &scales, &contiguous(dy), gamma_wanted);
                [Some(dx), dgamma]
            };
            (y, backward)
        })
    }
}

/// The output, and `1 / √(mean(x²) + ε)` of every row.
fn forward(x: &FlexTensor, gamma: &FlexTensor, epsilon: f32) -> (FlexTensor, Vec<f32>) {
    let (shape, level) = (x.shape(), Level::best());
    let (x, gamma) = (floats(x), floats(gamma));
    let d = gamma.len();
    let n = x.len() / d;
    let (mut y, mut scales) = (unwritten(n * d), unwritten(n));
    let (to, to_scales) = (Shared::new(&mut y), Shared::new(&mut scales));
    rows::each(n, d, |part| {
        let cells = part.start * d..part.end * d;
        // SAFETY: the parts are disjoint.
        let (y, scales) = unsafe { (to.slice(cells.clone()), to_scales.slice(part)) };
        normalise(level, &x[cells], gamma, epsilon, y, scales);
    });
    (tensor(y, shape), scales)
}

vectorised! {
    fn normalise(x: &[f32], gamma: &[f32], epsilon: f32, y: &mut [f32], scales: &mut [f32]) {
        let d = gamma.len();
        for ((x, y), scale) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(scales) {
            let squares = crate::simd::dot::<FMA>(x, x);
            *scale = 1.0 / (squares / d as f32 + epsilon).sqrt();
            for ((y, x), gamma) in y.iter_mut().zip(x).zip(gamma) {
                *y = x * *scale * gamma;
            }
        }
    }
}

/// `dx = s·(γ·dy) − x · s³/d · Σ γ·dy·x` and `dγ = Σ_rows dy · x · s`, `s` the row's scale.
fn backward(
    x: &FlexTensor,
    gamma: &FlexTensor,
    scales: &[f32],
    dy: &FlexTensor,
    gamma_wanted: bool,
) -> (FlexTensor, Option<FlexTensor>) {
    let (shape, gamma_shape, level) = (x.shape(), gamma.shape(), Level::best());
    let (x, gamma, dy) = (floats(x), floats(gamma), floats(dy));
    let d = gamma.len();
    let n = x.len() / d;
    let mut dx = unwritten(n * d);
    let to = Shared::new(&mut dx);
    let parts = rows::map(n, d, |part| {
        let cells = part.start * d..part.end * d;
        // SAFETY: the parts are disjoint.
        let dx = unsafe { to.slice(cells.clone()) };
        let mut dgamma = vec![0.0; if gamma_wanted { d } else { 0 }];
        gradients(
            level,
            &x[cells.clone()],
            gamma,
            &scales[part],
            &dy[cells],
            dx,
            &mut dgamma,
        );
        dgamma
    });
    let dgamma = gamma_wanted.then(|| {
        let mut sum = vec![0.0; d];
        for part in parts {
            sum.iter_mut()
                .zip(part)
                .for_each(|(sum, part)| *sum += part);
        }
        tensor(sum, gamma_shape)
    });
    (tensor(dx, shape), dgamma)
}

vectorised! {
    fn gradients(
        x: &[f32],
        gamma: &[f32],
        scales: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        dgamma: &mut [f32],
    ) {
        let d = gamma.len();
        let lines = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)).zip(scales);
        for (((x, dy), dx), &scale) in lines {
            let [along] = accumulate([x, dy, gamma], |[x, dy, gamma]| [dy * gamma * x]);
            let pull = -along * scale * scale * scale / d as f32;
            for (((dx, x), dy), gamma) in dx.iter_mut().zip(x).zip(dy).zip(gamma) {
                *dx = mul_add::<FMA>(pull, *x, scale * gamma * dy);
            }
            for ((dgamma, x), dy) in dgamma.iter_mut().zip(x).zip(dy) {
                *dgamma = mul_add::<FMA>(dy * scale, *x, *dgamma);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agree, differentiates, normal, same_for_any_threads};

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let [n, d] = [700, 96];
        same_for_any_threads([normal(vec![n, d], 1), normal(vec![d], 2)], |[x, gamma]| {
            rms_norm(x.reshape([n, d]), gamma, 1e-6).reshape([-1])
        });
    }

    #[test]
    fn gradients_equal_central_differences() {
        differentiates(
            [normal(vec![2, 5], 1), normal(vec![5], 2)],
            1e-3,
            |[x, gamma]| rms_norm(x.reshape([2, 5]), gamma, 1e-6).reshape([-1]),
        );
    }

    #[test]
    fn fused_equals_composed() {
        for shape in [[1, 1, 1], [2, 3, 8], [3, 5, 33], [4, 64, 96], [2, 128, 256]] {
            let d = shape[2];
            agree(
                [normal(shape.to_vec(), 1), normal(vec![d], 2)],
                1e-5,
                |[x, gamma]| rms_norm(x.reshape(shape), gamma.reshape([d]), 1e-6).reshape([-1]),
            );
        }
    }
}
