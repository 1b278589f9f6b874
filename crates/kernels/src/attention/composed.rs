//! Attention composed of burn's operations: every segment is a row of a padded batch.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use super::{AttentionSettings, Segment, Segments};

/// See [`super::attention`].
pub(super) fn attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    segments: &Segments,
    settings: &AttentionSettings,
) -> Tensor<3> {
    let ([n, h, e], [_, g, _]) = (q.dims(), k.dims());
    let segments = segments.as_slice();
    let device = q.device().inner();
    let (Some(t), Some(s)) = (
        segments.iter().map(|segment| segment.queries.len()).max(),
        segments.iter().map(Segment::seen).max(),
    ) else {
        return q * 0.0;
    };
    let b = segments.len();
    let queries = segments
        .iter()
        .map(|segment| segment.queries.clone().collect::<Vec<_>>());
    let keys = segments.iter().map(|segment| {
        segment
            .prefix
            .clone()
            .chain(segment.keys.clone())
            .collect::<Vec<_>>()
    });
    let padded = |rows: &mut dyn Iterator<Item = Vec<usize>>, width: usize| {
        let mut cells = vec![0i64; b * width];
        for (cells, row) in cells.chunks_exact_mut(width.max(1)).zip(rows) {
            cells
                .iter_mut()
                .zip(row)
                .for_each(|(cell, token)| *cell = token as i64);
        }
        indices(cells, &device)
    };
    let query_cells = padded(&mut queries.into_iter(), t);
    let key_cells = padded(&mut keys.into_iter(), s);
    let split = |x: Tensor<3>, cells: Tensor<1, Int>, width: usize, heads: usize| {
        x.select(0, cells)
            .reshape([b, width, heads, e])
            .swap_dims(1, 2)
    };
    let ratio = h / g;
    let q = split(q, query_cells, t, h).reshape([b, g, ratio * t, e]);
    let k = split(k, key_cells.clone(), s, g);
    let v = split(v, key_cells, s, g);
    let mut scores = q.matmul(k.swap_dims(2, 3)) * settings.scale;
    if let Some(cap) = settings.cap {
        scores = (scores / cap).tanh() * cap;
    }
    let hidden = hidden(segments, settings, t, s);
    let hidden =
        Tensor::<4, burn::tensor::Bool>::from_data(TensorData::new(hidden, [b, 1, t, s]), &device);
    let hidden = hidden
        .unsqueeze_dim::<5>(2)
        .expand([b, g, ratio, t, s])
        .reshape([b, g, ratio * t, s]);
    let scores = scores.mask_fill(hidden, f32::NEG_INFINITY);
    let y = activation::softmax(scores, 3)
        .matmul(v)
        .reshape([b, h, t, e])
        .swap_dims(1, 2)
        .reshape([b * t, h, e]);
    // The cell each query stands in; those in none take a row of zeros behind the last cell.
    let mut cells = vec![(b * t) as i64; n];
    for (row, segment) in segments.iter().enumerate() {
        for (place, query) in segment.queries.clone().enumerate() {
            cells[query] = (row * t + place) as i64;
        }
    }
    let zeros = Tensor::zeros([1, h, e], &device);
    Tensor::cat(vec![y, zeros], 0).select(0, indices(cells, &device))
}

fn indices(cells: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let count = cells.len();
    Tensor::from_data(TensorData::new(cells, [count]), device)
}

/// `[b, t, s]`, true where a query may not look. A padding query sees the first column, so that its softmax is finite.
fn hidden(segments: &[Segment], settings: &AttentionSettings, t: usize, s: usize) -> Vec<bool> {
    let mut hidden = vec![true; segments.len() * t * s];
    let mut lines = hidden.chunks_exact_mut(s);
    for segment in segments {
        for i in 0..t {
            let line = lines.next().expect("a line for every query");
            if i >= segment.queries.len() {
                line[0] = false;
                continue;
            }
            let own = segment.past() + i;
            let end = if settings.causal {
                own + 1
            } else {
                segment.seen()
            };
            let start = settings
                .window
                .map_or(0, |window| (own + 1).saturating_sub(window));
            line[start..end].fill(false);
        }
    }
    hidden
}
