//! Association of two paired samples: Pearson, Spearman, Kendall.
//!
//! Coefficients are NaN for fewer than two pairs, unequal lengths, a sample without spread, or a value that is NaN.

use crate::distribution::{normal_quantile, normal_sf, t_two_sided};
use crate::error::{StatsError, check_finite, check_pairs};
use crate::interval::Interval;
use crate::ranks::{midranks, tie_sizes};
use crate::summary::{mean, sum};

/// Pearson's product-moment correlation, in `[-1, 1]`.
pub fn pearson(x: &[f64], y: &[f64]) -> f64 {
    if x.len() != y.len() || x.len() < 2 {
        return f64::NAN;
    }
    let centred = |values: &[f64]| -> Vec<f64> {
        let centre = mean(values);
        values.iter().map(|value| value - centre).collect()
    };
    let (x, y) = (centred(x), centred(y));
    let norm = |values: &[f64]| sum(&values.iter().map(|v| v * v).collect::<Vec<_>>()).sqrt();
    let (norm_x, norm_y) = (norm(&x), norm(&y));
    if norm_x == 0.0 || norm_y == 0.0 {
        return f64::NAN;
    }
    let products: Vec<f64> = x
        .iter()
        .zip(&y)
        .map(|(x, y)| (x / norm_x) * (y / norm_y))
        .collect();
    snapped(sum(&products))
}

/// Spearman's rank correlation: [`pearson`] of the midranks.
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    if x.iter().chain(y).any(|value| value.is_nan()) {
        return f64::NAN;
    }
    pearson(&midranks(x), &midranks(y))
}

/// A coefficient within 1e-12 of ±1 is ±1: the rest is rounding.
fn snapped(r: f64) -> f64 {
    if 1.0 - r.abs() < 1e-12 { r.signum() } else { r }
}

/// Two-sided p of a correlation of `n` pairs, by Student's t with `n - 2` degrees of freedom.
///
/// Exact for Pearson's under normality, an approximation for Spearman's. 0 at ±1, NaN for a NaN coefficient, 1 for `n = 2`.
pub fn correlation_p(r: f64, n: usize) -> f64 {
    if r.is_nan() || n < 2 {
        return f64::NAN;
    }
    if n == 2 {
        return 1.0;
    }
    let df = (n - 2) as f64;
    t_two_sided(r * (df / ((1.0 - r) * (1.0 + r))).sqrt(), df)
}

/// The variance of `atanh(r)` times `n - 3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorrelationVariance {
    /// `1`: Fisher's, for Pearson's coefficient.
    Fisher,
    /// `1.06`: Fieller, Hartley and Pearson 1957, Biometrika 44, for Spearman's.
    Fieller,
    /// `1 + r²/2`: Bonett and Wright 2000, Psychometrika 65(1), for Spearman's.
    BonettWright,
}

/// Interval of a correlation by Fisher's z: `tanh(atanh(r) ± z · sqrt(variance / (n - 3)))`.
///
/// All of `[-1, 1]` for `n <= 3`; the point itself at ±1; NaN for a NaN coefficient.
pub fn correlation_interval(
    r: f64,
    n: usize,
    level: f64,
    variance: CorrelationVariance,
) -> Interval {
    if r.is_nan() {
        return Interval::UNDEFINED;
    }
    if r.abs() == 1.0 {
        return Interval { low: r, high: r };
    }
    if n <= 3 {
        return Interval {
            low: -1.0,
            high: 1.0,
        };
    }
    let factor = match variance {
        CorrelationVariance::Fisher => 1.0,
        CorrelationVariance::Fieller => 1.06,
        CorrelationVariance::BonettWright => 1.0 + 0.5 * r * r,
    };
    let half = normal_quantile(0.5 + 0.5 * level) * (factor / (n - 3) as f64).sqrt();
    let centre = r.atanh();
    Interval {
        low: (centre - half).tanh(),
        high: (centre + half).tanh(),
    }
}

/// The largest number of pairs whose orders are all tried: 9! of them.
pub const PERMUTATION_LIMIT: usize = 9;

/// How many of all orders of `y` correlate at least as strongly, the observed one among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankPermutations {
    /// Orders whose rank product sum is at least as far from its mean.
    pub two_sided: u64,
    /// Orders whose rank product sum is at least as large.
    pub greater: u64,
    /// `n!`.
    pub total: u64,
}

/// Exact permutation test of Spearman's coefficient, ties included, for up to [`PERMUTATION_LIMIT`] pairs.
pub fn spearman_permutations(x: &[f64], y: &[f64]) -> Result<RankPermutations, StatsError> {
    check_pairs(x, y)?;
    check_finite(x)?;
    check_finite(y)?;
    if x.len() > PERMUTATION_LIMIT {
        return Err(StatsError::OutOfRange {
            what: "the number of pairs of an exact Spearman test",
            expected: "at most 9",
            found: x.len() as f64,
        });
    }
    // Midranks are multiples of 1/2: doubled and centred by multiplying with n, all sums are integers.
    let n = x.len() as i64;
    let doubled = |values: &[f64]| -> Vec<i64> {
        let ranks = midranks(values);
        ranks.iter().map(|rank| (2.0 * rank) as i64).collect()
    };
    let (x, mut y) = (doubled(x), doubled(y));
    let expected = x.iter().sum::<i64>() * y.iter().sum::<i64>();
    let product = |y: &[i64]| n * x.iter().zip(y).map(|(x, y)| x * y).sum::<i64>() - expected;
    let observed = product(&y);
    let mut counts = RankPermutations {
        two_sided: 0,
        greater: 0,
        total: 0,
    };
    for_each_order(&mut y, &mut |order| {
        let product = product(order);
        counts.two_sided += u64::from(product.abs() >= observed.abs());
        counts.greater += u64::from(product >= observed);
        counts.total += 1;
    });
    Ok(counts)
}

/// Visits all `n!` orders (Heap 1963, The Computer Journal 6(3)).
fn for_each_order(values: &mut [i64], visit: &mut dyn FnMut(&[i64])) {
    let n = values.len();
    let mut counters = vec![0; n];
    visit(values);
    let mut i = 1;
    while i < n {
        if counters[i] < i {
            values.swap(if i % 2 == 0 { 0 } else { counters[i] }, i);
            visit(values);
            counters[i] += 1;
            i = 1;
        } else {
            counters[i] = 0;
            i += 1;
        }
    }
}

/// Kendall's rank correlation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kendall {
    /// τ_b, corrected for ties.
    pub tau: f64,
    /// Two-sided p: exact without ties for up to 33 pairs (or one inversion from the end), normal otherwise.
    pub p: f64,
}

/// Kendall's τ_b and its p (Kendall 1945, Biometrika 33(3)); NaN for both without spread.
pub fn kendall(x: &[f64], y: &[f64]) -> Result<Kendall, StatsError> {
    check_pairs(x, y)?;
    check_finite(x)?;
    check_finite(y)?;
    let n = x.len();
    let (mut concordant, mut discordant) = (0u64, 0u64);
    for i in 0..n {
        for j in 0..i {
            let direction = (x[i] - x[j]).signum_or_zero() * (y[i] - y[j]).signum_or_zero();
            concordant += u64::from(direction > 0);
            discordant += u64::from(direction < 0);
        }
    }
    let tied = |values: &[f64]| -> Vec<f64> {
        tie_sizes(values).iter().map(|&size| size as f64).collect()
    };
    let (ties_x, ties_y) = (tied(x), tied(y));
    let over = |ties: &[f64], f: fn(f64) -> f64| ties.iter().map(|&t| f(t)).sum::<f64>();
    let pairs = |ties: &[f64]| over(ties, |t| 0.5 * t * (t - 1.0));
    let size = n as f64;
    let all = 0.5 * size * (size - 1.0);
    let (tied_x, tied_y) = (pairs(&ties_x), pairs(&ties_y));
    if n < 2 || tied_x == all || tied_y == all {
        return Ok(Kendall {
            tau: f64::NAN,
            p: f64::NAN,
        });
    }
    let score = concordant as f64 - discordant as f64;
    let tau = score / (all - tied_x).sqrt() / (all - tied_y).sqrt();
    let nearest = concordant.min(discordant);
    let p = if tied_x == 0.0 && tied_y == 0.0 && (n <= 33 || nearest <= 1) {
        inversions_p(n, nearest)
    } else {
        let cubic = |ties: &[f64]| over(ties, |t| t * (t - 1.0) * (t - 2.0));
        let linear = |ties: &[f64]| over(ties, |t| t * (t - 1.0) * (2.0 * t + 5.0));
        let m = size * (size - 1.0);
        let mut variance = (m * (2.0 * size + 5.0) - linear(&ties_x) - linear(&ties_y)) / 18.0
            + 2.0 * tied_x * tied_y / m;
        if n > 2 {
            variance += cubic(&ties_x) * cubic(&ties_y) / (9.0 * m * (size - 2.0));
        }
        2.0 * normal_sf(score.abs() / variance.sqrt())
    };
    Ok(Kendall {
        tau: snapped(tau),
        p,
    })
}

/// `P(inversions <= k or as many from the other end)` of a uniformly random order of `n` things.
fn inversions_p(n: usize, k: u64) -> f64 {
    if 4 * k == (n * (n - 1)) as u64 {
        return 1.0;
    }
    // Shares, not counts: 33! leaves 64 bits.
    let k = k as usize;
    let mut shares = vec![0.0; k + 1];
    shares[0] = 1.0;
    for placed in 2..=n {
        let mut next = vec![0.0; k + 1];
        for (sum, next) in next.iter_mut().enumerate() {
            let from = (sum + 1).saturating_sub(placed);
            *next = shares[from..=sum].iter().sum::<f64>() / placed as f64;
        }
        shares = next;
    }
    (2.0 * shares.iter().sum::<f64>()).min(1.0)
}

trait SignumOrZero {
    /// -1, 0 or 1.
    fn signum_or_zero(self) -> i8;
}

impl SignumOrZero for f64 {
    fn signum_or_zero(self) -> i8 {
        i8::from(self > 0.0) - i8::from(self < 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_spread_or_pairs_there_is_no_correlation() {
        assert!(pearson(&[1.0, 2.0], &[3.0, 3.0]).is_nan());
        assert!(pearson(&[], &[]).is_nan() && pearson(&[1.0], &[1.0]).is_nan());
        assert!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]).is_nan());
        assert!(kendall(&[1.0, 1.0], &[1.0, 2.0]).unwrap().tau.is_nan());
        assert!(kendall(&[f64::NAN], &[1.0]).is_err());
        assert!(kendall(&[], &[]).unwrap().p.is_nan());
    }

    #[test]
    fn three_pairs_leave_everything_possible() {
        let interval = correlation_interval(0.5, 3, 0.95, CorrelationVariance::Fisher);
        assert_eq!((interval.low, interval.high), (-1.0, 1.0));
        assert_eq!(correlation_p(1.0, 2), 1.0);
    }

    #[test]
    fn every_order_is_visited_once() {
        let mut seen = std::collections::BTreeSet::new();
        for_each_order(&mut [1, 2, 3, 4], &mut |order| {
            assert!(seen.insert(order.to_vec()));
        });
        assert_eq!(seen.len(), 24);
    }

    proptest! {
        #[test]
        fn a_rising_map_changes_no_rank_correlation(values in prop::collection::vec((-3.0..3.0f64, -3.0..3.0f64), 3..12)) {
            let (x, y): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
            let mapped: Vec<f64> = x.iter().map(|x| x.exp()).collect();
            prop_assert!((spearman(&x, &y) - spearman(&mapped, &y)).abs() < 1e-12);
            let r = pearson(&x, &y);
            prop_assert!((-1.0..=1.0).contains(&r));
            prop_assert!((r - pearson(&y, &x)).abs() < 1e-12);
        }
    }
}
