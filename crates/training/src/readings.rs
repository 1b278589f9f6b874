//! Numbers of several tensors, read at once.

use burn::tensor::Tensor;

/// The numbers of each tensor, `[n]` of one number type, without autodiff. Waits for the device once, however many there are.
pub fn read_together(tensors: &[Tensor<1>]) -> Vec<Vec<f64>> {
    let lengths = tensors.iter().map(|tensor| tensor.dims()[0]);
    if lengths.clone().sum::<usize>() == 0 {
        return vec![Vec::new(); tensors.len()];
    }
    let all = Tensor::cat(tensors.to_vec(), 0).into_data();
    let mut numbers = all.iter::<f64>();
    lengths
        .map(|length| numbers.by_ref().take(length).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn every_tensor_keeps_its_own_numbers() {
        let tensor = |values: &[f32]| Tensor::<1>::from_floats(values, &Device::flex());
        let (a, b) = (tensor(&[1.0, 0.1]), tensor(&[-3.0]));
        let none = a.clone().narrow(0, 0, 1).slice([0..0]);
        let read = read_together(&[a, none.clone(), b]);
        assert_eq!(read, [vec![1.0, f64::from(0.1f32)], vec![], vec![-3.0]]);
        assert_eq!(read_together(&[none]), [vec![0.0f64; 0]]);
        assert!(read_together(&[]).is_empty());
    }
}
