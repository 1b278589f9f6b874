//! Checkpoint directories as Hugging Face's transformers writes and reads them, and exact weight files of our own.
//!
//! ```text
//! config.json                     the architecture; every family of [`Family`](crate::Family)
//! model.safetensors               weights in F32, F16 or BF16, or
//! model.safetensors.index.json      the names of several such files
//! generation_config.json          special tokens (written, not needed)
//! ```
//! Tokenizer files lie in the same directory and are not touched here. Nothing in a file is trusted: sizes and offsets are
//! checked against the length of the file before memory is taken, and a shard can only be a file of the same directory.

mod config;
mod error;
mod files;
mod form;
mod load;
mod number;
mod save;
mod slot;
mod weights;

pub use config::{Config, SpecialTokens};
pub use error::CheckpointError;
pub(crate) use files::{Tensors, read_json};
pub(crate) use form::Form;
pub use load::load;
pub use number::Number;
pub use save::{NamedTensors, SaveOptions, save, tensors};
pub(crate) use save::{not_written, write_json};
pub(crate) use slot::{BlockRole, Leaf, Role, Slot};
pub use weights::{load_weights, save_weights, weights_hash};

use burn::module::Module;
use burn::tensor::Device;
use preflab_config::{MemorySettings, Precision};

use crate::architecture::Architecture;
use crate::causal_lm::CausalLm;
use crate::decoder::Decoder;
use crate::init::Initializer;
use crate::linear::Linear;
use crate::scalar_model::ScalarModel;

/// A model with a head that checkpoints know: [`CausalLm`] or [`ScalarModel`].
pub trait Model: Module + sealed::Sealed {
    /// End of the name of transformers' class, as in `LlamaForCausalLM`.
    const CLASS: &'static str;

    /// The decoder.
    fn decoder(&self) -> &Decoder;

    /// The same model, computing in `precision`.
    fn with_precision(mut self, precision: Precision) -> Self {
        self.decoder_mut().set_precision(precision);
        self
    }

    /// The same model, trained with these savings of memory; [`gradients`](crate::gradients) takes the gradients of its
    /// losses.
    fn with_memory(mut self, memory: MemorySettings) -> Self {
        self.decoder_mut().set_recompute(memory.recompute);
        self
    }

    #[doc(hidden)]
    fn decoder_mut(&mut self) -> &mut Decoder;

    #[doc(hidden)]
    fn score(&self) -> Option<&Linear>;

    #[doc(hidden)]
    fn score_mut(&mut self) -> Option<&mut Linear>;

    #[doc(hidden)]
    fn with_trained_head(self) -> Self;

    #[doc(hidden)]
    fn unset(architecture: &Architecture, device: &Device) -> Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::CausalLm {}
    impl Sealed for crate::ScalarModel {}
}

impl Model for CausalLm {
    const CLASS: &'static str = "ForCausalLM";

    fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    fn decoder_mut(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    fn score(&self) -> Option<&Linear> {
        None
    }

    fn score_mut(&mut self) -> Option<&mut Linear> {
        None
    }

    fn with_trained_head(self) -> Self {
        self
    }

    fn unset(architecture: &Architecture, device: &Device) -> Self {
        let initializer = &mut Initializer::unset(device);
        let decoder = Decoder::init(architecture, initializer);
        let head = |initializer| {
            Linear::init(
                architecture.width,
                architecture.vocabulary,
                false,
                initializer,
            )
        };
        Self {
            decoder,
            lm_head: (!architecture.tied).then(|| head(initializer)),
        }
    }
}

impl Model for ScalarModel {
    const CLASS: &'static str = "ForSequenceClassification";

    fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    fn decoder_mut(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    fn score(&self) -> Option<&Linear> {
        Some(&self.score)
    }

    fn score_mut(&mut self) -> Option<&mut Linear> {
        Some(&mut self.score)
    }

    fn with_trained_head(mut self) -> Self {
        self.score.weight = self.score.weight.set_require_grad(true);
        self
    }

    fn unset(architecture: &Architecture, device: &Device) -> Self {
        let initializer = &mut Initializer::unset(device);
        let decoder = Decoder::init(architecture, initializer);
        Self {
            decoder,
            score: Linear::init(architecture.width, 1, false, initializer),
        }
    }
}
