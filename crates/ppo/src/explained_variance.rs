//! How much of the returns the values explain.

use crate::moments::{Moments, Variance};
use crate::rows::zip_rows;

/// `1 - Var(return - value) / Var(return)` over all tokens; 0 where the returns do not vary.
///
/// 1: the values are the returns up to a constant; 0: no better than a constant; below 0: worse.
pub fn explained_variance(values: &[Vec<f64>], returns: &[Vec<f64>]) -> f64 {
    let total = Moments::of_rows(returns, Variance::Unbiased).variance;
    let errors = zip_rows(returns, values, |r, v| r - v);
    let left = Moments::of_rows(&errors, Variance::Unbiased).variance;
    if total > 0.0 { 1.0 - left / total } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_values_explain_everything_and_constant_ones_nothing() {
        let returns = vec![vec![1.0, 2.0], vec![4.0]];
        assert_eq!(explained_variance(&returns, &returns), 1.0);
        assert!(explained_variance(&[vec![3.0, 3.0], vec![3.0]], &returns).abs() < 1e-15);
        assert_eq!(explained_variance(&[vec![1.0]], &[vec![1.0]]), 0.0);
    }
}
