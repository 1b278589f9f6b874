//! Which of several settings is best, and how sure that is: the same seeds under every setting.
//!
//! The setting with the best mean was chosen by looking at all of them. How easily another would have been chosen on other
//! seeds is what a bootstrap over seeds shows: seeds are drawn with replacement, the same ones for every setting, so that
//! what a seed does to all settings does not count. With few seeds the probabilities are too sure of themselves, as any
//! bootstrap of few values is.

use crate::bootstrap::Draws;
use crate::error::{StatsError, check_count, check_finite};
use crate::multiple::{Correction, adjust};
use crate::paired::{differences, t_test};
use crate::summary::mean;

/// Which end of a score is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Larger is better.
    Largest,
    /// Smaller is better.
    Smallest,
}

impl Goal {
    /// Values of which larger is better.
    fn oriented(self, values: &[f64]) -> Vec<f64> {
        match self {
            Self::Largest => values.to_vec(),
            Self::Smallest => values.iter().map(|value| -value).collect(),
        }
    }
}

/// The best of several settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// The setting with the best mean, the first of equals.
    pub index: usize,
    /// Share of the bootstrap samples in which each setting has the best mean; equals share a sample.
    pub probability: Vec<f64>,
    /// Two-sided p of the paired t test of each setting against the best one, adjusted by Holm; 1 for the best itself.
    pub p: Vec<f64>,
}

impl Best {
    /// The settings that are not told apart from the best at level `alpha`, the best among them.
    pub fn not_told_apart(&self, alpha: f64) -> Vec<usize> {
        (0..self.p.len())
            .filter(|&setting| self.p[setting] > alpha)
            .collect()
    }
}

/// The best of `settings[setting][seed]`, every setting under the same seeds in the same order.
///
/// Needs one setting, and one finite value of each under each seed. With one seed the best is certain to be the best of
/// that seed, and nothing is told apart.
pub fn best_setting(
    settings: &[Vec<f64>],
    goal: Goal,
    samples: usize,
    seed: u64,
) -> Result<Best, StatsError> {
    let settings = checked(settings, goal, 1)?;
    let means: Vec<f64> = settings.iter().map(|values| mean(values)).collect();
    let index = best_of(&means)[0];
    let seeds = settings[0].len();
    let mut draws = Draws::seeded(seed);
    let mut probability = vec![0.0; settings.len()];
    for _ in 0..samples {
        let drawn = draws.sample(seeds);
        let means: Vec<f64> = settings
            .iter()
            .map(|values| mean(&drawn.iter().map(|&seed| values[seed]).collect::<Vec<_>>()))
            .collect();
        let winners = best_of(&means);
        for &winner in &winners {
            probability[winner] += 1.0 / winners.len() as f64;
        }
    }
    for share in &mut probability {
        *share /= samples as f64;
    }
    let others: Vec<usize> = (0..settings.len())
        .filter(|&other| other != index)
        .collect();
    let raw: Vec<f64> = others
        .iter()
        .map(|&other| Ok(p_of(&differences(&settings[index], &settings[other])?).two_sided))
        .collect::<Result<_, StatsError>>()?;
    let mut p = vec![1.0; settings.len()];
    for (other, adjusted) in others.into_iter().zip(adjust(&raw, Correction::Holm)?) {
        p[other] = adjusted;
    }
    Ok(Best {
        index,
        probability,
        p,
    })
}

/// Positions of the largest value.
fn best_of(means: &[f64]) -> Vec<usize> {
    let largest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (0..means.len())
        .filter(|&setting| means[setting] == largest)
        .collect()
}

/// The paired t test's p; 1 where there is no statistic.
fn p_of(differences: &[f64]) -> crate::paired::PValues {
    let defined = |p: f64| if p.is_nan() { 1.0 } else { p };
    match t_test(differences) {
        Ok(test) => crate::paired::PValues {
            two_sided: defined(test.p.two_sided),
            greater: defined(test.p.greater),
            less: defined(test.p.less),
        },
        Err(_) => crate::paired::PValues {
            two_sided: 1.0,
            greater: 1.0,
            less: 1.0,
        },
    }
}

fn checked(settings: &[Vec<f64>], goal: Goal, needed: usize) -> Result<Vec<Vec<f64>>, StatsError> {
    let too_few = |found| StatsError::TooFew {
        what: "a comparison of settings",
        needed,
        found,
    };
    if settings.len() < needed {
        return Err(too_few(settings.len()));
    }
    for values in settings {
        check_count("a setting", values, 1)?;
        check_finite(values)?;
        crate::error::check_pairs(&settings[0], values)?;
    }
    Ok(settings
        .iter()
        .map(|values| goal.oriented(values))
        .collect())
}

/// Whether the best setting lies strictly inside a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InteriorOptimum {
    /// The inner setting with the best mean.
    pub inside: usize,
    /// One-sided p of "no inner setting is above both ends": for each inner setting the larger p of its two paired t tests
    /// (both must hold), the smallest of these times the number of inner settings (Bonferroni, for the choice among them).
    pub p_inside: f64,
    /// One-sided p of "neither end is above all inner settings": for each end the largest p of its paired t tests, the
    /// smaller of the two times 2.
    pub p_at_an_end: f64,
}

/// Tests whether the optimum of `settings[setting][seed]`, in the order of a range, is strictly inside it.
///
/// Intersection-union tests (Berger 1982, Technometrics 24(4)) for "both ends" and "all inner settings", Bonferroni for the
/// choice of the setting. Needs three settings under the same seeds.
pub fn interior_optimum(settings: &[Vec<f64>], goal: Goal) -> Result<InteriorOptimum, StatsError> {
    let settings = checked(settings, goal, 3)?;
    let last = settings.len() - 1;
    let above = |one: usize, other: usize| -> Result<f64, StatsError> {
        Ok(p_of(&differences(&settings[one], &settings[other])?).greater)
    };
    let (mut inside, mut smallest) = (1, f64::INFINITY);
    let mut ends = [0.0_f64; 2];
    for inner in 1..last {
        if mean(&settings[inner]) > mean(&settings[inside]) {
            inside = inner;
        }
        smallest = smallest.min(above(inner, 0)?.max(above(inner, last)?));
        for (p, end) in ends.iter_mut().zip([0, last]) {
            *p = p.max(above(end, inner)?);
        }
    }
    Ok(InteriorOptimum {
        inside,
        p_inside: (smallest * (last - 1) as f64).min(1.0),
        p_at_an_end: (2.0 * ends[0].min(ends[1])).min(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values around a mean, with a shift that a seed gives to all settings.
    fn around(means: &[f64], spread: f64) -> Vec<Vec<f64>> {
        let seeds = [0.3, -0.2, 0.1, -0.4, 0.2];
        let own = [0.5, -1.0, 0.2, 0.8, -0.5];
        let setting = |(place, &mean): (usize, &f64)| {
            let value = |seed: usize| mean + seeds[seed] + spread * own[(seed + 2 * place) % 5];
            (0..5).map(value).collect()
        };
        means.iter().enumerate().map(setting).collect()
    }

    #[test]
    fn a_clear_best_is_sure_and_alone() {
        let best = best_setting(&around(&[0.0, 1.0, 0.2], 0.01), Goal::Largest, 500, 0).unwrap();
        assert_eq!((best.index, best.not_told_apart(0.05)), (1, vec![1]));
        assert_eq!(best.probability, [0.0, 1.0, 0.0]);
        let worst = best_setting(&around(&[0.0, 1.0, 0.2], 0.01), Goal::Smallest, 500, 0).unwrap();
        assert_eq!(worst.index, 0);
    }

    #[test]
    fn close_settings_share_the_probability() {
        let best = best_setting(&around(&[0.0, 0.01, -2.0], 0.3), Goal::Largest, 2000, 0).unwrap();
        assert!(
            best.probability[0] > 0.1 && best.probability[1] > 0.1,
            "{best:?}"
        );
        assert_eq!(best.probability[2], 0.0);
        assert!((best.probability.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(best.not_told_apart(0.05), [0, 1]);
    }

    #[test]
    fn equals_share_every_sample() {
        let best = best_setting(&[vec![1.0, 2.0], vec![1.0, 2.0]], Goal::Largest, 100, 7).unwrap();
        assert_eq!(best.index, 0);
        assert!((best.probability[0] - 0.5).abs() < 1e-12);
        assert_eq!(best.not_told_apart(0.05), [0, 1]);
    }

    #[test]
    fn one_seed_tells_nothing_apart() {
        let best = best_setting(&[vec![1.0], vec![5.0]], Goal::Largest, 10, 0).unwrap();
        assert_eq!((best.index, best.not_told_apart(0.05)), (1, vec![0, 1]));
    }

    #[test]
    fn an_optimum_is_inside_at_an_end_or_unknown() {
        let test = |means: &[f64], spread| {
            interior_optimum(&around(means, spread), Goal::Largest).unwrap()
        };
        let inside = test(&[0.0, 0.8, 1.0, 0.3], 0.02);
        assert!(
            inside.inside == 2 && inside.p_inside < 0.01 && inside.p_at_an_end > 0.9,
            "{inside:?}"
        );
        let end = test(&[1.0, 0.5, 0.2, 0.0], 0.02);
        assert!(end.p_at_an_end < 0.01 && end.p_inside > 0.9, "{end:?}");
        let unknown = test(&[0.0, 0.05, 0.0], 1.0);
        assert!(
            unknown.p_inside > 0.05 && unknown.p_at_an_end > 0.05,
            "{unknown:?}"
        );
    }

    #[test]
    fn unequal_seeds_and_short_ranges_are_errors() {
        assert!(best_setting(&[], Goal::Largest, 10, 0).is_err());
        assert!(best_setting(&[vec![1.0], vec![1.0, 2.0]], Goal::Largest, 10, 0).is_err());
        assert!(best_setting(&[vec![f64::NAN]], Goal::Largest, 10, 0).is_err());
        assert!(interior_optimum(&around(&[0.0, 1.0], 0.1), Goal::Largest).is_err());
    }
}
