//! What sampled completions look like: the signs of degenerate text.

use std::collections::BTreeSet;

/// Share of distinct n-grams among all n-grams of the completions (distinct-n, Li et al. 2016, arXiv:1510.03055).
///
/// 1 where there is no n-gram at all.
pub fn distinct(completions: &[&[u32]], n: usize) -> f64 {
    let grams = || completions.iter().flat_map(|tokens| tokens.windows(n));
    match grams().count() {
        0 => 1.0,
        all => grams().collect::<BTreeSet<_>>().len() as f64 / all as f64,
    }
}

/// Mean over completions of the share of its token triples that occurred earlier in the same completion.
pub fn repetition(completions: &[&[u32]]) -> f64 {
    let share = |tokens: &&[u32]| {
        let all = tokens.len().saturating_sub(2);
        let distinct = tokens.windows(3).collect::<BTreeSet<_>>().len();
        if all == 0 {
            0.0
        } else {
            1.0 - distinct as f64 / all as f64
        }
    };
    mean(completions.iter().map(share))
}

/// Mean of `values`; NaN of none.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values
        .into_iter()
        .fold((0.0, 0usize), |(sum, count), value| {
            (sum + value, count + 1)
        });
    sum / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_seen_by_both_measures() {
        let looped: &[u32] = &[1, 2, 1, 2, 1, 2];
        let varied: &[u32] = &[1, 2, 3, 4, 5, 6];
        assert_eq!(distinct(&[varied], 2), 1.0);
        assert_eq!(distinct(&[looped], 2), 0.4);
        assert_eq!(repetition(&[varied]), 0.0);
        assert_eq!(repetition(&[looped]), 0.5);
        assert_eq!(repetition(&[looped, varied]), 0.25);
    }

    #[test]
    fn nothing_repeats_in_an_empty_completion() {
        assert_eq!((distinct(&[&[]], 2), repetition(&[&[]])), (1.0, 0.0));
    }
}
