//! Initial weights, drawn on the host so that they are the same on every device.

use std::f64::consts::TAU;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Makes parameters in the order in which they are asked for; each matrix has a random stream of its own.
pub(crate) struct Initializer<'a> {
    /// Seed and standard deviation of normal matrices; none for parameters without numbers.
    normal: Option<(u64, f64)>,
    stream: u64,
    device: &'a Device,
}

impl<'a> Initializer<'a> {
    /// Normal matrices of standard deviation `deviation`.
    pub fn new(seed: u64, deviation: f64, device: &'a Device) -> Self {
        Self {
            normal: Some((seed, deviation)),
            stream: 0,
            device,
        }
    }

    /// Parameters of known shape without numbers, to be read from a file.
    pub fn unset(device: &'a Device) -> Self {
        Self {
            normal: None,
            stream: 0,
            device,
        }
    }

    /// A matrix `[rows, columns]`.
    pub fn matrix(&mut self, rows: usize, columns: usize) -> Param<Tensor<2>> {
        let Some((seed, deviation)) = self.normal else {
            return self.unset_parameter([rows, columns]);
        };
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(self.stream);
        self.stream += 1;
        let values = normals(&mut generator, rows * columns, deviation);
        Param::from_tensor(Tensor::from_data(
            TensorData::new(values, [rows, columns]),
            self.device,
        ))
    }

    /// A matrix `[rows, columns]` of numbers evenly spread between `-bound` and `bound`.
    pub fn uniform(&mut self, rows: usize, columns: usize, bound: f64) -> Param<Tensor<2>> {
        let Some((seed, _)) = self.normal else {
            return self.unset_parameter([rows, columns]);
        };
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(self.stream);
        self.stream += 1;
        let values: Vec<f32> = (0..rows * columns)
            .map(|_| (bound * (2.0 * uniform(&mut generator) - 1.0)) as f32)
            .collect();
        Param::from_tensor(Tensor::from_data(
            TensorData::new(values, [rows, columns]),
            self.device,
        ))
    }

    /// A vector of `width` times `value`.
    pub fn vector(&self, width: usize, value: f32) -> Param<Tensor<1>> {
        self.constant([width], value)
    }

    /// A parameter full of `value`.
    pub fn constant<const D: usize>(&self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        if self.normal.is_none() {
            return self.unset_parameter(shape);
        }
        let count = shape.iter().product();
        Param::from_tensor(Tensor::from_data(
            TensorData::new(vec![value; count], shape),
            self.device,
        ))
    }

    fn unset_parameter<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<D>> {
        let zeros = move |device: &Device, _: bool| Tensor::zeros(shape, device);
        Param::uninitialized(
            ParamId::new(),
            zeros,
            self.device.clone(),
            true,
            shape.into(),
        )
    }
}

/// `count` normal numbers of mean 0, by the Box-Muller transform.
fn normals(generator: &mut ChaCha8Rng, count: usize, deviation: f64) -> Vec<f32> {
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let radius = deviation * (-2.0 * (1.0 - uniform(generator)).ln()).sqrt();
        let (sine, cosine) = (TAU * uniform(generator)).sin_cos();
        values.push((radius * cosine) as f32);
        values.push((radius * sine) as f32);
    }
    values.truncate(count);
    values
}

/// A number from 0 up to but not 1, with 53 random bits.
pub(crate) fn uniform(generator: &mut ChaCha8Rng) -> f64 {
    (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_normal() {
        let values = normals(&mut ChaCha8Rng::seed_from_u64(1), 100_001, 0.5);
        assert_eq!(values.len(), 100_001);
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64;
        let square =
            values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / values.len() as f64;
        let fourth =
            values.iter().map(|&x| f64::from(x).powi(4)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((square.sqrt() - 0.5).abs() < 0.01, "{square}");
        assert!((fourth / square.powi(2) - 3.0).abs() < 0.1, "{fourth}");
    }
}
