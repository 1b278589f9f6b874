//! The adapters themselves.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use preflab_kernels::linear;

use crate::dtype::cast;
use crate::init::Initializer;

/// `scale * x A B`, beside a projection of its own.
#[derive(Module, Debug)]
pub struct Adapter {
    /// `A`, `[inputs, rank]`.
    pub a: Param<Tensor<2>>,
    /// `B`, `[rank, outputs]`; zeros at first.
    pub b: Param<Tensor<2>>,
    #[module(skip)]
    pub(super) scale: f64,
}

/// `scale * x A B` beside queries, keys and values that a checkpoint holds as one projection: they share `A`.
#[derive(Module, Debug)]
pub struct JointAdapter {
    /// `A`, `[d, rank]`.
    pub a: Param<Tensor<2>>,
    /// `B` of the queries, `[rank, h * e]`; zeros at first.
    pub query: Param<Tensor<2>>,
    /// `B` of the keys, `[rank, g * e]`; zeros at first.
    pub key: Param<Tensor<2>>,
    /// `B` of the values, `[rank, g * e]`; zeros at first.
    pub value: Param<Tensor<2>>,
    #[module(skip)]
    pub(super) scale: f64,
}

impl Adapter {
    pub(super) fn init(
        [inputs, outputs]: [usize; 2],
        rank: usize,
        scale: f64,
        initializer: &mut Initializer,
    ) -> Self {
        Self {
            a: first(inputs, rank, initializer),
            b: initializer.constant([rank, outputs], 0.0),
            scale,
        }
    }

    /// `y + scale * x A B`; `x`: `[n, inputs]`, `y`: `[n, outputs]`.
    pub(crate) fn add(&self, x: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
        y + second(low(x, &self.a, self.scale), &self.b)
    }

    /// What `weight` becomes when the adapter is folded into it.
    pub(super) fn folded(&self, weight: Tensor<2>) -> Tensor<2> {
        folded(weight, &self.a, &self.b, self.scale)
    }
}

impl JointAdapter {
    pub(super) fn init(
        [inputs, queries, keys]: [usize; 3],
        rank: usize,
        scale: f64,
        initializer: &mut Initializer,
    ) -> Self {
        Self {
            a: first(inputs, rank, initializer),
            query: initializer.constant([rank, queries], 0.0),
            key: initializer.constant([rank, keys], 0.0),
            value: initializer.constant([rank, keys], 0.0),
            scale,
        }
    }

    /// Queries, keys and values, `[n, ..]` each, with the adapter's part of `x`, `[n, d]`; `queries` takes the rows of `[n, ..]`
    /// that there are queries of.
    pub(crate) fn add(
        &self,
        x: Tensor<2>,
        [q, k, v]: [Tensor<2>; 3],
        queries: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> [Tensor<2>; 3] {
        let low = low(x, &self.a, self.scale);
        [
            q + second(queries(low.clone()), &self.query),
            k + second(low.clone(), &self.key),
            v + second(low, &self.value),
        ]
    }

    /// What the three weights become when the adapter is folded into them.
    pub(super) fn folded(&self, [q, k, v]: [Tensor<2>; 3]) -> [Tensor<2>; 3] {
        [
            folded(q, &self.a, &self.query, self.scale),
            folded(k, &self.a, &self.key, self.scale),
            folded(v, &self.a, &self.value, self.scale),
        ]
    }
}

/// `A` as PEFT starts it: uniform within `1 / sqrt(inputs)` of 0 (`kaiming_uniform_(a = sqrt(5))`).
fn first(inputs: usize, rank: usize, initializer: &mut Initializer) -> Param<Tensor<2>> {
    initializer.uniform(inputs, rank, 1.0 / (inputs as f64).sqrt())
}

fn low(x: Tensor<2>, a: &Param<Tensor<2>>, scale: f64) -> Tensor<2> {
    let a = cast(a.val(), x.dtype());
    linear(x, a, None) * scale
}

fn second(low: Tensor<2>, b: &Param<Tensor<2>>) -> Tensor<2> {
    let b = cast(b.val(), low.dtype());
    linear(low, b, None)
}

fn folded(weight: Tensor<2>, a: &Param<Tensor<2>>, b: &Param<Tensor<2>>, scale: f64) -> Tensor<2> {
    weight + linear(a.val() * scale, b.val(), None)
}
