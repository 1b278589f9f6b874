//! Fused tensor operations with their own backward pass, for the CPU.
//!
//! Each operation is a plain function on burn's [`Tensor`](burn::tensor::Tensor), with or without autodiff. On burn's
//! flex backend with 32-bit floats it runs a kernel written here; elsewhere, or where [`Path::Composed`] is chosen, it is
//! composed of burn's own operations. Both routes agree to rounding, in values and in gradients.
//!
//! # Shapes
//!
//! `n` tokens (of all rows together), `d` model width, `h` query heads, `g` key-value heads, `e` head width, `v`
//! vocabulary, `f` feed-forward width.
//!
//! # Reproducibility
//!
//! Kernels are compiled for AVX-512, AVX2 and the target's baseline, and chosen when the program runs ([`Level`]). Every
//! sum has one fixed order, whatever the number of threads and the width of the vectors: results are bitwise equal across
//! runs, numbers of threads, and machines with fused multiply-add. Without it they agree to rounding. What a token gives
//! does not depend on the other tokens of a batch.
//!
//! # Threads
//!
//! Work is shared between the threads of rayon's current pool. Call from within one (`ThreadPool::install`): from outside,
//! every operation wakes a thread and waits for it.
//!
//! # Adding an operation
//!
//! One file: the public function, its composed form, the extension trait with the flex kernel, and a test that compares
//! the two (see [`rms_norm()`]).

mod adamw;
mod attention;
mod flex;
mod gemm;
mod global_norm;
mod linear;
mod matrix;
mod path;
mod rms_norm;
mod rotary;
mod rows;
mod scratch;
mod simd;
mod swiglu;
mod token_logps;
mod transpose;
mod vector;

#[cfg(test)]
mod testing;

pub use adamw::{AdamwState, AdamwStep, adamw_update};
pub use attention::{AttentionSettings, Segment, Segments, attention};
pub use global_norm::global_norm;
pub use linear::linear;
pub use path::{Path, path, with_path};
pub use rms_norm::rms_norm;
pub use rotary::rotary;
pub use simd::Level;
pub use swiglu::swiglu;
pub use token_logps::token_logps;
