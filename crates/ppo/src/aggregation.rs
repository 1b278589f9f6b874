//! From one loss for each token to one number.

use burn::tensor::Tensor;
use preflab_config::Aggregation;

/// What an update's losses are divided by: numbers of the *whole* update, so that how it is cut into micro-batches
/// changes nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Totals {
    /// Tokens that count.
    pub tokens: f64,
    /// Completions with at least one such token.
    pub sequences: f64,
}

impl Totals {
    /// Of completions of these lengths.
    pub fn of(lengths: impl IntoIterator<Item = usize>) -> Self {
        let nothing = Self {
            tokens: 0.0,
            sequences: 0.0,
        };
        lengths.into_iter().fold(nothing, |totals, length| Self {
            tokens: totals.tokens + length as f64,
            sequences: totals.sequences + f64::from(u8::from(length > 0)),
        })
    }

    /// Never a division by zero: an update of empty completions has loss 0.
    fn at_least_one(self) -> Self {
        Self {
            tokens: self.tokens.max(1.0),
            sequences: self.sequences.max(1.0),
        }
    }
}

/// The share of one micro-batch in the loss of an update, `[1]`; the shares of all micro-batches add up to the loss.
///
/// - `losses`: one for each token, `[b, t]`.
/// - `mask`: 1 on tokens that count, `[b, t]`. Rows without any are left out of means over completions.
/// - `totals`: of the whole update.
///
/// See [`Aggregation`] for the modes and their papers (verl's `agg_loss`).
pub fn aggregate(
    losses: Tensor<2>,
    mask: Tensor<2>,
    aggregation: Aggregation,
    totals: Totals,
) -> Tensor<1> {
    let totals = totals.at_least_one();
    let counted = losses * mask.clone();
    match aggregation {
        Aggregation::TokenMean => counted.sum() / totals.tokens,
        Aggregation::TokenSum => counted.sum(),
        Aggregation::SequenceMeanTokenSum => counted.sum() / totals.sequences,
        Aggregation::SequenceMeanTokenMean => {
            let counts = mask.sum_dim(1).clamp_min(1.0);
            (counted.sum_dim(1) / counts).sum() / totals.sequences
        }
        Aggregation::SequenceMeanTokenSumNorm(length) => {
            counted.sum() / (totals.sequences * length.get() as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};
    use preflab_config::Count;

    fn tensor(rows: &[[f64; 3]]) -> Tensor<2> {
        let data = TensorData::new(rows.concat(), [rows.len(), 3]);
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    const LOSSES: [[f64; 3]; 3] = [[1.0, 2.0, 9.0], [4.0, 5.0, 6.0], [7.0, 7.0, 7.0]];
    const MASK: [[f64; 3]; 3] = [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]];
    const MODES: [Aggregation; 5] = [
        Aggregation::TokenMean,
        Aggregation::TokenSum,
        Aggregation::SequenceMeanTokenSum,
        Aggregation::SequenceMeanTokenMean,
        Aggregation::SequenceMeanTokenSumNorm(Count::of(10)),
    ];

    fn value(rows: std::ops::Range<usize>, mode: Aggregation, totals: Totals) -> f64 {
        aggregate(
            tensor(&LOSSES[rows.clone()]),
            tensor(&MASK[rows]),
            mode,
            totals,
        )
        .into_scalar::<f64>()
    }

    #[test]
    fn each_mode_weighs_as_it_says() {
        let totals = Totals::of([2, 3, 0]);
        let expected = [18.0 / 5.0, 18.0, 9.0, (1.5 + 5.0) / 2.0, 0.9];
        for (mode, expected) in MODES.into_iter().zip(expected) {
            assert!(
                (value(0..3, mode, totals) - expected).abs() < 1e-14,
                "{mode:?}"
            );
        }
    }

    #[test]
    fn micro_batches_add_up() {
        let totals = Totals::of([2, 3, 0]);
        for mode in MODES {
            let parts = value(0..1, mode, totals) + value(1..3, mode, totals);
            assert!(
                (parts - value(0..3, mode, totals)).abs() < 1e-14,
                "{mode:?}"
            );
        }
    }
}
