//! Which tokens attend to which.

use std::ops::Range;
use std::sync::Arc;

use super::composed::Padded;

/// A run of queries and the keys they may see.
///
/// The queries stand at the end of the keys: with `c` queries and `m` keys, query `i` stands where key `m − c + i` does.
/// In causal attention it sees the prefix and the keys up to its own place, otherwise the prefix and all keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Tokens of `q`.
    pub queries: Range<usize>,
    /// Tokens of `k` and `v`; at least as many as there are queries.
    pub keys: Range<usize>,
    /// Tokens of `k` and `v` that stand before the keys, seen by every query; empty for none. A prompt that several
    /// completions share is the prefix of each.
    pub prefix: Range<usize>,
}

impl Segment {
    /// `tokens` of one packed sequence that attend to themselves.
    pub fn alone(tokens: Range<usize>) -> Self {
        Self {
            queries: tokens.clone(),
            keys: tokens,
            prefix: 0..0,
        }
    }

    /// Keys and prefix together.
    pub(crate) fn seen(&self) -> usize {
        self.prefix.len() + self.keys.len()
    }

    /// Keys before the first query's own.
    pub(crate) fn past(&self) -> usize {
        self.seen() - self.queries.len()
    }
}

/// The segments of a batch. Made once, used by every layer.
///
/// Queries in no segment get zeros; no query may be in two.
#[derive(Debug, Clone)]
pub struct Segments {
    segments: Arc<[Segment]>,
    /// Indices of segments, those that share keys together.
    groups: Arc<[Vec<usize>]>,
    /// What the composed path made of them.
    pub(super) padded: Padded,
}

impl Segments {
    /// Any segments.
    ///
    /// # Panics
    /// If a segment has fewer keys than queries, or two share a query.
    pub fn new(segments: Vec<Segment>) -> Self {
        for segment in &segments {
            assert!(
                segment.keys.len() >= segment.queries.len(),
                "a segment with fewer keys than queries: {segment:?}"
            );
        }
        let mut by_query: Vec<&Segment> = segments
            .iter()
            .filter(|segment| !segment.queries.is_empty())
            .collect();
        by_query.sort_by_key(|segment| segment.queries.start);
        for pair in by_query.windows(2) {
            assert!(
                pair[0].queries.end <= pair[1].queries.start,
                "{:?} and {:?} share queries",
                pair[0],
                pair[1]
            );
        }
        let groups = groups(&segments).into();
        Self {
            segments: segments.into(),
            groups,
            padded: Padded::default(),
        }
    }

    /// Rows of `columns` tokens, one after the other, in which the tokens of `spans` (one span a row) attend to
    /// themselves.
    pub fn rows(spans: &[Range<usize>], columns: usize) -> Self {
        Self::cached(spans, columns, columns, columns)
    }

    /// Rows of which the last `queries` of the first `filled` columns are queries, and whose keys lie in a cache of
    /// `room` columns a row. `spans` are the columns of each row's real tokens, earlier ones included.
    pub fn cached(spans: &[Range<usize>], queries: usize, filled: usize, room: usize) -> Self {
        let first = filled - queries;
        let segments = spans.iter().enumerate().filter_map(|(row, span)| {
            let start = span.start.max(first);
            let end = span.end.min(filled);
            (start < end).then(|| Segment {
                queries: row * queries + start - first..row * queries + end - first,
                keys: row * room + span.start..row * room + end,
                prefix: 0..0,
            })
        });
        Self::new(segments.collect())
    }

    /// The same keys for some of the queries: query `i` of the result is query `queries[i]`.
    ///
    /// For causal attention, where queries do not see the keys behind them: those behind the last query of a run are left out.
    ///
    /// # Panics
    /// If the queries do not ascend.
    pub fn of_queries(&self, queries: &[usize]) -> Self {
        assert!(
            queries.is_sorted_by(|a, b| a < b),
            "queries in ascending order, each once"
        );
        let mut narrowed = Vec::new();
        for segment in self.as_slice() {
            let Range { start, end } = segment.queries;
            let mut place = queries.partition_point(|&query| query < start);
            let last = queries.partition_point(|&query| query < end);
            for run in queries[place..last].chunk_by(|a, b| a + 1 == *b) {
                let behind = end - 1 - run[run.len() - 1];
                narrowed.push(Segment {
                    queries: place..place + run.len(),
                    keys: segment.keys.start..segment.keys.end - behind,
                    prefix: segment.prefix.clone(),
                });
                place += run.len();
            }
        }
        Self::new(narrowed)
    }

    /// The segments, in the order given.
    pub fn as_slice(&self) -> &[Segment] {
        &self.segments
    }

    pub(crate) fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    /// Highest query and highest key, both past the end.
    pub(crate) fn bounds(&self) -> (usize, usize) {
        self.segments
            .iter()
            .fold((0, 0), |(queries, keys), segment| {
                let end = segment.keys.end.max(segment.prefix.end);
                (queries.max(segment.queries.end), keys.max(end))
            })
    }
}

/// Segments that are connected through keys they have in common, in the order of their first keys.
fn groups(segments: &[Segment]) -> Vec<Vec<usize>> {
    let mut owner: Vec<usize> = (0..segments.len()).collect();
    let mut ranges: Vec<(Range<usize>, usize)> = segments
        .iter()
        .enumerate()
        .flat_map(|(index, segment)| {
            [
                (segment.keys.clone(), index),
                (segment.prefix.clone(), index),
            ]
        })
        .filter(|(range, _)| !range.is_empty())
        .collect();
    ranges.sort_by_key(|(range, index)| (range.start, range.end, *index));
    fn root(owner: &mut [usize], mut index: usize) -> usize {
        while owner[index] != index {
            owner[index] = owner[owner[index]];
            index = owner[index];
        }
        index
    }
    let mut end = 0;
    let mut last = None;
    for (range, index) in ranges {
        if let Some(last) = last.filter(|_| range.start < end) {
            let (a, b) = (root(&mut owner, last), root(&mut owner, index));
            owner[a.max(b)] = a.min(b);
        }
        end = end.max(range.end);
        last = Some(index);
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); segments.len()];
    for index in 0..segments.len() {
        let root = root(&mut owner, index);
        groups[root].push(index);
    }
    groups.retain(|group| !group.is_empty());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_with_common_keys_form_a_group() {
        let shared = |tokens: Range<usize>, prefix: Range<usize>| Segment {
            prefix,
            ..Segment::alone(tokens)
        };
        let segments = Segments::new(vec![
            Segment::alone(0..4),
            shared(4..6, 0..4),
            Segment::alone(10..12),
            shared(6..9, 0..3),
            Segment::alone(9..10),
        ]);
        assert_eq!(segments.groups(), [vec![0, 1, 3], vec![2], vec![4]]);
    }

    #[test]
    fn cached_rows_look_back_to_the_start_of_their_span() {
        let segments = Segments::cached(&[1..5, 4..5], 1, 5, 8);
        assert_eq!(
            segments.as_slice(),
            [
                Segment {
                    queries: 0..1,
                    keys: 1..5,
                    prefix: 0..0
                },
                Segment {
                    queries: 1..2,
                    keys: 12..13,
                    prefix: 0..0
                },
            ]
        );
    }

    #[test]
    fn segments_of_some_queries_keep_the_keys_that_these_see() {
        let completion = |tokens: Range<usize>| Segment {
            prefix: 0..4,
            ..Segment::alone(tokens)
        };
        let segments = Segments::new(vec![
            Segment::alone(0..4),
            completion(4..8),
            completion(8..10),
            Segment::alone(10..15),
        ]);
        let narrowed = segments.of_queries(&[3, 5, 6, 11, 13, 14]);
        let segment = |queries, keys, prefix| Segment {
            queries,
            keys,
            prefix,
        };
        assert_eq!(
            narrowed.as_slice(),
            [
                segment(0..1, 0..4, 0..0),
                segment(1..3, 4..7, 0..4),
                segment(3..4, 10..12, 0..0),
                segment(4..6, 10..15, 0..0),
            ]
        );
    }

    #[test]
    #[should_panic(expected = "each once")]
    fn queries_of_segments_ascend() {
        Segments::new(vec![Segment::alone(0..3)]).of_queries(&[1, 1]);
    }

    #[test]
    #[should_panic(expected = "share queries")]
    fn a_query_has_one_segment() {
        Segments::new(vec![Segment::alone(0..3), Segment::alone(2..4)]);
    }
}
