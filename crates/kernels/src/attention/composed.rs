//! Attention composed of burn's operations: every segment is a row of a padded batch.

use std::sync::{Arc, Mutex};

use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData, activation};

use super::{AttentionSettings, Segment, Segments};

/// Index tensors and masks already made for some segments. Layers that hide the same keys share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Padded(Arc<Mutex<Vec<(Key, Batch)>>>);

/// What a batch depends on besides the segments.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    device: Device,
    causal: bool,
    window: Option<usize>,
    /// Queries, keys.
    tokens: [usize; 2],
}

/// How tokens and cells of the padded batch correspond.
#[derive(Debug, Clone)]
struct Batch {
    /// Longest segment: queries, keys.
    longest: [usize; 2],
    /// The query of each cell, `[b * t]`; absent where cells and queries are the same.
    queries: Option<Tensor<1, Int>>,
    /// The key of each cell, `[b * s]`; absent where cells and keys are the same.
    keys: Option<Tensor<1, Int>>,
    /// The cell of each query, `[n]`, one past the last for none; absent where cells and queries are the same.
    cells: Option<Tensor<1, Int>>,
    /// `[b, 1, 1, t, s]`, true where a query may not look.
    hidden: Tensor<5, Bool>,
}

impl Padded {
    fn batch(
        &self,
        segments: &[Segment],
        settings: &AttentionSettings,
        tokens: [usize; 2],
        device: &Device,
    ) -> Batch {
        let AttentionSettings { causal, window, .. } = *settings;
        let key = Key {
            device: device.clone(),
            causal,
            window,
            tokens,
        };
        let mut known = self
            .0
            .lock()
            .expect("no thread panics while it makes a mask");
        if let Some((_, batch)) = known.iter().find(|(known, _)| *known == key) {
            return batch.clone();
        }
        let batch = Batch::new(segments, settings, tokens, device);
        known.push((key, batch.clone()));
        batch
    }
}

impl Batch {
    fn new(
        segments: &[Segment],
        settings: &AttentionSettings,
        [n, m]: [usize; 2],
        device: &Device,
    ) -> Self {
        let t = segments
            .iter()
            .map(|segment| segment.queries.len())
            .max()
            .unwrap_or(0);
        let s = segments.iter().map(Segment::seen).max().unwrap_or(0);
        let mut queries = vec![0; segments.len() * t];
        let mut keys = vec![0; segments.len() * s];
        let mut cells = vec![segments.len() * t; n];
        for (row, segment) in segments.iter().enumerate() {
            for (place, query) in segment.queries.clone().enumerate() {
                queries[row * t + place] = query;
                cells[query] = row * t + place;
            }
            let seen = segment.prefix.clone().chain(segment.keys.clone());
            keys[row * s..(row + 1) * s]
                .iter_mut()
                .zip(seen)
                .for_each(|(cell, key)| *cell = key);
        }
        let hidden = TensorData::new(
            hidden(segments, settings, t, s),
            [segments.len(), 1, 1, t, s],
        );
        Self {
            longest: [t, s],
            queries: indices(queries, n, device),
            keys: indices(keys, m, device),
            cells: indices(cells, segments.len() * t, device),
            hidden: Tensor::from_data(hidden, device),
        }
    }
}

/// See [`super::attention`].
pub(super) fn attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    segments: &Segments,
    settings: &AttentionSettings,
) -> Tensor<3> {
    let ([n, h, e], [m, g, _]) = (q.dims(), k.dims());
    let b = segments.as_slice().len();
    if b == 0 {
        return q * 0.0;
    }
    let device = q.device().inner();
    let batch = segments
        .padded
        .batch(segments.as_slice(), settings, [n, m], &device);
    let ([t, s], ratio) = (batch.longest, h / g);
    let split = |x: Tensor<3>, tokens: &Option<Tensor<1, Int>>, width: usize, heads: usize| {
        selected(x, tokens)
            .reshape([b, width, heads, e])
            .swap_dims(1, 2)
    };
    let q = split(q, &batch.queries, t, h).reshape([b, g, ratio * t, e]);
    let k = split(k, &batch.keys, s, g);
    let v = split(v, &batch.keys, s, g);
    let dtype = q.dtype();
    // Products in the numbers of the operands, the softmax in 32 bits.
    let mut scores = full(q.matmul(k.swap_dims(2, 3))) * settings.scale;
    if let Some(cap) = settings.cap {
        scores = (scores / cap).tanh() * cap;
    }
    let hidden = batch
        .hidden
        .expand([b, g, ratio, t, s])
        .reshape([b, g, ratio * t, s]);
    let scores = scores.mask_fill(hidden, f32::NEG_INFINITY);
    let weights = activation::softmax(scores, 3);
    let weights = if dtype == DType::F32 {
        weights
    } else {
        weights.cast(dtype)
    };
    let y = weights.matmul(v).reshape([b, h, t, e]);
    let y = y.swap_dims(1, 2).reshape([b * t, h, e]);
    match &batch.cells {
        None => y,
        Some(cells) => {
            let zeros = Tensor::zeros([1, h, e], (&device, dtype));
            Tensor::cat(vec![y, zeros], 0).select(0, cells.clone())
        }
    }
}

fn full(x: Tensor<4>) -> Tensor<4> {
    if x.dtype() == DType::F32 {
        x
    } else {
        x.cast(DType::F32)
    }
}

fn selected(x: Tensor<3>, tokens: &Option<Tensor<1, Int>>) -> Tensor<3> {
    match tokens {
        Some(tokens) => x.select(0, tokens.clone()),
        None => x,
    }
}

/// `places` on the device, or nothing where they are `0..count`.
fn indices(places: Vec<usize>, count: usize, device: &Device) -> Option<Tensor<1, Int>> {
    if places.iter().copied().eq(0..count) {
        return None;
    }
    let places: Vec<i64> = places.into_iter().map(|place| place as i64).collect();
    let shape = [places.len()];
    Some(Tensor::from_data(TensorData::new(places, shape), device))
}

/// `[b, t, s]`, true where a query may not look. A padding query sees the first column, so that its softmax is finite.
fn hidden(segments: &[Segment], settings: &AttentionSettings, t: usize, s: usize) -> Vec<bool> {
    let mut hidden = vec![true; segments.len() * t * s];
    for (row, segment) in segments.iter().enumerate() {
        for i in 0..t {
            let line = &mut hidden[(row * t + i) * s..][..s];
            if i < segment.queries.len() {
                line[settings.visible(segment, i)].fill(false);
            } else {
                line[..1].fill(false);
            }
        }
    }
    hidden
}
