//! Keys or values of one segment and head.

use super::{Segment, Tokens};
use crate::gemm::View;
use crate::scratch::Scratch;
use crate::simd::Level;
use crate::transpose::transpose;
use std::ops::Range;

/// What a head reads of the keys or values of a segment: those of the prefix, then the others.
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

    /// All of them, `[e, seen]`.
    pub(super) fn transposed(&self, level: Level) -> Scratch {
        let seen = self.segment.seen();
        let mut to = Scratch::new(self.e * seen);
        for part in parts(self.segment, 0..seen) {
            let size = [part.columns.len(), self.e];
            transpose(
                level,
                self.from(part.token),
                self.tokens.step,
                size,
                &mut to[part.columns.start..],
                seen,
            );
        }
        to
    }

    /// Those of one part, `[columns, e]`.
    pub(super) fn view(&self, part: &Part) -> View<'a> {
        View::strided(
            self.from(part.token),
            part.columns.len(),
            self.e,
            self.tokens.step,
            1,
        )
    }
}

/// Columns of a segment's scores whose keys lie one after the other.
pub(super) struct Part {
    pub(super) columns: Range<usize>,
    /// The key of the first column.
    pub(super) token: usize,
}

/// The parts that make up `columns` of the scores of `segment`: of the prefix and of the other keys, empty ones left out.
pub(super) fn parts(segment: &Segment, columns: Range<usize>) -> impl Iterator<Item = Part> {
    let before = segment.prefix.len();
    let cut = before.clamp(columns.start, columns.end);
    let prefix = Part {
        columns: columns.start..cut,
        token: segment.prefix.start + columns.start,
    };
    let own = Part {
        columns: cut..columns.end,
        token: (segment.keys.start + cut).saturating_sub(before),
    };
    [prefix, own]
        .into_iter()
        .filter(|part| !part.columns.is_empty())
}
