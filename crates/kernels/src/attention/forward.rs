//! Attention outputs.

use burn::backend::TensorMetadata;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::side::{Side, parts};
use super::softmax::{exponentials, scaled};
use super::{Heads, Segment};
use crate::flex::tensor;
use crate::gemm::{self, Output, Store, View};
use crate::rows::Shared;
use crate::scratch::Scratch;
use crate::simd::Level;

/// Rows of scores that exist at a time.
pub(super) const BLOCK: usize = 64;

/// Multiply-adds below which one thread does everything.
pub(super) const WORTH_SHARING: usize = 1 << 18;

/// Where the results go.
#[derive(Clone, Copy)]
struct Results {
    /// `[n, h, e]`.
    output: Shared,
    /// The logarithm of every query's sum of exponentials, `[n, h]`.
    log_sums: Shared,
}

/// Some rows of scores: queries of one head, or heads of one query.
struct Rows<'a> {
    /// `[rows, e]`.
    q: View<'a>,
    /// Row `r` is query `query + r / heads` of the segment.
    query: usize,
    /// Heads side by side among the rows, 1 or all.
    heads: usize,
    /// Place of the first row among all queries and heads, `[n, h]`.
    place: usize,
    /// Places from one row to the next.
    step: usize,
}

impl Heads {
    /// The output, `[n, h, e]`, and the logarithm of every query's sum of exponentials, `[n, h]`.
    pub(super) fn forward(&self) -> (FlexTensor, Vec<f32>) {
        let (n, h, g, e) = (self.n, self.h, self.g, self.e);
        let (mut output, mut log_sums) = (vec![0.0; n * h * e], vec![0.0; n * h]);
        let to = Results {
            output: Shared::new(&mut output),
            log_sums: Shared::new(&mut log_sums),
        };
        let segments = self.segments.as_slice();
        let task = |i: usize| self.head(&segments[i / g], i % g, to);
        let work: usize = segments
            .iter()
            .map(|segment| segment.queries.len() * segment.seen() * h * e)
            .sum();
        if work < WORTH_SHARING {
            (0..segments.len() * g).for_each(task);
        } else {
            (0..segments.len() * g).into_par_iter().for_each(task);
        }
        let mut shape = self.q.tensor.shape();
        shape.as_mut_slice().copy_from_slice(&[n, h, e]);
        (tensor(output, shape), log_sums)
    }

    /// All queries of `segment` that read key-value head `kv`.
    fn head(&self, segment: &Segment, kv: usize, to: Results) {
        let (h, e, level) = (self.h, self.e, Level::best());
        let count = segment.queries.len();
        if count == 0 {
            return;
        }
        let across = Side::new(&self.k, segment, kv, e).transposed(level);
        let across = View::new(&across, e, segment.seen());
        let values = Side::new(&self.v, segment, kv, e);
        let heads = kv * self.ratio()..(kv + 1) * self.ratio();
        if count == 1 {
            // A step of generation: the heads are the rows of one product.
            let place = segment.queries.start * h + heads.start;
            let q = &self.q.values()[segment.queries.start * self.q.step + heads.start * e..];
            let q = View::new(q, heads.len(), e);
            self.rows(
                segment,
                &Rows {
                    q,
                    query: 0,
                    heads: heads.len(),
                    place,
                    step: 1,
                },
                across,
                &values,
                to,
            );
            return;
        }
        for head in heads {
            for query in (0..count).step_by(BLOCK) {
                let first = segment.queries.start + query;
                let q = self.q.block(first, BLOCK.min(count - query), head, e);
                let rows = Rows {
                    q,
                    query,
                    heads: 1,
                    place: first * h + head,
                    step: h,
                };
                self.rows(segment, &rows, across, &values, to);
            }
        }
    }

    fn rows(&self, segment: &Segment, rows: &Rows, across: View, values: &Side, to: Results) {
        let (e, level, scale) = (self.e, Level::best(), self.settings.scale as f32);
        let count = rows.q.rows;
        let last = rows.query + (count - 1) / rows.heads;
        let columns = self.settings.visible(segment, rows.query).start
            ..self.settings.visible(segment, last).end;
        let width = columns.len();
        let mut scores = Scratch::new(count * width);
        gemm::serial(
            level,
            rows.q,
            across.columns(columns.clone()),
            Output::new(&mut scores, count, width),
            Store::Overwrite,
        );
        let mut sums = Scratch::new(count);
        for (row, (scores, sum)) in scores
            .chunks_exact_mut(width)
            .zip(sums.iter_mut())
            .enumerate()
        {
            let visible = self
                .settings
                .visible(segment, rows.query + row / rows.heads);
            let visible = visible.start - columns.start..visible.end - columns.start;
            let (total, log_sum) = exponentials(level, scores, visible, scale);
            *sum = total;
            let at = rows.place + row * rows.step;
            // SAFETY: every query and head belongs to one task.
            unsafe { to.log_sums.slice(at..at + 1)[0] = log_sum };
        }
        let scores = View::new(&scores, count, width);
        let mut into = Store::Overwrite;
        for part in parts(segment, columns.clone()) {
            let local = part.columns.start - columns.start..part.columns.end - columns.start;
            // SAFETY: as above.
            let output =
                unsafe { Output::raw(to.output.at(rows.place * e), count, e, rows.step * e) };
            gemm::serial(
                level,
                scores.columns(local),
                values.view(&part),
                output,
                into,
            );
            into = Store::Add;
        }
        for (row, sum) in sums.iter().enumerate() {
            let at = (rows.place + row * rows.step) * e;
            // SAFETY: as above.
            scaled(level, unsafe { to.output.slice(at..at + e) }, 1.0 / sum);
        }
    }
}
