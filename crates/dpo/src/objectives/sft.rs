//! The chosen completion's negative log-likelihood.

use burn::tensor::Tensor;
use preflab_config::SftAggregation;

use crate::inputs::{Logps, per_token};

/// `−log π(y_w)`, divided by nothing, by its own length, or by the mean length of the update's chosen completions.
///
/// - `chosen`: log-probabilities and lengths of the chosen completions.
/// - `mean_length`: mean length of the chosen completions of the whole update, `[1]`, tokens; absent: of these rows.
///
/// Returns `[b]`, at least 0. With [`SftAggregation::BatchMean`] the mean over the update's pairs is the mean over its
/// tokens, as in TRL's `sft` and SimPO's `sft_weight`.
pub fn sft(
    chosen: &Logps,
    aggregation: SftAggregation,
    mean_length: Option<Tensor<1>>,
) -> Tensor<1> {
    let negative = -chosen.sum.clone();
    match aggregation {
        SftAggregation::Sum => negative,
        SftAggregation::Mean => -chosen.mean(),
        SftAggregation::BatchMean => {
            let mean = mean_length.unwrap_or_else(|| chosen.lengths.clone().mean());
            let rows = negative.dims()[0];
            per_token(negative, mean.expand([rows]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, leaf, values};

    #[test]
    fn the_mean_over_pairs_is_the_mean_over_tokens_with_batch_mean_alone() {
        let chosen = Logps::from_sums(leaf(&[-6.0, -2.0]), leaf(&[3.0, 1.0]));
        let mean = |aggregation| {
            let all = values(&sft(&chosen, aggregation, None));
            all.iter().sum::<f64>() / all.len() as f64
        };
        assert_close(&[mean(SftAggregation::BatchMean)], &[8.0 / 4.0]);
        assert_close(&[mean(SftAggregation::Mean)], &[2.0]);
        assert_close(&[mean(SftAggregation::Sum)], &[4.0]);
    }

    #[test]
    fn a_micro_batch_divides_by_the_length_of_the_update() {
        let chosen = Logps::from_sums(leaf(&[-6.0]), leaf(&[3.0]));
        let loss = sft(&chosen, SftAggregation::BatchMean, Some(leaf(&[2.0])));
        assert_close(&values(&loss), &[3.0]);
    }
}
