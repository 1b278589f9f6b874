/// Midranks from 1: tied values share the mean of the ranks they occupy.
///
/// Every midrank is a multiple of 1/2. Ties are equal floating-point numbers.
pub fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for group in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let rank = start as f64 + (group.len() + 1) as f64 / 2.0;
        for &i in group {
            ranks[i] = rank;
        }
        start += group.len();
    }
    ranks
}

/// Sizes of the groups of equal values, in ascending order of value.
pub fn tie_sizes(values: &[f64]) -> Vec<usize> {
    crate::summary::sorted(values)
        .chunk_by(|a, b| a == b)
        .map(<[f64]>::len)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tied_values_share_the_mean_rank() {
        assert_eq!(midranks(&[2.0, 1.0, 2.0, 5.0]), [2.5, 1.0, 2.5, 4.0]);
        assert_eq!(tie_sizes(&[2.0, 1.0, 2.0, 5.0]), [1, 2, 1]);
        assert!(midranks(&[]).is_empty());
    }

    #[test]
    fn both_zeros_are_one_value() {
        assert_eq!(midranks(&[0.0, -0.0]), [1.5, 1.5]);
    }
}
