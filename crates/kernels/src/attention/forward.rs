//! Attention outputs.

use burn::backend::TensorMetadata;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::softmax::{exponentials, scaled, scores, transpose};
use super::{Heads, Segment, Tokens};
use crate::flex::tensor;
use crate::gemm::{self, Into, Output, View};
use crate::rows::Shared;
use crate::scratch::Scratch;
use crate::simd::Level;

/// Queries of one head whose scores exist at a time.
pub(super) const BLOCK: usize = 64;

/// Multiply-adds below which one thread does everything.
pub(super) const WORTH_SHARING: usize = 1 << 18;

/// Keys or values of one segment and head.
pub(super) struct Side<'a> {
    tokens: &'a Tokens,
    segment: &'a Segment,
    /// First element of the head within a token.
    offset: usize,
    e: usize,
}

impl<'a> Side<'a> {
    pub(super) fn new(tokens: &'a Tokens, segment: &'a Segment, head: usize, e: usize) -> Self {
        Self {
            tokens,
            segment,
            offset: head * e,
            e,
        }
    }

    fn from(&self, token: usize) -> &'a [f32] {
        &self.tokens.values()[token * self.tokens.step + self.offset..]
    }

    /// `[e, seen]`, prefix first.
    pub(super) fn transposed(&self, level: Level) -> Scratch {
        let (seen, before) = (self.segment.seen(), self.segment.prefix.len());
        let mut to = Scratch::new(self.e * seen);
        let step = self.tokens.step;
        if before > 0 {
            transpose(
                level,
                self.from(self.segment.prefix.start),
                step,
                before,
                self.e,
                &mut to,
                seen,
            );
        }
        let keys = self.segment.keys.clone();
        transpose(
            level,
            self.from(keys.start),
            step,
            keys.len(),
            self.e,
            &mut to[before..],
            seen,
        );
        to
    }

    /// `[seen, e]` side by side, needed only where there is a prefix.
    pub(super) fn joined(&self) -> Option<Scratch> {
        let (seen, before) = (self.segment.seen(), self.segment.prefix.len());
        if before == 0 {
            return None;
        }
        let mut to = Scratch::new(self.e * seen);
        let tokens = self.segment.prefix.clone().chain(self.segment.keys.clone());
        for (to, token) in to.chunks_exact_mut(self.e).zip(tokens) {
            to.copy_from_slice(&self.from(token)[..self.e]);
        }
        Some(to)
    }

    /// `[seen, e]`, from [`Self::joined`] where there is a prefix.
    pub(super) fn view<'b>(&self, joined: &'b Option<Scratch>) -> View<'b>
    where
        'a: 'b,
    {
        let seen = self.segment.seen();
        match joined {
            Some(joined) => View::new(joined, seen, self.e),
            None => View::strided(
                self.from(self.segment.keys.start),
                seen,
                self.e,
                self.tokens.step,
                1,
            ),
        }
    }
}

impl Heads {
    /// The output, `[n, h, e]`, and the logarithm of every query's sum of exponentials, `[n, h]`.
    pub(super) fn forward(&self) -> (FlexTensor, Vec<f32>) {
        let (n, h, g, e) = (self.n, self.h, self.g, self.e);
        let (mut output, mut log_sums) = (vec![0.0; n * h * e], vec![0.0; n * h]);
        let (to, to_log_sums) = (Shared::new(&mut output), Shared::new(&mut log_sums));
        let segments = self.segments.as_slice();
        let task = |i: usize| self.head(&segments[i / g], i % g, to, to_log_sums);
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
    fn head(&self, segment: &Segment, kv: usize, to: Shared, to_log_sums: Shared) {
        let (h, e, level) = (self.h, self.e, Level::best());
        let count = segment.queries.len();
        if count == 0 {
            return;
        }
        if count == 1 {
            self.single(segment, kv, to, to_log_sums);
            return;
        }
        let scale = self.settings.scale as f32;
        let keys = Side::new(&self.k, segment, kv, e).transposed(level);
        let keys = View::new(&keys, e, segment.seen());
        let values = Side::new(&self.v, segment, kv, e);
        let joined = values.joined();
        let values = values.view(&joined);
        let mut scores = Scratch::new(BLOCK * segment.seen());
        for head in kv * self.ratio()..(kv + 1) * self.ratio() {
            for start in (0..count).step_by(BLOCK) {
                let block = start..(start + BLOCK).min(count);
                let columns = self.visible(segment, block.start).start
                    ..self.visible(segment, block.end - 1).end;
                let (rows, width) = (block.len(), columns.len());
                let first = segment.queries.start + start;
                let q = self.q.block(first, rows, head, e);
                let scores = &mut scores[..rows * width];
                gemm::serial(
                    level,
                    q,
                    keys.columns(columns.clone()),
                    Output::new(scores, rows, width),
                    Into::Overwrite,
                );
                let mut sums = [0.0; BLOCK];
                for (row, (scores, sum)) in
                    scores.chunks_exact_mut(width).zip(&mut sums).enumerate()
                {
                    let visible = self.visible(segment, start + row);
                    let visible = visible.start - columns.start..visible.end - columns.start;
                    let (total, log_sum) = exponentials(level, scores, visible, scale);
                    *sum = total;
                    let at = (first + row) * h + head;
                    // SAFETY: every query and head belongs to one task.
                    unsafe { to_log_sums.slice(at..at + 1)[0] = log_sum };
                }
                // SAFETY: as above.
                let output = unsafe { Output::raw(to.at((first * h + head) * e), rows, e, h * e) };
                gemm::serial(
                    level,
                    View::new(scores, rows, width),
                    values.rows(columns),
                    output,
                    Into::Overwrite,
                );
                for (row, sum) in sums.iter().enumerate().take(rows) {
                    let at = ((first + row) * h + head) * e;
                    // SAFETY: as above.
                    scaled(level, unsafe { to.slice(at..at + e) }, 1.0 / sum);
                }
            }
        }
    }

    /// The only query of `segment`: one step of generation. All its heads are rows of one product, and no key is moved.
    fn single(&self, segment: &Segment, kv: usize, to: Shared, to_log_sums: Shared) {
        let (h, e, ratio, level) = (self.h, self.e, self.ratio(), Level::best());
        let query = segment.queries.start;
        let visible = self.visible(segment, 0);
        let before = segment.prefix.len();
        let mut weights = Scratch::new(ratio * segment.seen());
        let lines = weights.chunks_exact_mut(segment.seen());
        for (head, line) in (kv * ratio..(kv + 1) * ratio).zip(lines) {
            let q = &self.q.values()[query * self.q.step + head * e..][..e];
            let (of_prefix, of_keys) = line.split_at_mut(before);
            let keys = Side::new(&self.k, segment, kv, e);
            if before > 0 {
                scores(
                    level,
                    q,
                    keys.from(segment.prefix.start),
                    self.k.step,
                    of_prefix,
                );
            }
            scores(
                level,
                q,
                keys.from(segment.keys.start),
                self.k.step,
                of_keys,
            );
            let (sum, log_sum) =
                exponentials(level, line, visible.clone(), self.settings.scale as f32);
            scaled(level, line, 1.0 / sum);
            let at = query * h + head;
            // SAFETY: every query and head belongs to one task.
            unsafe { to_log_sums.slice(at..at + 1)[0] = log_sum };
        }
        let values = Side::new(&self.v, segment, kv, e);
        let weights = View::new(&weights, ratio, segment.seen());
        let parts = [
            (segment.prefix.clone(), 0, Into::Overwrite),
            (
                segment.keys.clone(),
                before,
                if before > 0 {
                    Into::Add
                } else {
                    Into::Overwrite
                },
            ),
        ];
        for (tokens, column, into) in parts {
            if tokens.is_empty() {
                continue;
            }
            let from = View::strided(values.from(tokens.start), tokens.len(), e, self.v.step, 1);
            // SAFETY: as above.
            let output = unsafe { Output::raw(to.at((query * h + kv * ratio) * e), ratio, e, e) };
            gemm::serial(
                level,
                weights.columns(column..column + tokens.len()),
                from,
                output,
                into,
            );
        }
    }
}
