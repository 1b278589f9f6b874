//! A batch of prompts with completions.

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor, TensorData};
use preflab_kernels::{Segment, Segments};

use crate::packed::{Packed, indices, spread, token_ids};

/// Rows of a prompt followed by a completion.
///
/// Nothing is padded: the tokens of all rows are computed on one after the other, and a prompt that several rows share (the
/// two answers of a pair, the candidates of one question) is computed once. Results are `[b, c]`, `c` the longest
/// completion: column `j` is the row's `j`-th completion token, and cells past the end of a completion are 0.
#[derive(Debug, Clone)]
pub struct Completions {
    /// `[b, c]`, 1 on completion tokens, 0 elsewhere; without autodiff.
    pub mask: Tensor<2>,
    /// Completion tokens of each row.
    pub lengths: Vec<usize>,
    /// (prompt, completion) of each row.
    rows: Vec<(Vec<u32>, Vec<u32>)>,
    /// The `n` completion tokens, row after row, `[n]`.
    targets: Tensor<1, Int>,
    /// For each cell of `[b, c]` its place among the `n`, or `n` where there is none, `[b * c]`.
    cells: Tensor<1, Int>,
}

/// A batch laid out for the decoder.
pub(crate) struct Laid {
    pub packed: Packed,
    /// Indices of the packed tokens asked for.
    pub wanted: Vec<usize>,
}

/// Which hidden states are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Of the token before each completion token.
    Before,
    /// Of the last token of each row.
    Last,
}

impl Completions {
    /// `rows`: (prompt, completion) of each row; a completion carries its end-of-sequence token.
    ///
    /// # Panics
    /// If there is no row, or a prompt is empty: its last token predicts the first token of the completion.
    pub fn new(rows: &[(&[u32], &[u32])], device: &Device) -> Self {
        assert!(!rows.is_empty(), "at least one row");
        assert!(
            rows.iter().all(|(prompt, _)| !prompt.is_empty()),
            "a prompt holds at least one token"
        );
        let device = &device.clone().inner();
        let lengths: Vec<usize> = rows
            .iter()
            .map(|(_, completion)| completion.len())
            .collect();
        let width = lengths.iter().copied().max().unwrap_or(0).max(1);
        let total: usize = lengths.iter().sum();
        // A batch of empty completions still computes one token, which no cell refers to.
        let mut cells = vec![total.max(1); rows.len() * width];
        let mut mask = vec![0f32; rows.len() * width];
        let mut place = 0;
        for (row, &length) in lengths.iter().enumerate() {
            for cell in row * width..row * width + length {
                cells[cell] = place;
                mask[cell] = 1.0;
                place += 1;
            }
        }
        let targets = rows
            .iter()
            .flat_map(|(_, completion)| completion.iter().copied());
        let nothing = (total == 0).then_some(0);
        Self {
            mask: Tensor::from_data(TensorData::new(mask, [rows.len(), width]), device),
            lengths,
            rows: rows
                .iter()
                .map(|(prompt, completion)| (prompt.to_vec(), completion.to_vec()))
                .collect(),
            targets: token_ids(targets.chain(nothing), device),
            cells: indices(cells, device),
        }
    }

    /// Number of rows, `b`.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Longest completion, `c`, at least 1.
    pub fn width(&self) -> usize {
        self.mask.dims()[1]
    }

    /// Number of completion tokens, all rows together.
    pub fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Tokens a decoder computes on for [`CausalLm::completion_logps`](crate::CausalLm::completion_logps): shared prompts
    /// once, and no last tokens, which predict nothing.
    pub fn computed_tokens(&self) -> usize {
        self.laid(Wanted::Before).packed.positions.len()
    }

    /// The completion tokens of all rows, one after the other, `[n]` (one token of no row if all completions are empty).
    pub fn targets(&self) -> Tensor<1, Int> {
        self.targets.clone()
    }

    /// Values of [`Self::targets`], `[n]`, in their cells of `[b, c]`; other cells are 0.
    pub fn spread(&self, values: Tensor<1>) -> Tensor<2> {
        let [n] = values.dims();
        spread(values.reshape([n, 1]), self.cells.clone()).reshape([self.rows(), self.width()])
    }

    /// The batch, with the tokens that predict [`Self::targets`] wanted.
    pub(crate) fn predicting(&self) -> Laid {
        self.laid(Wanted::Before)
    }

    /// The batch, with the last token of each row wanted.
    pub(crate) fn ending(&self) -> Laid {
        self.laid(Wanted::Last)
    }

    fn laid(&self, wanted: Wanted) -> Laid {
        let mut of_prompt: BTreeMap<&[u32], Vec<usize>> = BTreeMap::new();
        for (row, (prompt, _)) in self.rows.iter().enumerate() {
            of_prompt.entry(prompt).or_default().push(row);
        }
        let mut groups: Vec<(&[u32], Vec<usize>)> = of_prompt.into_iter().collect();
        groups.sort_by_key(|(_, rows)| rows[0]);

        let (mut ids, mut positions, mut segments) = (Vec::new(), Vec::new(), Vec::new());
        // The packed index of each row's prompt end, and of its first completion token.
        let mut places = vec![(0, 0); self.rows.len()];
        for (prompt, rows) in groups {
            let start = ids.len();
            ids.extend_from_slice(prompt);
            positions.extend(0..prompt.len());
            let prompt = start..ids.len();
            let alone = rows.len() == 1;
            if !alone {
                segments.push(Segment::alone(prompt.clone()));
            }
            for row in rows {
                let completion = self.rows[row].1.as_slice();
                let read = match wanted {
                    Wanted::Before => &completion[..completion.len().saturating_sub(1)],
                    Wanted::Last => completion,
                };
                places[row] = (prompt.end - 1, ids.len());
                let tokens = ids.len()..ids.len() + read.len();
                ids.extend_from_slice(read);
                positions.extend(prompt.len()..prompt.len() + read.len());
                if alone {
                    segments.push(Segment::alone(prompt.start..tokens.end));
                } else if !tokens.is_empty() {
                    segments.push(Segment {
                        prefix: prompt.clone(),
                        ..Segment::alone(tokens)
                    });
                }
            }
        }

        let rows = places.into_iter().zip(&self.lengths);
        let mut found: Vec<usize> = match wanted {
            Wanted::Before => rows
                .flat_map(|((before, first), &length)| {
                    (0..length).map(move |j| if j == 0 { before } else { first + j - 1 })
                })
                .collect(),
            Wanted::Last => rows
                .map(|((before, first), &length)| {
                    if length == 0 {
                        before
                    } else {
                        first + length - 1
                    }
                })
                .collect(),
        };
        if found.is_empty() {
            found.push(0);
        }
        let device = &self.mask.device();
        let packed = Packed {
            ids: token_ids(ids, device),
            positions,
            segments: Segments::new(segments),
        };
        Laid {
            packed,
            wanted: found,
        }
    }
}
