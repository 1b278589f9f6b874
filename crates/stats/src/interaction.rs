//! Interaction of two numeric settings as one contrast, so that it can be taken seed by seed.

use crate::error::{StatsError, check_finite, check_pairs};
use crate::summary::mean;

/// How much more the second setting does at one end of the first than at the other: the bilinear part of a table.
///
/// `table[i][j]` belongs to `x[i]` and `y[j]`. It is the coefficient of `(x − x̄)(y − ȳ)` in the least-squares fit,
/// `Σ (x_i − x̄)(y_j − ȳ) t_ij / (Σ (x_i − x̄)² Σ (y_j − ȳ)²)`, times the two ranges. For two values of each it is
/// `t_11 − t_10 − t_01 + t_00`; it is 0 where the settings add up. In the unit of the table.
///
/// Needs two different values of each, and a full table of finite numbers.
pub fn bilinear_interaction(x: &[f64], y: &[f64], table: &[Vec<f64>]) -> Result<f64, StatsError> {
    check_pairs(x, table)?;
    check_finite(x)?;
    check_finite(y)?;
    for row in table {
        check_pairs(y, row)?;
        check_finite(row)?;
    }
    let (x, y) = (Codes::new(x)?, Codes::new(y)?);
    let mut sum = 0.0;
    for (row, x) in table.iter().zip(&x.centred) {
        for (value, y) in row.iter().zip(&y.centred) {
            sum += x * y * value;
        }
    }
    Ok(sum / (x.squares * y.squares) * x.range * y.range)
}

struct Codes {
    centred: Vec<f64>,
    squares: f64,
    range: f64,
}

impl Codes {
    fn new(values: &[f64]) -> Result<Self, StatsError> {
        let centre = mean(values);
        let centred: Vec<f64> = values.iter().map(|value| value - centre).collect();
        let (low, high) = values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| {
                (low.min(value), high.max(value))
            });
        let squares = centred.iter().map(|value| value * value).sum::<f64>();
        if values.len() < 2 || squares == 0.0 {
            return Err(StatsError::TooFew {
                what: "an interaction (different values of a setting)",
                needed: 2,
                found: values.len().min(1),
            });
        }
        Ok(Self {
            centred,
            squares,
            range: high - low,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_by_two_it_is_the_difference_of_differences() {
        let table = [vec![1.0, 4.0], vec![2.0, 9.0]];
        let found = bilinear_interaction(&[0.0, 1.0], &[-3.0, 5.0], &table).unwrap();
        assert!((found - (9.0 - 2.0 - 4.0 + 1.0)).abs() < 1e-12);
    }

    #[test]
    fn what_adds_up_has_none_and_a_product_has_its_corners() {
        let (x, y) = ([0.0, 1.0, 3.0], [0.0, 2.0, 5.0, 6.0]);
        let table = |value: fn(f64, f64) -> f64| -> Vec<Vec<f64>> {
            let row = |&x: &f64| y.iter().map(|&y| value(x, y)).collect();
            x.iter().map(row).collect()
        };
        let sum = bilinear_interaction(&x, &y, &table(|x, y| x * x + y)).unwrap();
        assert!(sum.abs() < 1e-12, "{sum}");
        let product = bilinear_interaction(&x, &y, &table(|x, y| 2.0 * x * y)).unwrap();
        assert!((product - 2.0 * 3.0 * 6.0).abs() < 1e-12, "{product}");
    }

    #[test]
    fn one_value_of_a_setting_is_an_error() {
        assert!(
            bilinear_interaction(&[1.0, 1.0], &[0.0, 1.0], &[vec![0.0; 2], vec![0.0; 2]]).is_err()
        );
        assert!(bilinear_interaction(&[1.0], &[0.0, 1.0], &[vec![0.0; 2]]).is_err());
        assert!(bilinear_interaction(&[0.0, 1.0], &[0.0], &[vec![0.0]]).is_err());
    }
}
