//! Rotary position embedding.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use crate::flex::{contiguous, differentiable, floats, floats_mut};
use crate::path::fused;
use crate::rows::{self, Shared};
use crate::simd::{Level, mul_add, vectorised};

/// Turns the pairs `(i, i + half)` of every head by the angles of the token, the layout of the published Llama and Qwen
/// models (`rotate_half`).
///
/// Su et al. 2021, [arXiv:2104.09864](https://arxiv.org/abs/2104.09864), eq. 34, with the pairs half a head apart.
///
/// - `x`: `[n, h, e]`; components from `2·half` on stay as they are.
/// - `cosine`, `sine`: `[r, half]`, constants. Token `i` takes row `i mod r`, so that rows of equal positions share one
///   table.
///
/// Returns `[n, h, e]`.
pub fn rotary(x: Tensor<3>, cosine: Tensor<2>, sine: Tensor<2>) -> Tensor<3> {
    let [n, _, e] = x.dims();
    let [r, half] = cosine.dims();
    assert_eq!(
        cosine.dims(),
        sine.dims(),
        "a cosine and a sine for each angle"
    );
    assert!(2 * half <= e, "{half} pairs in a head of {e}");
    assert!(r > 0 && n % r == 0, "{n} tokens share {r} rows of angles");
    if fused(&x) && fused(&cosine) && fused(&sine) {
        let (cosine, sine) = (cosine.inner(), sine.inner());
        Tensor::from_dispatch(Dispatch::rotary(
            x.into_dispatch(),
            cosine.into_dispatch(),
            sine.into_dispatch(),
        ))
    } else {
        composed(x, cosine.inner(), sine.inner())
    }
}

fn composed(x: Tensor<3>, cosine: Tensor<2>, sine: Tensor<2>) -> Tensor<3> {
    let [n, h, e] = x.dims();
    let [r, half] = cosine.dims();
    let x = x.reshape([n / r, r, h, e]);
    let angles = |table: Tensor<2>| table.reshape([1, r, 1, half]);
    let (cosine, sine) = (angles(cosine), angles(sine));
    let first = x.clone().narrow(3, 0, half);
    let second = x.clone().narrow(3, half, half);
    let mut parts = vec![
        first.clone() * cosine.clone() - second.clone() * sine.clone(),
        second * cosine + first * sine,
    ];
    if e > 2 * half {
        parts.push(x.narrow(3, 2 * half, e - 2 * half));
    }
    Tensor::cat(parts, 3).reshape([n, h, e])
}

#[backend_extension(Autodiff, Flex)]
trait RotaryOp: Backend {
    fn rotary(
        x: FloatTensor<Self>,
        cosine: FloatTensor<Self>,
        sine: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl RotaryOp for Flex {
    fn rotary(x: FlexTensor, cosine: FlexTensor, sine: FlexTensor) -> FlexTensor {
        turned(x, &contiguous(cosine), &contiguous(sine), 1.0)
    }
}

impl<C: CheckpointStrategy> RotaryOp for Autodiff<Flex, C> {
    fn rotary(
        x: FloatTensor<Self>,
        cosine: FloatTensor<Self>,
        sine: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (cosine, sine) = (
            contiguous(cosine.into_primitive()),
            contiguous(sine.into_primitive()),
        );
        differentiable::<C, 1, _>([x], |[x]| {
            let y = turned(x, &cosine, &sine, 1.0);
            (y, move |dy: FlexTensor, _: [bool; 1]| {
                [Some(turned(dy, &cosine, &sine, -1.0))]
            })
        })
    }
}

/// `x` turned by the angles, or back by them (`direction` -1). In place where nothing else holds `x`.
fn turned(x: FlexTensor, cosine: &FlexTensor, sine: &FlexTensor, direction: f32) -> FlexTensor {
    let level = Level::best();
    let [n, h, e] = x.shape().dims();
    let [r, half] = cosine.shape().dims();
    let (cosine, sine) = (floats(cosine), floats(sine));
    let mut x = contiguous(x);
    let to = Shared::new(floats_mut(&mut x));
    rows::each(n, h * e, |part| {
        for token in part {
            let angles = token % r * half..(token % r + 1) * half;
            // SAFETY: the tokens are disjoint.
            let heads = unsafe { to.slice(token * h * e..(token + 1) * h * e) };
            turn(
                level,
                heads,
                e,
                &cosine[angles.clone()],
                &sine[angles],
                direction,
            );
        }
    });
    x
}

vectorised! {
    fn turn(heads: &mut [f32], e: usize, cosine: &[f32], sine: &[f32], direction: f32) {
        let half = cosine.len();
        for head in heads.chunks_exact_mut(e) {
            let (first, rest) = head.split_at_mut(half);
            for (((a, b), &cosine), &sine) in first.iter_mut().zip(rest).zip(cosine).zip(sine) {
                let sine = direction * sine;
                let (x, y) = (*a, *b);
                *a = mul_add::<FMA>(x, cosine, -(y * sine));
                *b = mul_add::<FMA>(y, cosine, x * sine);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agree, normal, values};

    fn tables(r: usize, half: usize) -> (Tensor<2>, Tensor<2>) {
        let angles: Vec<f32> = (0..r * half)
            .map(|i| (i / half) as f32 * 0.9f32.powi((i % half) as i32))
            .collect();
        let table =
            |f: fn(f32) -> f32| values(angles.iter().map(|&a| f(a)).collect()).reshape([r, half]);
        (table(f32::cos), table(f32::sin))
    }

    #[test]
    fn fused_equals_composed() {
        for (n, h, e, r, half) in [
            (1, 1, 2, 1, 1),
            (6, 3, 8, 3, 4),
            (10, 2, 20, 5, 6),
            (512, 8, 32, 128, 16),
        ] {
            agree([normal(vec![n, h, e], 1)], 1e-5, |[x]| {
                let (cosine, sine) = tables(r, half);
                rotary(x.reshape([n, h, e]), cosine, sine).reshape([-1])
            });
        }
    }

    #[test]
    fn the_input_of_another_owner_stays_as_it_is() {
        let x = values((0..8).map(|i| i as f32).collect()).reshape([2, 1, 4]);
        let (cosine, sine) = tables(2, 2);
        let kept = x.clone();
        let turned = rotary(x, cosine, sine);
        assert_eq!(
            kept.into_data().try_to_vec::<f32>().unwrap()[4..],
            [4.0, 5.0, 6.0, 7.0]
        );
        assert_ne!(
            turned.into_data().try_to_vec::<f32>().unwrap()[4..],
            [4.0, 5.0, 6.0, 7.0]
        );
    }
}
