//! Mean and variance of a set of numbers.

/// What a sum of squared deviations is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variance {
    /// By `n - 1` (PyTorch's default, TRL, verl).
    Unbiased,
    /// By `n` (TensorFlow's moments; lm-human-preferences, summarize_from_feedback).
    Biased,
}

/// Number, mean and variance of a set of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// How many numbers.
    pub count: usize,
    /// Their mean; 0 of none.
    pub mean: f64,
    /// Their variance; 0 where there are too few numbers to have one.
    pub variance: f64,
}

impl Moments {
    /// Of `values`, in two passes.
    pub fn of(values: impl Iterator<Item = f64> + Clone, variance: Variance) -> Self {
        let (count, sum) = values
            .clone()
            .fold((0usize, 0.0), |(n, sum), x| (n + 1, sum + x));
        let mean = if count == 0 { 0.0 } else { sum / count as f64 };
        let squares: f64 = values.map(|x| (x - mean) * (x - mean)).sum();
        let divisor = match variance {
            Variance::Unbiased => count.saturating_sub(1),
            Variance::Biased => count,
        };
        let variance = if divisor == 0 {
            0.0
        } else {
            squares / divisor as f64
        };
        Self {
            count,
            mean,
            variance,
        }
    }

    /// Of all numbers of all rows.
    pub fn of_rows(rows: &[Vec<f64>], variance: Variance) -> Self {
        Self::of(rows.iter().flatten().copied(), variance)
    }

    /// Square root of the variance.
    pub fn deviation(&self) -> f64 {
        self.variance.sqrt()
    }
}

/// The numbers of `values` that `mask` is true on, row by row.
///
/// # Panics
/// If the shapes differ.
pub fn kept<T: Copy>(values: &[Vec<T>], mask: &[Vec<bool>]) -> Vec<Vec<T>> {
    assert_eq!(values.len(), mask.len(), "one mask row for each row");
    let row = |(values, mask): (&Vec<T>, &Vec<bool>)| {
        assert_eq!(values.len(), mask.len(), "one mask cell for each value");
        values
            .iter()
            .zip(mask)
            .filter(|&(_, &keep)| keep)
            .map(|(&value, _)| value)
            .collect()
    };
    values.iter().zip(mask).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_equal_the_textbook() {
        let values = [1.0, 2.0, 4.0];
        let unbiased = Moments::of(values.into_iter(), Variance::Unbiased);
        assert_eq!(unbiased.count, 3);
        assert!((unbiased.mean - 7.0 / 3.0).abs() < 1e-15);
        assert!((unbiased.variance - 7.0 / 3.0).abs() < 1e-15);
        let biased = Moments::of(values.into_iter(), Variance::Biased);
        assert!((biased.variance - 14.0 / 9.0).abs() < 1e-15);
    }

    #[test]
    fn too_few_numbers_have_no_variance() {
        assert_eq!(
            Moments::of([3.0].into_iter(), Variance::Unbiased).variance,
            0.0
        );
        assert_eq!(Moments::of([].into_iter(), Variance::Biased).mean, 0.0);
    }

    #[test]
    fn only_what_the_mask_is_true_on_is_kept() {
        assert_eq!(
            kept(
                &[vec![1, 2], vec![3, 4]],
                &[vec![true, false], vec![true, true]]
            ),
            [vec![1], vec![3, 4]]
        );
    }
}
