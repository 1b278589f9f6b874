//! Softmax attention with grouped key-value heads, without a stored score matrix.

mod backward;
mod composed;
mod forward;
mod segments;
mod side;
mod softmax;

use std::ops::Range;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use crate::flex::differentiable;
use crate::gemm::View;
use crate::path::fused;
pub use segments::{Segment, Segments};

/// How scores are made and which are hidden.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionSettings {
    /// Factor on `q·k`.
    pub scale: f64,
    /// Hide keys that stand after the query.
    pub causal: bool,
    /// Keys seen at most, counted back from the query's own place; all where absent.
    pub window: Option<usize>,
    /// Scores become `cap · tanh(score / cap)`.
    pub cap: Option<f64>,
}

impl AttentionSettings {
    /// Causal attention with scores `q·k / √e`.
    pub fn causal(head_width: usize) -> Self {
        Self {
            scale: 1.0 / (head_width as f64).sqrt(),
            causal: true,
            window: None,
            cap: None,
        }
    }

    /// Columns of a segment's keys, prefix first, that its query `i` sees.
    fn visible(&self, segment: &Segment, i: usize) -> Range<usize> {
        let own = segment.past() + i;
        let end = if self.causal { own + 1 } else { segment.seen() };
        let start = self
            .window
            .map_or(0, |window| (own + 1).saturating_sub(window));
        start..end
    }
}

/// `softmax(q·kᵀ · scale)·v` for every query over the keys its segment shows it.
///
/// Vaswani et al. 2017, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762), eq. 1; grouped heads: Ainslie et al. 2023,
/// [arXiv:2305.13245](https://arxiv.org/abs/2305.13245); recomputation in the backward pass: Dao et al. 2022,
/// [arXiv:2205.14135](https://arxiv.org/abs/2205.14135).
///
/// - `q`: `[n, h, e]`; `k`, `v`: `[m, g, e]`, `g` dividing `h`; query head `i` reads key-value head `i·g/h`. Tokens of all
///   rows follow one another; a batch `[b, t, h, e]` is `[b·t, h, e]`.
/// - `segments`: which queries see which keys.
///
/// Returns `[n, h, e]`, zeros for queries in no segment.
pub fn attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    segments: &Segments,
    settings: &AttentionSettings,
) -> Tensor<3> {
    let ([n, h, e], [m, g, width]) = (q.dims(), k.dims());
    assert_eq!(k.dims(), v.dims(), "a value for each key");
    assert_eq!(e, width, "queries and keys of one width");
    assert!(
        g > 0 && h % g == 0,
        "{h} query heads cannot share {g} key-value heads"
    );
    let (queries, keys) = segments.bounds();
    assert!(
        queries <= n && keys <= m,
        "segments of {queries} queries and {keys} keys, tensors of {n} and {m}"
    );
    if fused(&q) && fused(&k) && fused(&v) && settings.cap.is_none() {
        let (q, k, v) = (q.into_dispatch(), k.into_dispatch(), v.into_dispatch());
        Tensor::from_dispatch(Dispatch::attention(q, k, v, segments.clone(), *settings))
    } else {
        composed::attention(q, k, v, segments, settings)
    }
}

#[backend_extension(Autodiff, Flex)]
trait AttentionOp: Backend {
    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        segments: Segments,
        settings: AttentionSettings,
    ) -> FloatTensor<Self>;
}

impl AttentionOp for Flex {
    fn attention(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        segments: Segments,
        settings: AttentionSettings,
    ) -> FlexTensor {
        Heads::new(q, k, v, segments, settings).forward().0
    }
}

impl<C: CheckpointStrategy> AttentionOp for Autodiff<Flex, C> {
    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        segments: Segments,
        settings: AttentionSettings,
    ) -> FloatTensor<Self> {
        differentiable::<C, 3, _>([q, k, v], |[q, k, v]| {
            let heads = Heads::new(q, k, v, segments, settings);
            let (output, log_sums) = heads.forward();
            (output, move |gradient: FlexTensor, _: [bool; 3]| {
                heads.backward(&log_sums, gradient).map(Some)
            })
        })
    }
}

/// Tokens whose heads lie side by side, tokens possibly further apart.
struct Tokens {
    tensor: FlexTensor,
    /// Elements from one token to the next.
    step: usize,
}

impl Tokens {
    fn new(tensor: FlexTensor) -> Self {
        let [_, heads, e] = tensor.shape().dims();
        let step = match tensor.layout().strides() {
            &[step, head, 1]
                if (head == e as isize || heads == 1) && step >= (heads * e) as isize =>
            {
                Some(step as usize)
            }
            _ => None,
        };
        match step {
            Some(step) => Self { tensor, step },
            None => Self {
                tensor: tensor.to_contiguous(),
                step: heads * e,
            },
        }
    }

    /// From the first token on.
    fn values(&self) -> &[f32] {
        &self.tensor.storage::<f32>()[self.tensor.layout().start_offset()..]
    }

    /// One head of `rows` tokens from `first` on, `[rows, e]`.
    fn block(&self, first: usize, rows: usize, head: usize, e: usize) -> View<'_> {
        View::strided(
            &self.values()[first * self.step + head * e..],
            rows,
            e,
            self.step,
            1,
        )
    }
}

/// The operands of one call.
struct Heads {
    q: Tokens,
    k: Tokens,
    v: Tokens,
    segments: Segments,
    settings: AttentionSettings,
    /// Queries, keys.
    n: usize,
    m: usize,
    /// Query heads, key-value heads, head width.
    h: usize,
    g: usize,
    e: usize,
}

impl Heads {
    fn new(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        segments: Segments,
        settings: AttentionSettings,
    ) -> Self {
        let ([n, h, e], [m, g, _]) = (q.shape().dims(), k.shape().dims());
        Self {
            q: Tokens::new(q),
            k: Tokens::new(k),
            v: Tokens::new(v),
            segments,
            settings,
            n,
            m,
            h,
            g,
            e,
        }
    }

    /// Query heads that share a key-value head.
    fn ratio(&self) -> usize {
        self.h / self.g
    }
}

#[cfg(test)]
mod tests;
