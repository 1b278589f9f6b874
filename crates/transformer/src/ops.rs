//! The operations that have a fused form, each composed here of burn's own.

use burn::tensor::{Bool, Int, Tensor, activation};

/// `weight * x / sqrt(mean(x^2) + epsilon)` over the last axis of `x`, `[.., d]`; `weight` is `[d]`.
pub(crate) fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let scale = (x.clone().square().mean_dim(D - 1) + epsilon)
        .sqrt()
        .recip();
    x * scale * weight.unsqueeze()
}

/// Rotates the first `2 * half` components of every head; component `i` is paired with `i + half`.
///
/// - `x`: `[b, h, t, e]`; `cosine`, `sine`: `[b, 1, t, half]`, `b` possibly 1.
pub(crate) fn rotary(x: Tensor<4>, cosine: Tensor<4>, sine: Tensor<4>) -> Tensor<4> {
    let (width, half) = (x.dims()[3], cosine.dims()[3]);
    let first = x.clone().narrow(3, 0, half);
    let second = x.clone().narrow(3, half, half);
    let mut parts = vec![
        first.clone() * cosine.clone() - second.clone() * sine.clone(),
        second * cosine + first * sine,
    ];
    if width > 2 * half {
        parts.push(x.narrow(3, 2 * half, width - 2 * half));
    }
    Tensor::cat(parts, 3)
}

/// `silu(gate) * up`.
pub(crate) fn swiglu(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    activation::silu(gate) * up
}

/// `softmax(cap(q k^T * scale)) v` with grouped key-value heads.
///
/// - `q`: `[b, h, t, e]`; `k`, `v`: `[b, g, s, e]`, `g` dividing `h`.
/// - `hidden`: `[b, t, s]` (`b` possibly 1), true where a query may not look; at least one key of every query is seen.
/// - `cap`: scores become `cap * tanh(scores / cap)`.
///
/// Returns `[b, h, t, e]`.
pub(crate) fn attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    hidden: Option<Tensor<3, Bool>>,
    scale: f64,
    cap: Option<f64>,
) -> Tensor<4> {
    let [b, heads, t, width] = q.dims();
    let [_, kv_heads, s, _] = k.dims();
    let group = heads / kv_heads;
    let q = q.reshape([b, kv_heads, group * t, width]);
    let mut scores = q.matmul(k.swap_dims(2, 3)) * scale;
    if let Some(cap) = cap {
        scores = (scores / cap).tanh() * cap;
    }
    if let Some(hidden) = hidden {
        let hidden = hidden
            .unsqueeze_dims::<5>(&[1, 1])
            .expand([b, kv_heads, group, t, s]);
        scores = scores.mask_fill(
            hidden.reshape([b, kv_heads, group * t, s]),
            f32::NEG_INFINITY,
        );
    }
    activation::softmax(scores, 3)
        .matmul(v)
        .reshape([b, heads, t, width])
}

/// Log-probability of `targets`, `[n]`, and entropy, `[n]`, under `softmax(logits / temperature)`, `logits`: `[n, v]`. Nats.
///
/// The entropy carries no gradient.
pub(crate) fn token_logps(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    temperature: f64,
) -> (Tensor<1>, Tensor<1>) {
    let [n, _] = logits.dims();
    let logits = if temperature == 1.0 {
        logits
    } else {
        logits / temperature
    };
    let logps = activation::log_softmax(logits, 1);
    let constant = logps.clone().inner();
    let entropy = (constant.clone().exp() * constant)
        .sum_dim(1)
        .neg()
        .reshape([n]);
    let chosen = logps.gather(1, targets.reshape([n, 1])).reshape([n]);
    (chosen, entropy)
}
