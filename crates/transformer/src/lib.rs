//! Transformer blocks shared by policy, reference, reward model and value model.
//!
//! One [`Decoder`], described by an [`Architecture`]; a head is a field: [`CausalLm`] has one over the vocabulary,
//! [`ScalarModel`] one to a single number. Every model works with autodiff (training) and without
//! ([`Module::valid`](burn::module::Module::valid), or a plain device); inputs are always without.
//!
//! # Example
//! ```
//! use burn::tensor::Device;
//! use preflab_config::{ModelSettings, SamplingSettings};
//! use preflab_transformer::{Architecture, CausalLm, Completions};
//!
//! let shape: ModelSettings = toml::from_str(
//!     "width = 16\nlayers = 1\nheads = 2\nkv_heads = 1\nfeedforward = 32\ncontext = 64",
//! )
//! .unwrap();
//! let model = CausalLm::init(&Architecture::new(&shape, 32), 7, &Device::flex());
//! let prompt = vec![5, 6, 7];
//! let sampled = &model.generate(&[prompt.clone()], &[1], &SamplingSettings::default(), &[2])[0];
//! let batch = Completions::new(&[(&prompt, &sampled.tokens)], &model.device());
//! let logps = model.completion_logps(&batch, 1.0).logps.into_data().to_vec::<f32>().unwrap();
//! assert!((logps[0] - sampled.logps[0]).abs() < 1e-5);
//! ```
//!
//! # Shapes
//! `b` rows, `t` tokens, `c` completion tokens, `n` tokens of all rows together, `d` model width, `h` heads, `g` key-value
//! heads, `e` head width, `v` vocabulary.
//!
//! # Conventions
//! Log-probabilities are natural logs, in nats. `mask` is 1 on what counts. Positions count from a row's first real
//! token. Decoders compute on real tokens alone, packed one row after the other: padding on either side changes nothing.
#![warn(missing_docs)]

mod architecture;
mod attention;
mod block;
mod cache;
mod causal_lm;
pub mod checkpoint;
mod completions;
mod decoder;
mod device;
mod dtype;
mod families;
mod generate;
mod init;
mod linear;
mod logps;
pub mod lora;
mod mlp;
mod narrow;
mod norm;
mod packed;
pub mod parity;
mod recompute;
mod rotary;
mod sampling;
mod scalar_model;
mod sequences;

pub use architecture::*;
pub use attention::Attention;
pub use block::Block;
pub use causal_lm::CausalLm;
pub use checkpoint::Model;
pub use completions::Completions;
pub use decoder::{Decoder, Embedding};
pub use device::{DEVICE_VARIABLE, DeviceChoice, DeviceError};
pub use families::Family;
pub use generate::Generation;
pub use linear::Linear;
pub use logps::TokenLogps;
pub use mlp::Mlp;
pub use norm::Norm;
pub use recompute::gradients;
pub use scalar_model::ScalarModel;
pub use sequences::{Sequences, Side};
