//! Rotation angles of the rotary embedding.

use std::f64::consts::TAU;

use burn::tensor::{Device, Tensor, TensorData};

use crate::architecture::{RotaryScaling, RotarySettings};

/// Cosine and sine of every token's angles, `[n, width / 2]`.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    pub cosine: Tensor<2>,
    pub sine: Tensor<2>,
}

impl RotarySettings {
    /// `theta^(-i / width)` for even `i < width`, scaled; rounded to f32 as the published models are.
    pub fn frequencies(&self) -> Vec<f32> {
        (0..self.width)
            .step_by(2)
            .map(|i| {
                let exponent = i as f64 / self.width as f64;
                self.scaling.apply(1.0 / self.theta.powf(exponent)) as f32
            })
            .collect()
    }

    /// The rotation of tokens that stand at `positions`.
    pub(crate) fn at(&self, positions: &[usize], device: &Device) -> Rotation {
        let frequencies = self.frequencies();
        let half = frequencies.len();
        // Tokens of many rows stand at the same few positions: their angles are made once.
        let mut distinct: Vec<usize> = positions.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let angles = distinct.iter().flat_map(|&position| {
            frequencies
                .iter()
                .map(move |f| f64::from(position as f32 * f))
        });
        let (sine, cosine): (Vec<f32>, Vec<f32>) = angles
            .map(f64::sin_cos)
            .map(|(sine, cosine)| (sine as f32, cosine as f32))
            .unzip();
        let table = |values: &[f32]| {
            let mut rows = Vec::with_capacity(positions.len() * half);
            for position in positions {
                let row = distinct
                    .binary_search(position)
                    .expect("every position is among the distinct ones");
                rows.extend_from_slice(&values[row * half..(row + 1) * half]);
            }
            Tensor::from_data(TensorData::new(rows, [positions.len(), half]), device)
        };
        Rotation {
            cosine: table(&cosine),
            sine: table(&sine),
        }
    }
}

impl RotaryScaling {
    /// The frequency in place of `frequency`, radians a token.
    fn apply(self, frequency: f64) -> f64 {
        match self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 {
                factor,
                low,
                high,
                context,
            } => {
                let turns = context * frequency / TAU;
                let share = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                share * frequency + (1.0 - share) * frequency / factor
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_scaling_keeps_high_and_divides_low_frequencies() {
        let scaling = RotaryScaling::Llama3 {
            factor: 8.0,
            low: 1.0,
            high: 4.0,
            context: 8192.0,
        };
        assert_eq!(scaling.apply(1.0), 1.0);
        assert_eq!(scaling.apply(1e-6), 1e-6 / 8.0);
        let wavelength = 8192.0 / 2.5;
        let middle = TAU / wavelength;
        assert!((scaling.apply(middle) - (0.5 * middle + 0.5 * middle / 8.0)).abs() < 1e-15);
    }

    #[test]
    fn tokens_at_one_position_turn_alike() {
        let settings = RotarySettings {
            width: 4,
            theta: 100.0,
            scaling: RotaryScaling::None,
        };
        let Rotation { cosine, .. } = settings.at(&[3, 0, 3], &Device::flex());
        let cosine = cosine.try_into_vec_as::<f32>().unwrap();
        assert_eq!(cosine[2..4], [1.0, 1.0]);
        assert_eq!(cosine[..2], cosine[4..]);
        assert_eq!(cosine[0], 3f64.cos() as f32);
        assert_eq!(cosine[1], f64::from(3.0f32 * 0.1f32).cos() as f32);
    }
}
