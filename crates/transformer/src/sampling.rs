//! Choice of the next token from its logits.

use preflab_config::{Decoding, SamplingSettings};
use rand_chacha::ChaCha8Rng;

use crate::init::uniform;

/// The token chosen and its log-probability under `softmax(logits / temperature)`, before top-k and top-p, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Choice {
    pub token: u32,
    pub logp: f32,
}

/// Chooses a token from one row of logits.
///
/// Temperature, top-k and top-p act in this order, each on what the one before left, as in transformers' `generate`:
/// top-k keeps the tokens not below the k-th largest logit, top-p the fewest most likely ones whose share of the rest
/// reaches `top_p`. Computed in f64.
pub(crate) fn choose(
    logits: &[f32],
    settings: &SamplingSettings,
    generator: &mut ChaCha8Rng,
) -> Choice {
    let temperature = settings.temperature.get();
    let (best, largest) = largest(logits);
    let exponent = |logit: f32| (f64::from(logit) - f64::from(largest)) / temperature;
    let weights: Vec<f64> = logits.iter().map(|&logit| exponent(logit).exp()).collect();
    let total: f64 = weights.iter().sum();
    let token = match settings.decoding {
        Decoding::Greedy => best,
        Decoding::Sample => {
            let draw = uniform(generator);
            if settings.top_k.is_none() && settings.top_p.get() == 1.0 {
                draw_from(draw * total, weights.into_iter().enumerate())
            } else {
                let kept = kept(logits, &weights, settings);
                let total: f64 = kept.iter().map(|&(_, weight)| weight).sum();
                draw_from(draw * total, kept.into_iter())
            }
        }
    };
    Choice {
        token: token as u32,
        logp: (exponent(logits[token]) - total.ln()) as f32,
    }
}

/// The first of the largest logits.
fn largest(logits: &[f32]) -> (usize, f32) {
    let first = (0, f32::NEG_INFINITY);
    let (token, logit) = logits
        .iter()
        .copied()
        .enumerate()
        .fold(
            first,
            |best, (token, logit)| {
                if logit > best.1 { (token, logit) } else { best }
            },
        );
    assert!(logit.is_finite(), "logits are finite");
    (token, logit)
}

/// The tokens that top-k and top-p leave, most likely first, with their weights.
fn kept(logits: &[f32], weights: &[f64], settings: &SamplingSettings) -> Vec<(usize, f64)> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let descending = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
    if let Some(k) = settings.top_k
        && k.get() < order.len()
    {
        let (_, &mut kth, _) = order.select_nth_unstable_by(k.get() - 1, descending);
        let smallest = logits[kth];
        order.retain(|&token| logits[token] >= smallest);
    }
    order.sort_unstable_by(descending);
    let mut kept: Vec<(usize, f64)> = order
        .into_iter()
        .map(|token| (token, weights[token]))
        .collect();
    let enough = settings.top_p.get() * kept.iter().map(|&(_, weight)| weight).sum::<f64>();
    let mut sum = 0.0;
    let count = kept.iter().take_while(|&&(_, weight)| {
        let wanted = sum < enough;
        sum += weight;
        wanted
    });
    let count = count.count().max(1);
    kept.truncate(count);
    kept
}

/// The first token at which the running sum of weights passes `threshold`; never one of weight zero.
fn draw_from(threshold: f64, weights: impl Iterator<Item = (usize, f64)>) -> usize {
    let mut sum = 0.0;
    let mut last = 0;
    for (token, weight) in weights {
        if weight > 0.0 {
            sum += weight;
            last = token;
            if sum > threshold {
                break;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use preflab_config::{Count, Fraction, Positive};
    use rand::SeedableRng;

    const LOGITS: [f32; 5] = [1.0, -0.5, 2.0, 0.25, f32::NEG_INFINITY];

    fn probabilities(temperature: f64) -> Vec<f64> {
        let weights: Vec<f64> = LOGITS
            .iter()
            .map(|&logit| (f64::from(logit) / temperature).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / total).collect()
    }

    fn frequencies(settings: &SamplingSettings) -> Vec<f64> {
        let mut generator = ChaCha8Rng::seed_from_u64(3);
        let mut counts = vec![0; LOGITS.len()];
        let draws = 40_000;
        for _ in 0..draws {
            counts[choose(&LOGITS, settings, &mut generator).token as usize] += 1;
        }
        counts
            .into_iter()
            .map(|count| f64::from(count) / f64::from(draws))
            .collect()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        for (found, expected) in found.iter().zip(expected) {
            // four standard deviations of a share of 40 000 draws
            assert!((found - expected).abs() < 0.01, "{found} {expected}");
        }
    }

    #[test]
    fn sampled_shares_are_the_tempered_probabilities() {
        let settings = SamplingSettings {
            temperature: Positive::of(0.7),
            ..Default::default()
        };
        assert_close(&frequencies(&settings), &probabilities(0.7));
    }

    #[test]
    fn a_token_of_probability_zero_is_never_sampled() {
        assert_eq!(frequencies(&SamplingSettings::default())[4], 0.0);
    }

    #[test]
    fn top_k_keeps_the_k_largest() {
        let settings = SamplingSettings {
            top_k: Some(Count::of(2)),
            ..Default::default()
        };
        let p = probabilities(1.0);
        let rest = p[0] + p[2];
        assert_close(
            &frequencies(&settings),
            &[p[0] / rest, 0.0, p[2] / rest, 0.0, 0.0],
        );
    }

    #[test]
    fn top_p_keeps_the_fewest_that_reach_the_share() {
        let p = probabilities(1.0);
        let settings = SamplingSettings {
            top_p: Fraction::of(p[2] + 0.5 * p[0]),
            ..Default::default()
        };
        let rest = p[0] + p[2];
        assert_close(
            &frequencies(&settings),
            &[p[0] / rest, 0.0, p[2] / rest, 0.0, 0.0],
        );
        let one = SamplingSettings {
            top_p: Fraction::of(0.0),
            ..Default::default()
        };
        assert_eq!(frequencies(&one)[2], 1.0);
    }

    #[test]
    fn the_logp_is_of_the_full_tempered_distribution() {
        let settings = SamplingSettings {
            temperature: Positive::of(0.7),
            top_k: Some(Count::of(2)),
            ..Default::default()
        };
        let choice = choose(&LOGITS, &settings, &mut ChaCha8Rng::seed_from_u64(3));
        assert!(
            (f64::from(choice.logp) - probabilities(0.7)[choice.token as usize].ln()).abs() < 1e-6
        );
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        let settings = SamplingSettings {
            decoding: Decoding::Greedy,
            ..Default::default()
        };
        let choice = choose(
            &[0.0, 3.0, 3.0],
            &settings,
            &mut ChaCha8Rng::seed_from_u64(3),
        );
        assert_eq!(choice.token, 1);
    }
}
