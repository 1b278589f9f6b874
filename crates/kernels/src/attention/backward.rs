//! Gradients of attention.

use burn::backend::TensorMetadata;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::forward::{BLOCK, WORTH_SHARING};
use super::side::{Side, parts};
use super::softmax::{probabilities, score_gradients};
use super::{Heads, Segment, Tokens};
use crate::flex::tensor;
use crate::gemm::{self, Output, Store, View};
use crate::rows::Shared;
use crate::scratch::Scratch;
use crate::simd::Level;

/// Where the three gradients go.
#[derive(Clone, Copy)]
struct Gradients {
    q: Shared,
    k: Shared,
    v: Shared,
}

impl Heads {
    /// Gradients of `q`, `k` and `v` from that of the output.
    ///
    /// The scores are made again, a block of queries at a time: with `p` the probabilities and `dp = do·vᵀ`,
    /// `ds = scale · p · (dp − Σ p·dp)`, `dq = ds·k`, `dk = dsᵀ·q`, `dv = pᵀ·do`.
    pub(super) fn backward(&self, log_sums: &[f32], gradient: FlexTensor) -> [FlexTensor; 3] {
        let (n, m, h, g, e) = (self.n, self.m, self.h, self.g, self.e);
        let gradient = Tokens::new(gradient);
        let mut dq = vec![0.0; n * h * e];
        let (mut dk, mut dv) = (vec![0.0; m * g * e], vec![0.0; m * g * e]);
        let to = Gradients {
            q: Shared::new(&mut dq),
            k: Shared::new(&mut dk),
            v: Shared::new(&mut dv),
        };
        let (segments, groups) = (self.segments.as_slice(), self.segments.groups());
        // Segments with keys in common follow one another, so that the order of sums is fixed.
        let task = |i: usize| {
            for &segment in &groups[i / g] {
                self.head_backward(&segments[segment], i % g, log_sums, &gradient, to);
            }
        };
        let work: usize = segments
            .iter()
            .map(|segment| segment.queries.len() * segment.seen() * h * e)
            .sum();
        if work < WORTH_SHARING {
            (0..groups.len() * g).for_each(task);
        } else {
            (0..groups.len() * g).into_par_iter().for_each(task);
        }
        let shape = |tokens: usize, heads: usize| {
            let mut shape = self.q.tensor.shape();
            shape.as_mut_slice().copy_from_slice(&[tokens, heads, e]);
            shape
        };
        [
            tensor(dq, shape(n, h)),
            tensor(dk, shape(m, g)),
            tensor(dv, shape(m, g)),
        ]
    }

    /// All queries of `segment` that read key-value head `kv`.
    fn head_backward(
        &self,
        segment: &Segment,
        kv: usize,
        log_sums: &[f32],
        gradient: &Tokens,
        to: Gradients,
    ) {
        let (h, g, e, level) = (self.h, self.g, self.e, Level::best());
        let (count, seen) = (segment.queries.len(), segment.seen());
        let scale = self.settings.scale as f32;
        let (key_side, value_side) = (
            Side::new(&self.k, segment, kv, e),
            Side::new(&self.v, segment, kv, e),
        );
        let (keys_across, values_across) =
            (key_side.transposed(level), value_side.transposed(level));
        let (keys_across, values_across) = (
            View::new(&keys_across, e, seen),
            View::new(&values_across, e, seen),
        );
        let (mut p, mut dp) = (Scratch::new(BLOCK * seen), Scratch::new(BLOCK * seen));
        for head in kv * self.ratio()..(kv + 1) * self.ratio() {
            for start in (0..count).step_by(BLOCK) {
                let block = start..(start + BLOCK).min(count);
                let columns = self.settings.visible(segment, block.start).start
                    ..self.settings.visible(segment, block.end - 1).end;
                let (rows, width) = (block.len(), columns.len());
                let first = segment.queries.start + start;
                let q = self.q.block(first, rows, head, e);
                let output_gradient = gradient.block(first, rows, head, e);
                let (p, dp) = (&mut p[..rows * width], &mut dp[..rows * width]);
                gemm::serial(
                    level,
                    q,
                    keys_across.columns(columns.clone()),
                    Output::new(p, rows, width),
                    Store::Overwrite,
                );
                let across = values_across.columns(columns.clone());
                gemm::serial(
                    level,
                    output_gradient,
                    across,
                    Output::new(dp, rows, width),
                    Store::Overwrite,
                );
                for (row, (p, dp)) in p
                    .chunks_exact_mut(width)
                    .zip(dp.chunks_exact_mut(width))
                    .enumerate()
                {
                    let visible = self.settings.visible(segment, start + row);
                    let visible = visible.start - columns.start..visible.end - columns.start;
                    probabilities(level, p, visible, scale, log_sums[(first + row) * h + head]);
                    score_gradients(level, p, dp, scale);
                }
                let (p, ds) = (View::new(p, rows, width), View::new(dp, rows, width));
                // SAFETY: every query and head, and every key of a group and key-value head, belongs to one task.
                unsafe {
                    let mut into = Store::Overwrite;
                    for part in parts(segment, columns.clone()) {
                        let local =
                            part.columns.start - columns.start..part.columns.end - columns.start;
                        let ds = ds.columns(local.clone());
                        let dq = Output::raw(to.q.at((first * h + head) * e), rows, e, h * e);
                        gemm::serial(level, ds, key_side.view(&part), dq, into);
                        into = Store::Add;
                        let at = (part.token * g + kv) * e;
                        let dk = Output::raw(to.k.at(at), local.len(), e, g * e);
                        gemm::serial(level, ds.t(), q, dk, Store::Add);
                        let dv = Output::raw(to.v.at(at), local.len(), e, g * e);
                        gemm::serial(level, p.columns(local).t(), output_gradient, dv, Store::Add);
                    }
                }
            }
        }
    }
}
