//! Best of n samples.

/// The analytic KL of best-of-n from the sampler, nats for each prompt: `log n - (n - 1) / n`.
///
/// Stiennon et al. 2020, [arXiv:2009.01325](https://arxiv.org/abs/2009.01325), appendix G.3; exact where samples and
/// scores never tie, an upper bound otherwise (Beirami et al. 2024, [arXiv:2401.01879](https://arxiv.org/abs/2401.01879)).
///
/// # Panics
/// If `n` is 0.
pub fn best_of_n_kl(n: usize) -> f64 {
    assert!(n > 0, "at least one sample");
    let n = n as f64;
    n.ln() - (n - 1.0) / n
}

/// The expected largest of `n` scores drawn without replacement from `scores`, for `n` up to their number.
///
/// `sum over i of C(i, n - 1) / C(N, n) * s_(i)`, `s_(i)` the `i`-th smallest from 0: unbiased for the best of `n` fresh
/// samples, with every sample used; Nakano et al. 2021, WebGPT, [arXiv:2112.09332](https://arxiv.org/abs/2112.09332).
/// `values[i]` is what the sample with `scores[i]` is worth (its gold score; the scores themselves give the
/// proxy's own).
///
/// # Panics
/// If the lengths differ, or `n` is 0 or larger than their number.
pub fn expected_best(scores: &[f64], values: &[f64], n: usize) -> f64 {
    let total = scores.len();
    assert_eq!(total, values.len(), "one value for each score");
    assert!(n > 0 && n <= total, "between one sample and all of them");
    let mut order: Vec<usize> = (0..total).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    // weight_i = C(i, n-1) / C(N, n), from the largest down: w_{N-1} = n / N, w_{i-1} = w_i (i - n + 1) / i.
    let mut weight = n as f64 / total as f64;
    let mut expected = 0.0;
    for i in (0..total).rev() {
        expected += weight * values[order[i]];
        weight *= (i as f64 - n as f64 + 1.0).max(0.0) / (i.max(1)) as f64;
    }
    expected
}

/// The index of the largest score; of equal ones the first.
///
/// # Panics
/// If there are no scores.
pub fn best(scores: &[f64]) -> usize {
    (0..scores.len())
        .rev()
        .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
        .expect("at least one score")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kl_is_that_of_the_largest_of_n_uniform_numbers() {
        assert_eq!(best_of_n_kl(1), 0.0);
        // The density of the largest of n is n u^(n-1): KL = integral of n u^(n-1) log(n u^(n-1)).
        let n = 4.0;
        let cells = 200_000;
        let integral: f64 = (0..cells)
            .map(|i| {
                let density = n * ((f64::from(i) + 0.5) / f64::from(cells)).powf(n - 1.0);
                density * density.ln() / f64::from(cells)
            })
            .sum();
        assert!((best_of_n_kl(4) - integral).abs() < 1e-6);
    }

    #[test]
    fn the_expected_best_is_the_mean_over_all_subsets() {
        let scores = [3.0, 1.0, 2.0, 5.0];
        let gold = [0.5, 0.1, 0.9, 0.3];
        assert!((expected_best(&scores, &scores, 1) - 2.75).abs() < 1e-15);
        assert!((expected_best(&scores, &gold, 4) - 0.3).abs() < 1e-15);
        let mut sum = 0.0;
        for (i, j) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            sum += if scores[i] > scores[j] {
                gold[i]
            } else {
                gold[j]
            };
        }
        assert!((expected_best(&scores, &gold, 2) - sum / 6.0).abs() < 1e-15);
    }

    #[test]
    fn of_equal_best_ones_the_first_is_taken() {
        assert_eq!(best(&[1.0, 3.0, 3.0]), 1);
    }
}
