//! Between tensors whose rows are runs and numbers on the host.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::batches::Preference;
use crate::world::RESPONSES;

/// The numbers of a tensor, row after row.
pub(crate) fn numbers<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor
        .clone()
        .into_data()
        .try_to_vec()
        .expect("32-bit numbers")
}

/// Cells of the pairs' responses in a policy of 40: `[times · n, 2b]`, chosen responses, then rejected ones; one row for
/// each seed's mini-batch, all of them `times` over.
///
/// With `shift`, pair `i` has its own prompt and the responses of pair `i + shift`: with 0 its own.
pub(crate) fn cells(
    batches: &[Vec<Preference>],
    shift: usize,
    times: usize,
    device: &Device,
) -> Tensor<2, Int> {
    let row = |batch: &Vec<Preference>| {
        let cell = |side: fn(&Preference) -> usize| {
            let pairs = batch.iter().enumerate();
            pairs
                .map(|(place, pair)| {
                    let other = &batch[(place + shift) % batch.len()];
                    (pair.prompt * RESPONSES + side(other)) as i64
                })
                .collect::<Vec<i64>>()
        };
        [
            cell(|pair| pair.responses.chosen),
            cell(|pair| pair.responses.rejected),
        ]
        .concat()
    };
    let rows: Vec<i64> = batches.iter().flat_map(row).collect();
    let shape = [times * batches.len(), 2 * batches[0].len()];
    Tensor::from_data(TensorData::new(rows.repeat(times), shape), device)
}
