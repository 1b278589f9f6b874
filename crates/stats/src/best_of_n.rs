//! Best-of-n sampling: its KL, and the gold score it would reach.

use crate::error::{StatsError, check_count, check_finite, check_pairs};

/// KL of best-of-n from the policy it samples, `ln n - (n - 1) / n` nats; 0 for `n <= 1`.
///
/// Exact for distinct scores and continuous samples, an upper bound otherwise (Beirami et al. 2024, [arXiv:2401.01879](https://arxiv.org/abs/2401.01879)).
pub fn best_of_n_kl(n: u64) -> f64 {
    if n <= 1 {
        return 0.0;
    }
    let n = n as f64;
    n.ln() - (n - 1.0) / n
}

/// Gold scores in ascending order of the proxy, averaged within equal proxies: a tie is broken at random.
fn by_proxy(proxy: &[f64], gold: &[f64]) -> Result<Vec<f64>, StatsError> {
    check_pairs(proxy, gold)?;
    check_count("best-of-n", proxy, 1)?;
    check_finite(proxy)?;
    check_finite(gold)?;
    let mut pairs: Vec<(f64, f64)> = proxy.iter().copied().zip(gold.iter().copied()).collect();
    pairs.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let groups = pairs.chunk_by(|a, b| a.0 == b.0);
    Ok(groups
        .flat_map(|group| {
            let total: f64 = group.iter().map(|(_, gold)| gold).sum();
            std::iter::repeat_n(total / group.len() as f64, group.len())
        })
        .collect())
}

/// `n` must be between 1 and the number of samples.
fn check_n(n: usize, samples: usize) -> Result<(), StatsError> {
    if n >= 1 && n <= samples {
        return Ok(());
    }
    Err(StatsError::OutOfRange {
        what: "n of best-of-n",
        expected: "from 1 to the number of samples",
        found: n as f64,
    })
}

/// Expected gold score of the sample with the highest proxy among `n` drawn without replacement: unbiased for best-of-n.
///
/// `Σ_i C(i-1, n-1) / C(N, n) · gold` of the i-th smallest proxy (Nakano et al. 2021, [arXiv:2112.09332](https://arxiv.org/abs/2112.09332), app. I).
pub fn best_of_n(proxy: &[f64], gold: &[f64], n: usize) -> Result<f64, StatsError> {
    let ranked = by_proxy(proxy, gold)?;
    check_n(n, ranked.len())?;
    // From the top: the best is drawn with n/N; each lower one needs all above it to be left out.
    let mut weight = n as f64 / ranked.len() as f64;
    let mut expected = 0.0;
    for i in (n..=ranked.len()).rev() {
        expected += weight * ranked[i - 1];
        weight *= (i - n) as f64 / (i - 1).max(1) as f64;
    }
    Ok(expected)
}

/// The same with replacement, `Σ_i ((i/N)^n - ((i-1)/N)^n) · gold`: best-of-n of the samples as if they were the policy; biased for the policy.
pub fn best_of_n_with_replacement(
    proxy: &[f64],
    gold: &[f64],
    n: usize,
) -> Result<f64, StatsError> {
    let ranked = by_proxy(proxy, gold)?;
    if n == 0 {
        check_n(n, ranked.len())?;
    }
    let up_to = |i: usize| (i as f64 / ranked.len() as f64).powf(n as f64);
    let weighted = ranked.iter().enumerate();
    Ok(weighted
        .map(|(i, gold)| (up_to(i + 1) - up_to(i)) * gold)
        .sum())
}

/// Chance that at least one of `k` out of `samples` is right when `right` of them are: `1 - C(samples - right, k) / C(samples, k)`.
///
/// Chen et al. 2021, [arXiv:2107.03374](https://arxiv.org/abs/2107.03374), eq. 1. `k` is between 1 and `samples`, `right` at most `samples`.
pub fn pass_at_k(samples: usize, right: usize, k: usize) -> Result<f64, StatsError> {
    check_n(k, samples)?;
    if right > samples {
        return Err(StatsError::OutOfRange {
            what: "right samples",
            expected: "at most all samples",
            found: right as f64,
        });
    }
    let wrong = samples - right;
    if wrong < k {
        return Ok(1.0);
    }
    // The chance that all k are wrong, built up from small steps: 1 - (1 - right/samples) (1 - right/(samples-1)) …
    let log_all_wrong: f64 = (0..k)
        .map(|i| (-(right as f64) / (samples - i) as f64).ln_1p())
        .sum();
    Ok(-log_all_wrong.exp_m1())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn impossible_n_is_an_error() {
        assert!(best_of_n(&[1.0], &[1.0], 2).is_err() && best_of_n(&[1.0], &[1.0], 0).is_err());
        assert!(best_of_n_with_replacement(&[1.0], &[1.0], 0).is_err());
        assert!(best_of_n(&[], &[], 1).is_err() && best_of_n(&[f64::NAN], &[1.0], 1).is_err());
        assert!(pass_at_k(3, 4, 1).is_err() && pass_at_k(3, 1, 4).is_err());
    }

    #[test]
    fn one_sample_costs_no_kl() {
        assert_eq!((best_of_n_kl(0), best_of_n_kl(1)), (0.0, 0.0));
    }

    proptest! {
        #[test]
        fn with_the_gold_score_as_proxy_more_samples_never_hurt(gold in prop::collection::vec(-3.0..3.0f64, 1..20)) {
            let reached: Vec<f64> = (1..=gold.len()).map(|n| best_of_n(&gold, &gold, n).unwrap()).collect();
            prop_assert!((reached[0] - crate::mean(&gold)).abs() < 1e-12);
            prop_assert!(reached.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12));
            let best = gold.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!((reached[gold.len() - 1] - best).abs() < 1e-12);
        }
    }
}
