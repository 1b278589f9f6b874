//! Proportions: intervals of one, of a difference, and McNemar's test of paired ones.

use crate::distribution::{
    beta_quantile, chi_squared_sf, fair_binomial_cdf, fair_binomial_pmf, normal_quantile,
};
use crate::error::{StatsError, check_open_fraction};
use crate::interval::Interval;

/// `successes` of `trials`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    successes: u64,
    trials: u64,
}

impl Tally {
    /// At least one trial, and no more successes than trials.
    pub fn new(successes: u64, trials: u64) -> Result<Self, StatsError> {
        if trials == 0 {
            return Err(StatsError::TooFew {
                what: "a proportion",
                needed: 1,
                found: 0,
            });
        }
        if successes > trials {
            return Err(StatsError::OutOfRange {
                what: "successes",
                expected: "at most the number of trials",
                found: successes as f64,
            });
        }
        Ok(Self { successes, trials })
    }

    /// `successes / trials`.
    pub fn share(&self) -> f64 {
        self.successes as f64 / self.trials as f64
    }

    fn parts(&self) -> (f64, f64) {
        (self.successes as f64, self.trials as f64)
    }
}

/// How the interval of a proportion is made; the choice is discussed in Brown, Cai and DasGupta 2001, Statistical Science 16(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProportionInterval {
    /// Wilson 1927, JASA 22(158): the shares a score test does not reject. The one to use.
    Wilson,
    /// Wilson's with continuity correction (Newcombe 1998, Statist. Med. 17, method 4).
    WilsonContinuity,
    /// Clopper and Pearson 1934, Biometrika 26(4): covers at least as stated, too wide.
    ClopperPearson,
    /// Equal tails of the posterior under Jeffreys' prior Beta(1/2, 1/2).
    Jeffreys,
    /// Jeffreys' with the lower limit 0 at no success and the upper limit 1 at no failure.
    JeffreysEndPoints,
    /// Agresti and Coull 1998, The American Statistician 52(2): a normal interval after adding `z²/2` of each; cut to `[0, 1]`.
    AgrestiCoull,
    /// The textbook's normal interval, cut to `[0, 1]`; covers far too little near 0 and 1.
    Wald,
}

/// Interval of a proportion with coverage about `1 - alpha`.
pub fn proportion_interval(
    tally: Tally,
    alpha: f64,
    method: ProportionInterval,
) -> Result<Interval, StatsError> {
    check_open_fraction("alpha", alpha)?;
    let (k, n) = tally.parts();
    let z = normal_quantile(1.0 - 0.5 * alpha);
    let normal = |share: f64, n: f64| {
        Interval::around(share, z * (share * (1.0 - share) / n).sqrt()).clamp(0.0, 1.0)
    };
    Ok(match method {
        ProportionInterval::Wilson => wilson(tally, z),
        ProportionInterval::WilsonContinuity => wilson_continuity(tally, z),
        ProportionInterval::ClopperPearson => Interval {
            low: if k == 0.0 {
                0.0
            } else {
                beta_quantile(0.5 * alpha, k, n - k + 1.0)
            },
            high: if k == n {
                1.0
            } else {
                beta_quantile(1.0 - 0.5 * alpha, k + 1.0, n - k)
            },
        },
        ProportionInterval::Jeffreys => jeffreys(tally, alpha),
        ProportionInterval::JeffreysEndPoints => {
            let Interval { low, high } = jeffreys(tally, alpha);
            Interval {
                low: if k == 0.0 { 0.0 } else { low },
                high: if k == n { 1.0 } else { high },
            }
        }
        ProportionInterval::AgrestiCoull => {
            let trials = n + z * z;
            normal((k + 0.5 * z * z) / trials, trials)
        }
        ProportionInterval::Wald => normal(k / n, n),
    })
}

fn jeffreys(tally: Tally, alpha: f64) -> Interval {
    let (k, n) = tally.parts();
    let limit = |p| beta_quantile(p, k + 0.5, n - k + 0.5);
    Interval {
        low: limit(0.5 * alpha),
        high: limit(1.0 - 0.5 * alpha),
    }
}

fn wilson(tally: Tally, z: f64) -> Interval {
    let ((k, n), share) = (tally.parts(), tally.share());
    let scale = n + z * z;
    let half = z * (n * share * (1.0 - share) + 0.25 * z * z).sqrt() / scale;
    let interval = Interval::around((k + 0.5 * z * z) / scale, half);
    // On paper 0 and 1; rounding leaves 1e-17.
    Interval {
        low: if k == 0.0 { 0.0 } else { interval.low },
        high: if k == n { 1.0 } else { interval.high },
    }
}

fn wilson_continuity(tally: Tally, z: f64) -> Interval {
    let ((k, n), p) = (tally.parts(), tally.share());
    let scale = 2.0 * (n + z * z);
    let centre = (2.0 * k + z * z) / scale;
    let half = |sign: f64| {
        let inner = z * z - sign * 2.0 - 1.0 / n + 4.0 * p * (n * (1.0 - p) + sign);
        (1.0 + z * inner.sqrt()) / scale
    };
    Interval {
        low: if k == 0.0 { 0.0 } else { centre - half(1.0) },
        high: if k == n { 1.0 } else { centre + half(-1.0) },
    }
}

/// How the interval of a difference of two independent proportions is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceInterval {
    /// The two Wilson intervals combined (Newcombe 1998, Statist. Med. 17, 873-890, method 10). The one to use.
    Newcombe,
    /// The textbook's normal interval, not cut.
    Wald,
    /// Wald's after adding a success and a failure to each (Agresti and Caffo 2000, The American Statistician 54(4)), not cut.
    AgrestiCaffo,
}

/// Interval of `first - second` for independent tallies, with coverage about `1 - alpha`.
pub fn proportion_difference_interval(
    first: Tally,
    second: Tally,
    alpha: f64,
    method: DifferenceInterval,
) -> Result<Interval, StatsError> {
    check_open_fraction("alpha", alpha)?;
    let z = normal_quantile(1.0 - 0.5 * alpha);
    let normal = |added: f64| {
        let part = |tally: Tally| {
            let (k, n) = tally.parts();
            let (share, trials) = ((k + added) / (n + 2.0 * added), n + 2.0 * added);
            (share, share * (1.0 - share) / trials)
        };
        let ((p1, variance1), (p2, variance2)) = (part(first), part(second));
        Interval::around(p1 - p2, z * (variance1 + variance2).sqrt())
    };
    Ok(match method {
        DifferenceInterval::Newcombe => square_and_add(first, second, z, 0.0),
        DifferenceInterval::Wald => normal(0.0),
        DifferenceInterval::AgrestiCaffo => normal(1.0),
    })
}

/// The distances to the Wilson limits of both shares, combined as the sides of a triangle; `phi` is the correlation of the two.
fn square_and_add(first: Tally, second: Tally, z: f64, phi: f64) -> Interval {
    let (p1, p2) = (first.share(), second.share());
    let (one, two) = (wilson(first, z), wilson(second, z));
    let combine = |a: f64, b: f64| (a * a - 2.0 * phi * a * b + b * b).max(0.0).sqrt();
    Interval {
        low: p1 - p2 - combine(p1 - one.low, two.high - p2),
        high: p1 - p2 + combine(one.high - p1, p2 - two.low),
    }
}

/// Outcomes of the same items under two arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairedTable {
    /// Success under both.
    pub both: u64,
    /// Success under the first only.
    pub first_only: u64,
    /// Success under the second only.
    pub second_only: u64,
    /// Success under neither.
    pub neither: u64,
}

/// Whether φ is corrected for continuity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phi {
    /// `ad - bc` lowered by `n/2`, not beyond 0, when it is positive.
    Corrected,
    /// As it is.
    Uncorrected,
}

impl PairedTable {
    fn total(&self) -> u64 {
        self.both + self.first_only + self.second_only + self.neither
    }

    /// Share of the first minus share of the second; NaN for an empty table.
    pub fn difference(&self) -> f64 {
        (self.first_only as f64 - self.second_only as f64) / self.total() as f64
    }

    /// Correlation of the two outcomes; 0 where a margin is empty.
    pub fn phi(&self, phi: Phi) -> f64 {
        let [a, b, c, d] =
            [self.both, self.first_only, self.second_only, self.neither].map(|count| count as f64);
        let margins = (a + b) * (c + d) * (a + c) * (b + d);
        if margins == 0.0 {
            return 0.0;
        }
        let determinant = a * d - b * c;
        let corrected = match phi {
            Phi::Corrected if determinant > 0.0 => {
                (determinant - 0.5 * self.total() as f64).max(0.0)
            }
            Phi::Corrected | Phi::Uncorrected => determinant,
        };
        corrected / margins.sqrt()
    }

    /// Interval of the difference of paired shares (Newcombe 1998, Statist. Med. 17, 2635-2650, method 10). Needs one item.
    pub fn difference_interval(&self, alpha: f64, phi: Phi) -> Result<Interval, StatsError> {
        check_open_fraction("alpha", alpha)?;
        let n = self.total();
        let first = Tally::new(self.both + self.first_only, n)?;
        let second = Tally::new(self.both + self.second_only, n)?;
        let z = normal_quantile(1.0 - 0.5 * alpha);
        Ok(square_and_add(first, second, z, self.phi(phi)))
    }

    /// McNemar's test that both arms succeed equally often (McNemar 1947, Psychometrika 12(2)).
    pub fn mcnemar(&self) -> McNemar {
        let (b, c) = (self.first_only, self.second_only);
        let (n, k) = (b + c, b.min(c));
        if n == 0 {
            return McNemar {
                discordant: 0,
                p_exact: 1.0,
                p_mid: 1.0,
                chi_squared: f64::NAN,
                chi_squared_corrected: f64::NAN,
            };
        }
        let (cdf, pmf) = (fair_binomial_cdf(k, n), fair_binomial_pmf(k, n));
        let apart = b.abs_diff(c) as f64;
        McNemar {
            discordant: n,
            p_exact: (2.0 * cdf).min(1.0),
            p_mid: if b == c {
                1.0 - 0.5 * pmf
            } else {
                2.0 * cdf - pmf
            },
            chi_squared: apart * apart / n as f64,
            chi_squared_corrected: (apart - 1.0) * (apart - 1.0) / n as f64,
        }
    }
}

/// McNemar's test, by the items on which the arms differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct McNemar {
    /// How many items the arms differ on.
    pub discordant: u64,
    /// Exact binomial p; 1 without such items.
    pub p_exact: f64,
    /// The exact p with the observed table counted half (Fagerland, Lydersen and Laake 2013, BMC Med. Res. Methodol. 13:91).
    pub p_mid: f64,
    /// `(b - c)² / (b + c)`; NaN without such items.
    pub chi_squared: f64,
    /// `(|b - c| - 1)² / (b + c)` (Edwards 1948); NaN without such items.
    pub chi_squared_corrected: f64,
}

impl McNemar {
    /// p of [`McNemar::chi_squared`].
    pub fn p_chi_squared(&self) -> f64 {
        chi_squared_sf(self.chi_squared, 1.0)
    }

    /// p of [`McNemar::chi_squared_corrected`].
    pub fn p_chi_squared_corrected(&self) -> f64 {
        chi_squared_sf(self.chi_squared_corrected, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn impossible_tallies_are_errors() {
        assert!(Tally::new(0, 0).is_err() && Tally::new(2, 1).is_err());
        let tally = Tally::new(1, 2).unwrap();
        assert!(proportion_interval(tally, 1.0, ProportionInterval::Wilson).is_err());
    }

    #[test]
    fn without_disagreement_mcnemar_says_nothing() {
        let table = PairedTable {
            both: 3,
            first_only: 0,
            second_only: 0,
            neither: 1,
        };
        let test = table.mcnemar();
        assert_eq!((test.p_exact, test.p_mid), (1.0, 1.0));
        assert!(test.chi_squared.is_nan() && test.p_chi_squared().is_nan());
        let empty = PairedTable {
            both: 0,
            neither: 0,
            ..table
        };
        assert!(empty.difference_interval(0.05, Phi::Corrected).is_err());
    }

    proptest! {
        #[test]
        fn intervals_hold_the_share_and_mirror(trials in 1u64..200, part in 0.0..=1.0f64) {
            let successes = (part * trials as f64) as u64;
            let tally = Tally::new(successes, trials).unwrap();
            let mirrored = Tally::new(trials - successes, trials).unwrap();
            for method in [ProportionInterval::Wilson, ProportionInterval::WilsonContinuity, ProportionInterval::ClopperPearson, ProportionInterval::AgrestiCoull] {
                let interval = proportion_interval(tally, 0.05, method).unwrap();
                let other = proportion_interval(mirrored, 0.05, method).unwrap();
                prop_assert!(interval.low <= tally.share() + 1e-12 && tally.share() <= interval.high + 1e-12);
                prop_assert!(0.0 <= interval.low && interval.high <= 1.0);
                prop_assert!((interval.low - (1.0 - other.high)).abs() < 1e-10);
            }
        }
    }
}
