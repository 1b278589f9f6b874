//! Low-rank adapters: `y = x W + (alpha / rank) (x A) B`, of which `A` and `B` alone are trained.
//!
//! Hu et al. 2021, [arXiv:2106.09685](https://arxiv.org/abs/2106.09685). [`attach`] gives a model adapters and freezes the
//! rest of it, but for the head of a scalar model; every trainer then trains what is left to train. [`merged`] folds them
//! into the weights, which saving a checkpoint and sampling do by themselves. [`save`] and [`load`] hold them as a directory
//! of PEFT, alone.
//!
//! ```
//! use burn::tensor::Device;
//! use preflab_config::{LoraSettings, ModelSettings};
//! use preflab_transformer::{Architecture, CausalLm, Family, lora};
//!
//! let shape: ModelSettings = toml::from_str(
//!     "width = 16\nlayers = 1\nheads = 2\nkv_heads = 1\nfeedforward = 32\ncontext = 64",
//! )
//! .unwrap();
//! let model = CausalLm::init(&Architecture::new(&shape, 32), 7, &Device::flex().autodiff());
//! let settings: LoraSettings = toml::from_str("rank = 2\nalpha = 4\ntargets = [\"q_proj\", \"v_proj\"]").unwrap();
//! let adapted = lora::attach(model, Family::Llama, &settings, 7).unwrap();
//! assert_eq!(lora::trained_parameters(&adapted), 2 * (16 + 16) + 2 * (16 + 8));
//! ```

mod adapter;
mod attach;
mod files;
mod projections;

pub use adapter::{Adapter, JointAdapter};
pub use attach::{LoraError, attach, is_adapted, merged, trained_parameters};
pub use files::{load, save};
