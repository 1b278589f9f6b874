//! Matrix product of activations with weights.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;

use crate::flex::{contiguous, differentiable, floats, tensor, unwritten};
use crate::gemm::{self, Output, Store, View};
use crate::matrix::{like, view};
use crate::path::fused;
use crate::rows;
use crate::simd::Level;

/// `x·W`, or `x·W + b` where there is a bias.
///
/// - `x`: `[n, i]`; `weight`: `[i, o]`, in either memory order (a transposed view costs nothing, and its gradient comes
///   back in the same order); `bias`: `[o]`.
///
/// Returns `[n, o]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    assert_eq!(x.dims()[1], weight.dims()[0], "inner sizes of x and weight");
    if fused(&x) && fused(&weight) {
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        return Tensor::from_dispatch(match bias {
            Some(bias) => Dispatch::linear_with_bias(x, weight, bias.into_dispatch()),
            None => Dispatch::linear(x, weight),
        });
    }
    let product = x.matmul(weight);
    match bias {
        Some(bias) => product + bias.unsqueeze(),
        None => product,
    }
}

#[backend_extension(Autodiff, Flex)]
trait LinearOp: Backend {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
    fn linear_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl LinearOp for Flex {
    fn linear(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        forward(&contiguous(x), &weight, None)
    }

    fn linear_with_bias(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        forward(&contiguous(x), &weight, Some(&contiguous(bias)))
    }
}

impl<C: CheckpointStrategy> LinearOp for Autodiff<Flex, C> {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        differentiable::<C, 2, _>([x, weight], |[x, weight]| {
            let x = contiguous(x);
            let y = forward(&x, &weight, None);
            (y, move |dy: FlexTensor, wanted: [bool; 2]| {
                backward(&x, &weight, &contiguous(dy), wanted)
            })
        })
    }

    fn linear_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        differentiable::<C, 3, _>([x, weight, bias], |[x, weight, bias]| {
            let x = contiguous(x);
            let y = forward(&x, &weight, Some(&contiguous(bias)));
            let backward =
                move |dy: FlexTensor, [x_wanted, weight_wanted, bias_wanted]: [bool; 3]| {
                    let dy = contiguous(dy);
                    let [dx, dweight] = backward(&x, &weight, &dy, [x_wanted, weight_wanted]);
                    [dx, dweight, bias_wanted.then(|| column_sums(&dy))]
                };
            (y, backward)
        })
    }
}

fn forward(x: &FlexTensor, weight: &FlexTensor, bias: Option<&FlexTensor>) -> FlexTensor {
    let [n, i] = x.shape().dims();
    let [_, o] = weight.shape().dims();
    let mut y = unwritten(n * o);
    let into = match bias {
        Some(bias) => {
            let bias = floats(bias);
            y.chunks_exact_mut(o.max(1))
                .for_each(|row| row.copy_from_slice(bias));
            Store::Add
        }
        None => Store::Overwrite,
    };
    gemm::parallel(
        Level::best(),
        View::new(floats(x), n, i),
        view(weight),
        Output::new(&mut y, n, o),
        into,
    );
    tensor(y, Shape::from([n, o]))
}

/// `dx = dy·Wᵀ`, `dW = xᵀ·dy`.
fn backward(
    x: &FlexTensor,
    weight: &FlexTensor,
    dy: &FlexTensor,
    [x_wanted, weight_wanted]: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let level = Level::best();
    let [n, i] = x.shape().dims();
    let [_, o] = dy.shape().dims();
    let (rows_of_x, rows_of_dy) = (View::new(floats(x), n, i), View::new(floats(dy), n, o));
    let dx = x_wanted.then(|| {
        let mut dx = unwritten(n * i);
        gemm::parallel(
            level,
            rows_of_dy,
            view(weight).t(),
            Output::new(&mut dx, n, i),
            Store::Overwrite,
        );
        tensor(dx, Shape::from([n, i]))
    });
    let dweight = weight_wanted.then(|| {
        like(weight, |out, transposed| {
            let (left, right) = if transposed {
                (rows_of_dy, rows_of_x)
            } else {
                (rows_of_x, rows_of_dy)
            };
            gemm::parallel(level, left.t(), right, out, Store::Overwrite);
        })
    });
    [dx, dweight]
}

fn column_sums(dy: &FlexTensor) -> FlexTensor {
    let [n, o] = dy.shape().dims();
    let dy = floats(dy);
    let parts = rows::map(n, o, |part| {
        let mut sum = vec![0.0; o];
        for row in dy[part.start * o..part.end * o].chunks_exact(o) {
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        sum
    });
    let mut sum = vec![0.0; o];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    tensor(sum, Shape::from([o]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agree, normal, same_for_any_threads, values};

    const SIZES: [[usize; 3]; 5] = [
        [1, 1, 1],
        [3, 5, 7],
        [17, 33, 49],
        [64, 300, 20],
        [200, 96, 160],
    ];

    #[test]
    fn fused_equals_composed() {
        for [n, i, o] in SIZES {
            agree(
                [normal(vec![n, i], 1), normal(vec![i, o], 2)],
                1e-5,
                |[x, weight]| linear(x.reshape([n, i]), weight.reshape([i, o]), None).reshape([-1]),
            );
        }
    }

    #[test]
    fn a_bias_is_added_to_every_row() {
        for [n, i, o] in SIZES {
            agree(
                [
                    normal(vec![n, i], 1),
                    normal(vec![i, o], 2),
                    normal(vec![o], 3),
                ],
                1e-5,
                |[x, weight, bias]| {
                    linear(x.reshape([n, i]), weight.reshape([i, o]), Some(bias)).reshape([-1])
                },
            );
        }
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let [n, i, o] = [700, 300, 130];
        let inputs = [
            normal(vec![n, i], 1),
            normal(vec![i, o], 2),
            normal(vec![o], 3),
        ];
        same_for_any_threads(inputs, |[x, weight, bias]| {
            linear(x.reshape([n, i]), weight.reshape([i, o]), Some(bias)).reshape([-1])
        });
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbours() {
        let [n, i, o] = [200, 300, 130];
        let (x, weight) = (normal(vec![n, i], 1), values(normal(vec![i, o], 2)));
        for weight in [
            weight.clone().reshape([i, o]),
            weight.reshape([o, i]).transpose(),
        ] {
            let rows = |range: std::ops::Range<usize>| {
                let x =
                    values(x[range.start * i..range.end * i].to_vec()).reshape([range.len(), i]);
                let y = linear(x, weight.clone(), None);
                y.into_data().try_to_vec::<f32>().unwrap()
            };
            let all = rows(0..n);
            assert_eq!(rows(7..8), all[7 * o..8 * o]);
            assert_eq!(rows(50..69), all[50 * o..69 * o]);
        }
    }

    #[test]
    fn weights_may_be_transposed_views() {
        for [n, i, o] in SIZES {
            agree(
                [normal(vec![n, i], 1), normal(vec![i, o], 2)],
                1e-5,
                |[x, weight]| {
                    linear(x.reshape([n, i]), weight.reshape([o, i]).transpose(), None)
                        .reshape([-1])
                },
            );
        }
    }
}
