//! Wilcoxon's signed-rank test of paired differences.
//!
//! Conover, Practical Nonparametric Statistics, sec. 5.7; zeros as in Pratt 1959, JASA 54(287).

use crate::distribution::normal_sf;
use crate::error::{StatsError, check_finite};
use crate::paired::PValues;
use crate::ranks::{midranks, tie_sizes};

/// What becomes of differences of exactly zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// Dropped before ranking (Wilcoxon).
    Drop,
    /// Ranked with the others, their ranks then dropped (Pratt).
    RankThenDrop,
    /// Ranked with the others, their ranks given half to each side.
    Split,
}

/// The 0.5 that a continuous approximation to a discrete statistic may take off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// The statistic is moved 0.5 towards its mean.
    Correct,
    /// The statistic is taken as it is.
    Ignore,
}

/// Ranks of `|d|`, summed by the sign of `d`.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedRanks {
    /// Sum over positive differences.
    pub plus: f64,
    /// Sum over negative differences.
    pub minus: f64,
    /// How many differences were ranked.
    pub ranked: usize,
    /// Ranks of the differences that are not zero: each may take either sign.
    pub free: Vec<f64>,
    /// How many zeros there were, ranked or not.
    pub zeros: usize,
    ties: Vec<usize>,
    zero_method: Zeros,
}

/// Ranks the differences; all must be finite. An empty or all-zero sample has no free ranks, and p = 1.
pub fn signed_ranks(differences: &[f64], zeros: Zeros) -> Result<SignedRanks, StatsError> {
    check_finite(differences)?;
    let kept: Vec<f64> = match zeros {
        Zeros::Drop => differences.iter().copied().filter(|&d| d != 0.0).collect(),
        Zeros::RankThenDrop | Zeros::Split => differences.to_vec(),
    };
    let sizes: Vec<f64> = kept.iter().map(|d| d.abs()).collect();
    let ranks = midranks(&sizes);
    let total = |wanted: fn(f64) -> bool| -> f64 {
        let of_sign = kept.iter().zip(&ranks).filter(|(d, _)| wanted(**d));
        of_sign.map(|(_, rank)| rank).sum()
    };
    let shared = match zeros {
        Zeros::Split => 0.5 * total(|d| d == 0.0),
        Zeros::Drop | Zeros::RankThenDrop => 0.0,
    };
    let free = kept.iter().zip(&ranks).filter(|(d, _)| **d != 0.0);
    let tied: Vec<f64> = match zeros {
        // Zeros leave the statistic, and with them their tie (Cureton 1967, JASA 62(319)).
        Zeros::Drop | Zeros::RankThenDrop => {
            sizes.iter().copied().filter(|&size| size != 0.0).collect()
        }
        Zeros::Split => sizes.clone(),
    };
    Ok(SignedRanks {
        plus: total(|d| d > 0.0) + shared,
        minus: total(|d| d < 0.0) + shared,
        ranked: kept.len(),
        free: free.map(|(_, rank)| *rank).collect(),
        zeros: differences.iter().filter(|&&d| d == 0.0).count(),
        ties: tie_sizes(&tied),
        zero_method: zeros,
    })
}

/// Exact counts over all assignments of signs to the free ranks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExactWilcoxon {
    /// Assignments whose rank sum is at least as far from its mean.
    pub two_sided: u128,
    /// Assignments whose positive rank sum is at least as large.
    pub greater: u128,
    /// Assignments whose positive rank sum is at most as large.
    pub less: u128,
    /// `2^m` for `m` free ranks.
    pub total: u128,
}

impl ExactWilcoxon {
    /// The counts as shares of the total.
    pub fn p(&self) -> PValues {
        let share = |count: u128| count as f64 / self.total as f64;
        PValues {
            two_sided: share(self.two_sided),
            greater: share(self.greater),
            less: share(self.less),
        }
    }
}

/// The normal approximation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalWilcoxon {
    /// Standardised distance from the mean, for the two-sided test; never above zero, NaN without free ranks.
    pub z: f64,
    /// Standardised statistic of the test against a positive difference.
    pub z_greater: f64,
    /// NaN without free ranks.
    pub p: PValues,
}

impl SignedRanks {
    /// The smaller of the two rank sums: the statistic of the two-sided test.
    pub fn statistic(&self) -> f64 {
        self.plus.min(self.minus)
    }

    /// Whether two differences that count have one size.
    pub fn has_ties(&self) -> bool {
        self.ties.iter().any(|&size| size > 1)
    }

    /// Exact whether or not there are ties: the distribution of the rank sum by adding one rank after the other.
    ///
    /// At most 120 free ranks, beyond which counts leave 128 bits.
    pub fn exact(&self) -> Result<ExactWilcoxon, StatsError> {
        let m = self.free.len();
        if m > 120 {
            return Err(StatsError::OutOfRange {
                what: "the number of pairs of an exact Wilcoxon test",
                expected: "at most 120",
                found: m as f64,
            });
        }
        // Midranks are multiples of 1/2: doubled they are integers.
        let doubled: Vec<usize> = self.free.iter().map(|rank| (2.0 * rank) as usize).collect();
        let all: usize = doubled.iter().sum();
        let mut ways = vec![0u128; all + 1];
        ways[0] = 1;
        let mut reached = 0;
        for &rank in &doubled {
            reached += rank;
            for sum in (rank..=reached).rev() {
                ways[sum] += ways[sum - rank];
            }
        }
        // Half the rank mass of zeros belongs to both sides and cancels in `plus - minus`.
        let observed = (all as f64 + 2.0 * (self.plus - self.minus)) / 2.0;
        let distance = |sum: f64| (2.0 * sum - all as f64).abs();
        let count = |wanted: &dyn Fn(f64) -> bool| {
            let chosen = ways
                .iter()
                .enumerate()
                .filter(|(sum, _)| wanted(*sum as f64));
            chosen.map(|(_, ways)| ways).sum()
        };
        Ok(ExactWilcoxon {
            two_sided: count(&|sum| distance(sum) >= distance(observed)),
            greater: count(&|sum| sum >= observed),
            less: count(&|sum| sum <= observed),
            total: 1 << m,
        })
    }

    /// Normal approximation with the variance corrected for ties.
    pub fn normal(&self, continuity: Continuity) -> NormalWilcoxon {
        let count = self.ranked as f64;
        let mut mean = count * (count + 1.0) / 4.0;
        let mut spread = count * (count + 1.0) * (2.0 * count + 1.0);
        match self.zero_method {
            Zeros::RankThenDrop => {
                let zeros = self.zeros as f64;
                mean -= zeros * (zeros + 1.0) / 4.0;
                spread -= zeros * (zeros + 1.0) * (2.0 * zeros + 1.0);
            }
            Zeros::Drop | Zeros::Split => {}
        }
        for &size in &self.ties {
            let size = size as f64;
            spread -= (size * size * size - size) / 2.0;
        }
        let sd = (spread / 24.0).sqrt();
        let z = (self.plus - mean) / sd;
        let step = match continuity {
            Continuity::Correct => 0.5 / sd,
            Continuity::Ignore => 0.0,
        };
        let towards_zero = if z == 0.0 { 0.0 } else { z - z.signum() * step };
        NormalWilcoxon {
            z: -towards_zero.abs(),
            z_greater: z - step,
            p: PValues {
                two_sided: 2.0 * normal_sf(towards_zero.abs()),
                greater: normal_sf(z - step),
                less: normal_sf(-(z + step)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_differences_p_is_one_and_the_approximation_undefined() {
        for zeros in [Zeros::Drop, Zeros::RankThenDrop, Zeros::Split] {
            let ranks = signed_ranks(&[0.0; 3], zeros).unwrap();
            assert_eq!(ranks.exact().unwrap().p().two_sided, 1.0);
        }
        let ranks = signed_ranks(&[], Zeros::Drop).unwrap();
        assert_eq!(ranks.statistic(), 0.0);
        assert!(ranks.normal(Continuity::Ignore).p.two_sided.is_nan());
        assert!(signed_ranks(&[f64::NAN], Zeros::Drop).is_err());
    }

    #[test]
    fn one_sign_reaches_the_floor() {
        let ranks = signed_ranks(&[1.0, 2.0, 3.0, 4.0, 5.0], Zeros::Drop).unwrap();
        assert_eq!(ranks.exact().unwrap().p().two_sided, crate::p_floor(5));
    }

    #[test]
    fn a_hundred_pairs_are_still_exact_and_near_the_normal() {
        let differences: Vec<f64> = (1..=100)
            .map(|i| {
                if i % 3 == 0 {
                    -f64::from(i)
                } else {
                    f64::from(i)
                }
            })
            .collect();
        let ranks = signed_ranks(&differences, Zeros::Drop).unwrap();
        let exact = ranks.exact().unwrap().p().two_sided;
        let normal = ranks.normal(Continuity::Correct).p.two_sided;
        assert!((exact - normal).abs() < 5e-4, "{exact} {normal}");
    }

    proptest! {
        #[test]
        fn ranks_add_up_and_sides_mirror(values in prop::collection::vec(-4i8..4, 1..12)) {
            let differences: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
            let negated: Vec<f64> = differences.iter().map(|d| -d).collect();
            for zeros in [Zeros::Drop, Zeros::RankThenDrop, Zeros::Split] {
                let ranks = signed_ranks(&differences, zeros).unwrap();
                let mirrored = signed_ranks(&negated, zeros).unwrap();
                let (one, other) = (ranks.exact().unwrap(), mirrored.exact().unwrap());
                prop_assert_eq!((one.two_sided, one.greater), (other.two_sided, other.less));
                prop_assert!(one.greater + one.less > one.total);
            }
        }
    }
}
