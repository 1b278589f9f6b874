//! The models that whole steps are timed on.

use burn::tensor::Device;
use preflab_config::ModelSettings;
use preflab_transformer::{Architecture, CausalLm};

/// A model with the batch it is timed on.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    settings: &'static str,
    pub(crate) vocabulary: usize,
    /// Sequences of a batch, and tokens of each.
    pub(crate) rows: usize,
    pub(crate) tokens: usize,
}

/// The shape of the side-by-side figures with other libraries, and one as in the quick experiments.
pub(crate) const SHAPES: [Shape; 2] = [
    Shape {
        name: "d256x6_8x128",
        settings: "width = 256\nlayers = 6\nheads = 8\nkv_heads = 4\nfeedforward = 688\ncontext = 256",
        vocabulary: 4096,
        rows: 8,
        tokens: 128,
    },
    Shape {
        name: "d96x3_64x40",
        settings: "width = 96\nlayers = 3\nheads = 4\nkv_heads = 2\nfeedforward = 256\ncontext = 64",
        vocabulary: 150,
        rows: 64,
        tokens: 40,
    },
];

impl Shape {
    /// Fresh weights.
    pub(crate) fn model(&self, device: &Device) -> CausalLm {
        let settings: ModelSettings = toml::from_str(self.settings).expect("a model's settings");
        CausalLm::init(&Architecture::new(&settings, self.vocabulary), 7, device)
    }

    /// `count` sequences of `length` tokens.
    pub(crate) fn sequences(&self, count: usize, length: usize) -> Vec<Vec<u32>> {
        let token = |row: usize, i: usize| ((row * 31 + i * 17) % self.vocabulary) as u32;
        (0..count)
            .map(|row| (0..length).map(|i| token(row, i)).collect())
            .collect()
    }
}
