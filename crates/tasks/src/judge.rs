//! Preference pairs from scored candidates (section 4.2 of arXiv:2406.07327).

use preflab_config::JudgeSettings;
use preflab_data::Pair;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gumbel};

/// The best and the worst of a prompt's candidates by score, as indices; `None` where the candidates are uniformly good
/// or bad, that is where best and worst differ by no more than `tolerance`.
///
/// Ties go to the candidate that comes first.
///
/// # Panics
/// If a score is not finite or `tolerance` is below 0.
pub fn best_worst(scores: &[f64], tolerance: f64) -> Option<Pair<usize>> {
    assert!(
        tolerance >= 0.0,
        "a tolerance of at least 0, not {tolerance}"
    );
    let pair = extremes(scores)?;
    (scores[pair.chosen] - scores[pair.rejected] > tolerance).then_some(pair)
}

/// Index of the first largest and the first smallest score; `None` without two of them.
fn extremes(scores: &[f64]) -> Option<Pair<usize>> {
    assert!(
        scores.iter().all(|score| score.is_finite()),
        "finite scores, not {scores:?}"
    );
    if scores.len() < 2 {
        return None;
    }
    let first = |better: fn(f64, f64) -> bool| {
        (1..scores.len()).fold(0, |best, i| {
            if better(scores[i], scores[best]) {
                i
            } else {
                best
            }
        })
    };
    Some(Pair {
        chosen: first(|a, b| a > b),
        rejected: first(|a, b| a < b),
    })
}

/// A judge that compares gold scores, with noise where the settings ask for it.
///
/// Noise is drawn from the judge's own seed and the prompt's id, so that it does not depend on the order in which
/// prompts are judged.
#[derive(Debug, Clone, Copy)]
pub struct Judge {
    settings: JudgeSettings,
    seed: u64,
}

impl Judge {
    /// A judge whose noise is decided by `seed`.
    pub fn new(settings: JudgeSettings, seed: u64) -> Self {
        Self { settings, seed }
    }

    /// The pair of one prompt's candidates, as indices into `scores`.
    ///
    /// Prompts that are uniform by their exact scores are dropped as in [`best_worst`]. At temperature `τ > 0` each score
    /// then gets independent Gumbel(0, τ) noise, under which the judge prefers `i` to `j` with probability
    /// `σ((s_i − s_j)/τ)` (Bradley & Terry 1952; Luce 1959). Last, with the label-flip probability the two sides are
    /// exchanged.
    pub fn pick(&self, prompt: u64, scores: &[f64], tolerance: f64) -> Option<Pair<usize>> {
        let exact = best_worst(scores, tolerance)?;
        let mut random = self.random(prompt);
        let pair = if self.settings.temperature.get() > 0.0 {
            let noisy: Vec<f64> = scores
                .iter()
                .map(|score| score + self.noise(&mut random))
                .collect();
            extremes(&noisy)?
        } else {
            exact
        };
        Some(self.flip(pair, &mut random))
    }

    /// The pair of a given preferred and other answer, for scenarios whose sides come from different sources: the one
    /// with the higher (noisy) score is chosen. `None` where they differ by no more than `tolerance`.
    pub fn compare(&self, prompt: u64, scores: Pair<f64>, tolerance: f64) -> Option<Pair<usize>> {
        self.pick(prompt, &[scores.chosen, scores.rejected], tolerance)
    }

    fn random(&self, prompt: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(prompt);
        random
    }

    fn noise(&self, random: &mut impl Rng) -> f64 {
        let gumbel =
            Gumbel::new(0.0, self.settings.temperature.get()).expect("a temperature above 0");
        gumbel.sample(random)
    }

    fn flip(&self, pair: Pair<usize>, random: &mut impl Rng) -> Pair<usize> {
        if random.random_bool(self.settings.label_flips.get()) {
            pair.swapped()
        } else {
            pair
        }
    }
}

#[cfg(test)]
mod tests {
    use preflab_config::{FlipProbability, NonNegative};
    use proptest::prelude::*;

    use super::*;

    fn judge(temperature: f64, label_flips: f64) -> Judge {
        let settings = JudgeSettings {
            temperature: NonNegative::of(temperature),
            label_flips: FlipProbability::of(label_flips),
        };
        Judge::new(settings, 7)
    }

    #[test]
    fn ties_go_to_the_first_candidate() {
        let pair = best_worst(&[0.5, 0.9, 0.2, 0.9, 0.2], 0.0).unwrap();
        assert_eq!((pair.chosen, pair.rejected), (1, 2));
    }

    #[test]
    fn uniform_prompts_are_dropped() {
        assert_eq!(best_worst(&[0.5; 8], 0.0), None);
        assert_eq!(best_worst(&[0.5, 0.75], 0.25), None);
        assert!(best_worst(&[0.5, 0.75], 0.24).is_some());
        assert_eq!(best_worst(&[0.5], 0.0), None);
        assert_eq!(best_worst(&[], 0.0), None);
    }

    #[test]
    fn without_noise_the_judge_is_exact() {
        let scores = [0.1, 0.4, 0.3];
        assert_eq!(
            judge(0.0, 0.0).pick(3, &scores, 0.0),
            best_worst(&scores, 0.0)
        );
    }

    /// Frequencies against Bradley-Terry: 20 000 draws have a standard error below 0.0036, four of them are allowed.
    #[test]
    fn noise_follows_bradley_terry() {
        let (scores, temperature) = ([0.6, 0.4], 0.2);
        let judge = judge(temperature, 0.0);
        let draws = 20_000;
        let firsts = (0..draws)
            .filter(|&id| judge.pick(id, &scores, 0.0).unwrap().chosen == 0)
            .count();
        let expected = 1.0 / (1.0 + (-(scores[0] - scores[1]) / temperature).exp());
        let share = firsts as f64 / draws as f64;
        assert!(
            (share - expected).abs() < 0.0145,
            "{share} against {expected}"
        );
    }

    #[test]
    fn labels_flip_at_their_probability() {
        let judge = judge(0.0, 0.2);
        let draws = 20_000;
        let flips = (0..draws)
            .filter(|&id| judge.pick(id, &[1.0, 0.0], 0.0).unwrap().chosen == 1)
            .count();
        let share = flips as f64 / draws as f64;
        assert!((share - 0.2).abs() < 0.0115, "{share}");
    }

    proptest! {
        #[test]
        fn a_pair_is_the_extremes_and_two_different_candidates(
            scores in prop::collection::vec(0.0..1.0f64, 2..10),
            tolerance in 0.0..0.5f64,
            temperature in 0.0..1.0f64,
            prompt: u64,
        ) {
            let spread = scores.iter().copied().fold(f64::MIN, f64::max) - scores.iter().copied().fold(f64::MAX, f64::min);
            match best_worst(&scores, tolerance) {
                Some(pair) => prop_assert!((scores[pair.chosen] - scores[pair.rejected] - spread).abs() < 1e-12 && spread > tolerance),
                None => prop_assert!(spread <= tolerance),
            }
            let noisy = judge(temperature, 0.1).pick(prompt, &scores, tolerance);
            prop_assert_eq!(noisy.is_some(), spread > tolerance);
            prop_assert!(noisy.is_none_or(|pair| pair.chosen != pair.rejected));
            prop_assert_eq!(noisy, judge(temperature, 0.1).pick(prompt, &scores, tolerance));
        }
    }
}
