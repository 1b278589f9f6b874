//! Small models and readers.

use burn::tensor::{Device, Tensor};
use preflab_config::ModelSettings;
use preflab_transformer::{Architecture, CausalLm};

pub const VOCABULARY: usize = 40;

/// Two small blocks with grouped heads.
pub fn settings(tied: bool) -> ModelSettings {
    toml::from_str(&format!(
        "width = 24\nlayers = 2\nheads = 4\nkv_heads = 2\nfeedforward = 48\ncontext = 64\ntied = {tied}\ninitializer_range = 0.3"
    ))
    .unwrap()
}

pub fn architecture() -> Architecture {
    Architecture::new(&settings(true), VOCABULARY)
}

pub fn model() -> CausalLm {
    CausalLm::init(&architecture(), 11, &Device::flex())
}

pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().unwrap()
}

/// `count` token ids that differ from place to place.
pub fn tokens(count: usize, salt: usize) -> Vec<u32> {
    (0..count)
        .map(|i| ((i * 7 + salt * 13 + i * i * salt) % VOCABULARY) as u32)
        .collect()
}

#[track_caller]
pub fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance,
            "at {i}: {found}, expected {expected}"
        );
    }
}
