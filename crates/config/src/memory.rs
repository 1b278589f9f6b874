//! What is traded for memory, and in which numbers models compute.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is traded for memory. It changes neither losses nor gradients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySettings {
    /// Keep the input of each block alone, and compute the block once more when its gradient is wanted (Chen et al. 2016,
    /// [arXiv:1604.06174](https://arxiv.org/abs/1604.06174)): one more forward pass for the activations of one block
    /// instead of all. Default: off.
    pub recompute: bool,
}

impl MemorySettings {
    /// Whether nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The numbers that a model computes in. Weights, their optimiser, softmax and losses are always 32-bit floats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floats throughout.
    #[default]
    F32,
    /// Activations and matrix products in bfloat16, weights in 32-bit floats from which each product takes a rounded copy.
    Bf16,
}

impl Precision {
    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_32_bit_floats_and_nothing_recomputed() {
        let memory: MemorySettings = toml::from_str("").unwrap();
        assert!(memory.is_default() && !memory.recompute);
        #[derive(Deserialize)]
        struct Settings {
            precision: Precision,
        }
        let read = |text: &str| toml::from_str::<Settings>(text).map(|read| read.precision);
        assert_eq!(read("precision = \"bf16\"").unwrap(), Precision::Bf16);
        assert_eq!(read("precision = \"f32\"").unwrap(), Precision::default());
        let error = read("precision = \"f16\"").unwrap_err().to_string();
        assert!(error.contains("unknown variant `f16`"), "{error}");
    }
}
