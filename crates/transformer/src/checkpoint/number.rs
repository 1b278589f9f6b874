//! Number types of saved weights.

use burn::tensor::{bf16, f16};
use safetensors::Dtype;

/// How the numbers of a checkpoint are stored. In memory they are f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Number {
    /// 32 bits.
    #[default]
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32, rounded.
    Bf16,
}

impl Number {
    pub(crate) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }

    pub(crate) fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    /// Its name in `config.json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Bytes of one number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|&b| f32::from_le_bytes(b))
                .collect(),
            Self::F16 => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&b| f16::from_le_bytes(b).to_f32())
                .collect(),
            Self::Bf16 => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&b| bf16::from_le_bytes(b).to_f32())
                .collect(),
        }
    }

    pub(crate) fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            Self::F16 => values
                .iter()
                .flat_map(|&value| f16::from_f32(value).to_le_bytes())
                .collect(),
            Self::Bf16 => values
                .iter()
                .flat_map(|&value| bf16::from_f32(value).to_le_bytes())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_undoes_encoding_of_what_can_be_stored() {
        let values = [0.0, -0.0, 1.0, -1.5, 0.3125, f32::INFINITY];
        for number in [Number::F32, Number::F16, Number::Bf16] {
            let bytes = number.encode(&values);
            assert_eq!(bytes.len(), values.len() * number.size());
            assert_eq!(number.decode(&bytes), values);
        }
    }

    #[test]
    fn bytes_are_those_of_the_formats() {
        assert_eq!(Number::F16.encode(&[1.0]), [0x00, 0x3c]);
        assert_eq!(Number::Bf16.encode(&[1.0]), [0x80, 0x3f]);
        assert_eq!(Number::F32.encode(&[1.0]), [0x00, 0x00, 0x80, 0x3f]);
    }
}
