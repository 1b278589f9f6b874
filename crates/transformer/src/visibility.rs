//! Which keys each query may see.

use std::cell::RefCell;
use std::ops::Range;

use burn::tensor::{Bool, Device, Tensor, TensorData};

/// Causal visibility in a batch of padded rows: the queries are the last `queries` of `keys` columns.
///
/// A query in column `c` sees the columns of its row's span up to `c`, the latest `window` of them where there is a
/// window, and always itself, so that padding queries have something to look at.
#[derive(Debug)]
pub(crate) struct Visibility {
    pub spans: Vec<Range<usize>>,
    pub queries: usize,
    pub keys: usize,
    device: Device,
    masks: RefCell<Vec<(Option<usize>, Option<Tensor<3, Bool>>)>>,
}

impl Visibility {
    pub fn new(spans: Vec<Range<usize>>, queries: usize, keys: usize, device: Device) -> Self {
        Self {
            spans,
            queries,
            keys,
            device,
            masks: RefCell::default(),
        }
    }

    /// `[b, t, s]` (`[1, t, s]` where all rows are alike), true where a query may not look; `None` where nothing is hidden.
    pub fn hidden(&self, window: Option<usize>) -> Option<Tensor<3, Bool>> {
        let mut masks = self.masks.borrow_mut();
        if let Some((_, mask)) = masks.iter().find(|(known, _)| *known == window) {
            return mask.clone();
        }
        let mask = self.mask(window);
        masks.push((window, mask.clone()));
        mask
    }

    fn mask(&self, window: Option<usize>) -> Option<Tensor<3, Bool>> {
        let alike = self.spans.windows(2).all(|pair| pair[0] == pair[1]);
        let rows = if alike {
            &self.spans[..1]
        } else {
            &self.spans[..]
        };
        let mut hidden = vec![true; rows.len() * self.queries * self.keys];
        let lines = rows.iter().flat_map(|span| {
            (self.keys - self.queries..self.keys).map(move |column| (span, column))
        });
        for (line, (span, column)) in hidden.chunks_exact_mut(self.keys).zip(lines) {
            let start = window.map_or(span.start, |window| {
                span.start.max((column + 1).saturating_sub(window))
            });
            let end = span.end.min(column + 1);
            if start < end {
                line[start..end].fill(false);
            }
            line[column] = false;
        }
        hidden.iter().any(|&hidden| hidden).then(|| {
            let shape = [rows.len(), self.queries, self.keys];
            Tensor::from_data(TensorData::new(hidden, shape), &self.device)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(visibility: &Visibility, window: Option<usize>) -> Vec<String> {
        let mask = visibility.hidden(window).unwrap();
        let keys = mask.dims()[2];
        let cells: Vec<bool> = mask.into_data().to_vec().unwrap();
        cells
            .chunks(keys)
            .map(|line| {
                line.iter()
                    .map(|&hidden| if hidden { '.' } else { 'x' })
                    .collect()
            })
            .collect()
    }

    #[test]
    fn every_query_sees_its_own_past_and_itself() {
        let visibility = Visibility::new(vec![0..2, 1..3], 3, 3, Device::flex());
        assert_eq!(
            rows(&visibility, None),
            ["x..", "xx.", "xxx", "x..", ".x.", ".xx"]
        );
    }

    #[test]
    fn a_window_ends_with_the_query() {
        let visibility = Visibility::new(vec![0..4], 4, 4, Device::flex());
        assert_eq!(rows(&visibility, Some(2)), ["x...", "xx..", ".xx.", "..xx"]);
    }

    #[test]
    fn one_new_query_after_a_cache_hides_nothing_without_padding() {
        let visibility = Visibility::new(vec![0..5, 0..5], 1, 5, Device::flex());
        assert!(visibility.hidden(None).is_none());
        assert_eq!(rows(&visibility, Some(3)), ["..xxx"]);
    }
}
