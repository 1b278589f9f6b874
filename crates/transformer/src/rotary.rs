//! Rotation angles of the rotary embedding.

use std::f64::consts::TAU;

use burn::tensor::{Device, Tensor, TensorData};

use crate::architecture::{RotaryScaling, RotarySettings};

/// Cosine and sine of every token's angles, `[b, 1, t, width / 2]`, `b` 1 where all rows stand alike.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    pub cosine: Tensor<4>,
    pub sine: Tensor<4>,
}

impl RotarySettings {
    /// `theta^(-2i / width)` for `i < width / 2`, scaled; rounded to f32 as the published models are.
    pub fn frequencies(&self) -> Vec<f32> {
        (0..self.width / 2)
            .map(|i| {
                let exponent = 2.0 * i as f64 / self.width as f64;
                self.scaling.apply(1.0 / self.theta.powf(exponent)) as f32
            })
            .collect()
    }

    /// The rotation of tokens that stand at `positions`, one row of equal length for each sequence.
    pub(crate) fn at(&self, positions: &[Vec<usize>], device: &Device) -> Rotation {
        let frequencies = self.frequencies();
        let alike = positions.windows(2).all(|pair| pair[0] == pair[1]);
        let rows = if alike { &positions[..1] } else { positions };
        let count = rows.len() * rows[0].len() * frequencies.len();
        let (mut cosine, mut sine) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for &position in rows.iter().flatten() {
            for frequency in &frequencies {
                let (s, c) = f64::from(position as f32 * frequency).sin_cos();
                cosine.push(c as f32);
                sine.push(s as f32);
            }
        }
        let shape = [rows.len(), 1, rows[0].len(), frequencies.len()];
        Rotation {
            cosine: Tensor::from_data(TensorData::new(cosine, shape), device),
            sine: Tensor::from_data(TensorData::new(sine, shape), device),
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
}
