//! The sign-flip permutation test of paired differences.
//!
//! If the arms do not differ, each difference is as likely to have the other sign: the observed sum is compared with the sums under all `2^n`
//! assignments of signs, the observed one among them (Fisher 1935, The Design of Experiments, sec. 21).

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{StatsError, check_count, check_finite};
use crate::paired::PValues;

/// The largest number of pairs for which all assignments are enumerated: 2^20 of them.
pub const EXACT_LIMIT: usize = 20;

/// When two sums of differences count as equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SumTies {
    /// When they are the same real number: sums are formed without rounding.
    Exact,
    /// When they are nearer than this part of `sum(|d|)`. Decimal data that tie on paper seldom tie as binary numbers; 1e-9 mends it.
    Within(f64),
}

impl SumTies {
    /// Ties as on paper: differences below 1e-9 of the whole are rounding.
    pub const DECIMAL: Self = Self::Within(1e-9);

    fn slack(self, differences: &[f64]) -> f64 {
        match self {
            Self::Exact => 0.0,
            Self::Within(part) => part * differences.iter().map(|d| d.abs()).sum::<f64>(),
        }
    }
}

/// How many of the assignments of signs are at least as extreme as the observed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignFlip {
    /// Assignments with `|sum| >= |observed sum|`.
    pub two_sided: u64,
    /// Assignments with `sum >= observed sum`.
    pub greater: u64,
    /// Assignments with `sum <= observed sum`.
    pub less: u64,
    /// All assignments counted, the observed one included.
    pub total: u64,
}

impl SignFlip {
    /// The counts as shares of the total.
    pub fn p(&self) -> PValues {
        let share = |count: u64| count as f64 / self.total as f64;
        PValues {
            two_sided: share(self.two_sided),
            greater: share(self.greater),
            less: share(self.less),
        }
    }
}

/// All `2^n` assignments, for `1 <= n <=` [`EXACT_LIMIT`].
///
/// Flipping a set `F` of signs lowers the sum by `2 · sum(F)`, so the test asks for the signs of the `2^n` subset sums.
pub fn sign_flip_exact(differences: &[f64], ties: SumTies) -> Result<SignFlip, StatsError> {
    check_count("a sign-flip test", differences, 1)?;
    check_finite(differences)?;
    if differences.len() > EXACT_LIMIT {
        return Err(StatsError::OutOfRange {
            what: "the number of pairs of an exact sign-flip test",
            expected: "at most 20",
            found: differences.len() as f64,
        });
    }
    let slack = ties.slack(differences);
    let mut counts = Counts {
        half_slack: 0.5 * slack,
        ..Counts::default()
    };
    counts.descend(&ExactSum::default(), differences);
    let mut observed = ExactSum::default();
    for &d in differences {
        observed = observed.plus(d);
    }
    let observed = observed.value();
    let total = 1 << differences.len();
    let two_sided = if observed.abs() <= slack {
        total
    } else if observed > 0.0 {
        // Sums at the other end mirror those at this one.
        2 * counts.not_above
    } else {
        2 * counts.not_below
    };
    Ok(SignFlip {
        two_sided,
        greater: counts.not_above,
        less: counts.not_below,
        total,
    })
}

/// `draws` random assignments plus the observed one, so that p is never zero and the test keeps its level
/// (Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9(1), [arXiv:1603.05766](https://arxiv.org/abs/1603.05766)).
///
/// The same seed gives the same counts everywhere.
pub fn sign_flip_monte_carlo(
    differences: &[f64],
    ties: SumTies,
    draws: u64,
    seed: u64,
) -> Result<SignFlip, StatsError> {
    check_count("a sign-flip test", differences, 1)?;
    check_finite(differences)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Sums of many terms round: without slack the observed assignment might not equal itself.
    let slack = ties
        .slack(differences)
        .max(SumTies::Within(1e-12).slack(differences));
    let observed: f64 = differences.iter().sum();
    let mut counts = SignFlip {
        two_sided: 1,
        greater: 1,
        less: 1,
        total: draws + 1,
    };
    for _ in 0..draws {
        let mut sum = 0.0;
        for block in differences.chunks(64) {
            let mut signs = rng.next_u64();
            for d in block {
                sum += if signs & 1 == 1 { *d } else { -d };
                signs >>= 1;
            }
        }
        counts.two_sided += u64::from(sum.abs() >= observed.abs() - slack);
        counts.greater += u64::from(sum >= observed - slack);
        counts.less += u64::from(sum <= observed + slack);
    }
    Ok(counts)
}

/// Random assignments drawn by [`sign_flip`] beyond [`EXACT_LIMIT`].
pub const DRAWS: u64 = 100_000;

/// The sign-flip test with ties as on paper: exact up to [`EXACT_LIMIT`] pairs, [`DRAWS`] seeded random assignments beyond.
pub fn sign_flip(differences: &[f64], seed: u64) -> Result<SignFlip, StatsError> {
    if differences.len() <= EXACT_LIMIT {
        sign_flip_exact(differences, SumTies::DECIMAL)
    } else {
        sign_flip_monte_carlo(differences, SumTies::DECIMAL, DRAWS, seed)
    }
}

/// Subset sums counted by sign.
#[derive(Default)]
struct Counts {
    half_slack: f64,
    not_above: u64,
    not_below: u64,
}

impl Counts {
    /// Counts every subset of `rest` on top of `sum`.
    fn descend(&mut self, sum: &ExactSum, rest: &[f64]) {
        let Some((&first, rest)) = rest.split_first() else {
            let value = sum.value();
            self.not_above += u64::from(value <= self.half_slack);
            self.not_below += u64::from(value >= -self.half_slack);
            return;
        };
        self.descend(sum, rest);
        self.descend(&sum.plus(first), rest);
    }
}

/// A sum without rounding, as parts that do not overlap, smallest first
/// (Shewchuk 1997, Discrete & Computational Geometry 18, sec. 2.4).
#[derive(Clone, Default)]
struct ExactSum(Vec<f64>);

impl ExactSum {
    fn plus(&self, value: f64) -> Self {
        let mut parts = Vec::with_capacity(self.0.len() + 1);
        let mut carry = value;
        for &part in &self.0 {
            let (large, small) = if carry.abs() < part.abs() {
                (part, carry)
            } else {
                (carry, part)
            };
            let sum = large + small;
            let lost = small - (sum - large);
            if lost != 0.0 {
                parts.push(lost);
            }
            carry = sum;
        }
        if carry != 0.0 {
            parts.push(carry);
        }
        Self(parts)
    }

    /// The sum, rounded; its sign is exact because the last part outweighs all others together.
    fn value(&self) -> f64 {
        self.0.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_signs_reach_the_floor() {
        let test = sign_flip_exact(&[0.1, 0.7, 0.2, 3.0], SumTies::Exact).unwrap();
        assert_eq!(test.p().two_sided, crate::p_floor(4));
        assert_eq!((test.greater, test.less, test.total), (1, 16, 16));
    }

    #[test]
    fn zeros_and_a_single_pair_say_nothing() {
        assert_eq!(
            sign_flip_exact(&[0.0; 3], SumTies::Exact)
                .unwrap()
                .two_sided,
            8
        );
        assert_eq!(sign_flip(&[1.0], 0).unwrap().p().two_sided, 1.0);
        assert!(sign_flip(&[], 0).is_err());
        assert!(sign_flip(&[f64::NAN], 0).is_err());
        assert!(sign_flip_exact(&[1.0; 21], SumTies::Exact).is_err());
    }

    #[test]
    fn a_tiny_difference_beside_a_huge_one_is_not_lost() {
        let differences = [1e18, -1e18, 1e-18];
        let test = sign_flip_exact(&differences, SumTies::Exact).unwrap();
        assert_eq!(test.two_sided, 8);
        assert_eq!(test.greater, 4);
    }

    #[test]
    fn random_draws_repeat_and_approach_the_exact_p() {
        let differences = [0.3, -0.1, 0.4, 0.2, 0.25, -0.05, 0.6, 0.1];
        let exact = sign_flip_exact(&differences, SumTies::DECIMAL).unwrap().p();
        let draw = |seed| sign_flip_monte_carlo(&differences, SumTies::DECIMAL, 20_000, seed);
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        assert!((draw(3).unwrap().p().two_sided - exact.two_sided).abs() < 0.005);
        let many = vec![1.0; 70];
        assert_eq!(sign_flip(&many, 1).unwrap().two_sided, 1);
    }

    proptest! {
        #[test]
        fn counts_equal_brute_force_on_integers(values in prop::collection::vec(-6i32..6, 1..9)) {
            let differences: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
            let observed: i32 = values.iter().sum();
            let mut expected = SignFlip { two_sided: 0, greater: 0, less: 0, total: 1 << values.len() };
            for signs in 0u32..1 << values.len() {
                let sum: i32 = values.iter().enumerate().map(|(i, value)| if signs >> i & 1 == 1 { *value } else { -value }).sum();
                expected.two_sided += u64::from(sum.abs() >= observed.abs());
                expected.greater += u64::from(sum >= observed);
                expected.less += u64::from(sum <= observed);
            }
            prop_assert_eq!(sign_flip_exact(&differences, SumTies::Exact).unwrap(), expected);
        }
    }
}
