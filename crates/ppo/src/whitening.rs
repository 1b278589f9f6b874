//! Scaling numbers to unit variance.

use preflab_config::Whitening;

use crate::moments::{Moments, Variance};
use crate::rows::{Rows, map_rows};

/// What happens to the mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Centre {
    /// It is subtracted.
    Subtract,
    /// It stays.
    Keep,
}

/// `(x - mean) / sqrt(variance + 1e-8)`, plus the mean again for [`Centre::Keep`].
pub fn whitened(x: f64, moments: &Moments, centre: Centre) -> f64 {
    let scaled = (x - moments.mean) / (moments.variance + 1e-8).sqrt();
    match centre {
        Centre::Subtract => scaled,
        Centre::Keep => scaled + moments.mean,
    }
}

/// Every number of every row scaled by the moments of all of them together (unbiased variance).
///
/// Ziegler et al. 2019, [arXiv:1909.08593](https://arxiv.org/abs/1909.08593), their code's `whiten`; one set of moments
/// for the whole rollout, padding never part of it. lm-human-preferences and summarize_from_feedback divide by `n`
/// ([`Variance::Biased`]); TRL and verl by `n - 1`, as here.
pub fn whiten(rows: &[Vec<f64>], whitening: Whitening) -> Rows {
    let moments = Moments::of_rows(rows, Variance::Unbiased);
    match whitening {
        Whitening::Off => rows.to_vec(),
        Whitening::KeepMean => map_rows(rows, |x| whitened(x, &moments, Centre::Keep)),
        Whitening::Centre => map_rows(rows, |x| whitened(x, &moments, Centre::Subtract)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitening_gives_unit_variance_and_the_mean_asked_for() {
        let rows = vec![vec![1.0, 5.0], vec![-2.0, 0.5, 7.0]];
        let moments = Moments::of_rows(&rows, Variance::Unbiased);
        for (whitening, mean) in [
            (Whitening::Centre, 0.0),
            (Whitening::KeepMean, moments.mean),
        ] {
            let after = Moments::of_rows(&whiten(&rows, whitening), Variance::Unbiased);
            assert!((after.mean - mean).abs() < 1e-12);
            assert!((after.variance - 1.0).abs() < 1e-8);
        }
        assert_eq!(whiten(&rows, Whitening::Off), rows);
    }

    #[test]
    fn equal_numbers_become_zero_not_infinite() {
        assert_eq!(whiten(&[vec![3.0, 3.0]], Whitening::Centre), [[0.0, 0.0]]);
    }
}
