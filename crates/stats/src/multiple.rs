//! Several p values at once: adjusted values, and which hypotheses to reject.

use crate::error::StatsError;

/// How a family of tests is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// `m p`. Any dependence; chance of one false rejection at most α.
    Bonferroni,
    /// `1 - (1 - p)^m` (Šidák 1967, JASA 62(318)). Independent tests.
    Sidak,
    /// Bonferroni step by step from the smallest p (Holm 1979, Scand. J. Statist. 6(2)). Any dependence; never weaker than Bonferroni.
    Holm,
    /// The same steps from the largest p (Hochberg 1988, Biometrika 75(4)). Independent or positively dependent tests.
    Hochberg,
    /// Closed Simes tests (Hommel 1988, Biometrika 75(2)). As Hochberg, never weaker.
    Hommel,
    /// Expected share of false among all rejections at most α (Benjamini and Hochberg 1995, JRSS B 57(1)). Independent or positively dependent tests.
    BenjaminiHochberg,
    /// The same share under any dependence (Benjamini and Yekutieli 2001, Ann. Statist. 29(4)).
    BenjaminiYekutieli,
}

/// Every p must be a number in `[0, 1]`.
fn check(p: &[f64]) -> Result<(), StatsError> {
    match p.iter().find(|p| p.is_nan() || !(0.0..=1.0).contains(*p)) {
        Some(&found) => Err(StatsError::OutOfRange {
            what: "a p value",
            expected: "from 0 to 1",
            found,
        }),
        None => Ok(()),
    }
}

/// Positions of `p` in ascending order, ties as given.
fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    order
}

/// `1 + 1/2 + … + 1/m`.
fn harmonic(m: usize) -> f64 {
    (1..=m).map(|i| 1.0 / i as f64).sum()
}

/// Adjusted p values in the order given, at most 1: reject those at most α.
///
/// No p values give none; a p outside `[0, 1]` or NaN is an error.
pub fn adjust(p: &[f64], correction: Correction) -> Result<Vec<f64>, StatsError> {
    check(p)?;
    let m = p.len() as f64;
    Ok(match correction {
        Correction::Bonferroni => p.iter().map(|p| (m * p).min(1.0)).collect(),
        Correction::Sidak => p.iter().map(|p| -(m * (-p).ln_1p()).exp_m1()).collect(),
        Correction::Holm => stepping_down(p, |rank| m - rank as f64),
        Correction::Hochberg => stepping_up(p, |rank| m - rank as f64),
        Correction::Hommel => hommel(p),
        Correction::BenjaminiHochberg => stepping_up(p, |rank| m / (rank + 1) as f64),
        Correction::BenjaminiYekutieli => {
            stepping_up(p, |rank| harmonic(p.len()) * m / (rank + 1) as f64)
        }
    })
}

/// The largest product of p and factor among all at or below a p. Ranks from 0.
fn stepping_down(p: &[f64], factor: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0f64;
    for (rank, &i) in ascending(p).iter().enumerate() {
        largest = largest.max(p[i] * factor(rank)).min(1.0);
        adjusted[i] = largest;
    }
    adjusted
}

/// The smallest product of p and factor among all at or above a p. Ranks from 0.
fn stepping_up(p: &[f64], factor: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut adjusted = vec![0.0; p.len()];
    let mut smallest = 1.0f64;
    for (rank, &i) in ascending(p).iter().enumerate().rev() {
        smallest = smallest.min(p[i] * factor(rank));
        adjusted[i] = smallest;
    }
    adjusted
}

/// The adjusted values of Wright 1992, Biometrics 48(4), appendix.
fn hommel(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let n = p.len();
    let sorted: Vec<f64> = order.iter().map(|&i| p[i]).collect();
    let mut adjusted = sorted.clone();
    for m in (2..=n).rev() {
        // Simes' p of the m largest.
        let simes = (0..m)
            .map(|i| m as f64 * sorted[n - m + i] / (i + 1) as f64)
            .fold(f64::INFINITY, f64::min);
        for adjusted in &mut adjusted[n - m..] {
            *adjusted = adjusted.max(simes);
        }
        for i in 0..n - m {
            adjusted[i] = adjusted[i].max(simes.min(m as f64 * sorted[i]));
        }
    }
    let mut given = vec![0.0; n];
    for (&i, adjusted) in order.iter().zip(adjusted) {
        given[i] = adjusted;
    }
    given
}

/// Which hypotheses to reject at `alpha`, in the order given: those whose p is at most its threshold.
///
/// The same as `adjust(p) <= alpha` but for rounding at equality.
pub fn reject(p: &[f64], alpha: f64, correction: Correction) -> Result<Vec<bool>, StatsError> {
    check(p)?;
    crate::error::check_open_fraction("alpha", alpha)?;
    let m = p.len() as f64;
    let order = ascending(p);
    let first = |count: usize| -> Vec<bool> {
        let mut rejected = vec![false; p.len()];
        for &i in &order[..count] {
            rejected[i] = true;
        }
        rejected
    };
    let below = |rank: usize, threshold: f64| p[order[rank]] <= threshold;
    // How many of the smallest are rejected: up to the first above its threshold, or up to the last below.
    let down = |threshold: &dyn Fn(usize) -> f64| {
        let failing = (0..p.len()).find(|&rank| !below(rank, threshold(rank)));
        failing.unwrap_or(p.len())
    };
    let up = |threshold: &dyn Fn(usize) -> f64| {
        let holding = (0..p.len())
            .rev()
            .find(|&rank| below(rank, threshold(rank)));
        holding.map_or(0, |rank| rank + 1)
    };
    Ok(match correction {
        Correction::Bonferroni => p.iter().map(|p| *p <= alpha / m).collect(),
        Correction::Sidak => {
            let threshold = -((-alpha).ln_1p() / m).exp_m1();
            p.iter().map(|p| *p <= threshold).collect()
        }
        Correction::Holm => first(down(&|rank| alpha / (m - rank as f64))),
        Correction::Hochberg => first(up(&|rank| alpha / (m - rank as f64))),
        Correction::Hommel => hommel(p).iter().map(|p| *p <= alpha).collect(),
        Correction::BenjaminiHochberg => first(up(&|rank| (rank + 1) as f64 / m * alpha)),
        Correction::BenjaminiYekutieli => first(up(&|rank| {
            (rank + 1) as f64 / m / harmonic(p.len()) * alpha
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Correction; 7] = [
        Correction::Bonferroni,
        Correction::Sidak,
        Correction::Holm,
        Correction::Hochberg,
        Correction::Hommel,
        Correction::BenjaminiHochberg,
        Correction::BenjaminiYekutieli,
    ];

    #[test]
    fn one_test_needs_no_correction_and_none_gives_nothing() {
        for correction in ALL {
            assert!((adjust(&[0.03], correction).unwrap()[0] - 0.03).abs() < 1e-15);
            assert!(adjust(&[], correction).unwrap().is_empty());
            assert_eq!(reject(&[0.03], 0.05, correction).unwrap(), [true]);
        }
    }

    #[test]
    fn what_is_no_probability_is_an_error() {
        assert!(adjust(&[f64::NAN], Correction::Holm).is_err());
        assert!(adjust(&[0.2, 1.5], Correction::Holm).is_err());
        assert!(reject(&[0.2], 0.0, Correction::Holm).is_err());
    }

    proptest! {
        #[test]
        fn adjusted_values_keep_their_order_and_the_known_ranking(p in prop::collection::vec(0.0..1.0f64, 1..12)) {
            let of = |correction| adjust(&p, correction).unwrap();
            for correction in ALL {
                let adjusted = of(correction);
                for (p, adjusted) in p.iter().zip(&adjusted) {
                    prop_assert!(*p <= *adjusted + 1e-15 && *adjusted <= 1.0);
                }
                for i in ascending(&p).windows(2) {
                    prop_assert!(adjusted[i[0]] <= adjusted[i[1]] + 1e-15);
                }
            }
            let (bonferroni, holm) = (of(Correction::Bonferroni), of(Correction::Holm));
            let (hochberg, hommel) = (of(Correction::Hochberg), of(Correction::Hommel));
            for i in 0..p.len() {
                prop_assert!(holm[i] <= bonferroni[i] + 1e-12);
                prop_assert!(hochberg[i] <= holm[i] + 1e-12);
                prop_assert!(hommel[i] <= hochberg[i] + 1e-12);
            }
        }
    }
}
