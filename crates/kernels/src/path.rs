//! The choice between the kernels of this crate and burn's own operations.

use std::cell::Cell;
use std::sync::OnceLock;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Tensor};

/// How the operations of this crate run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// By the kernels written here, where there is one for the device and the number type.
    Fused,
    /// Composed of burn's own operations.
    Composed,
}

thread_local! {
    static HERE: Cell<Option<Path>> = const { Cell::new(None) };
}

/// The path in force on this thread: that of the innermost [`with_path`], or else [`Path::Composed`] if the environment
/// variable `PREFLAB_KERNELS` is `composed`, or else [`Path::Fused`].
///
/// # Panics
/// If the variable is neither `composed` nor `fused`.
pub fn path() -> Path {
    static DEFAULT: OnceLock<Path> = OnceLock::new();
    HERE.get().unwrap_or_else(|| {
        *DEFAULT.get_or_init(|| match std::env::var("PREFLAB_KERNELS").as_deref() {
            Ok("composed") => Path::Composed,
            Ok("fused") | Err(_) => Path::Fused,
            Ok(other) => panic!("PREFLAB_KERNELS is `fused` or `composed`, found `{other}`"),
        })
    })
}

/// Runs `f` with `path` in force on this thread. A backward pass follows the path of its forward pass.
pub fn with_path<T>(path: Path, f: impl FnOnce() -> T) -> T {
    struct Restore(Option<Path>);
    impl Drop for Restore {
        fn drop(&mut self) {
            HERE.set(self.0);
        }
    }
    let _restore = Restore(HERE.replace(Some(path)));
    f()
}

/// Whether a kernel of this crate takes `x`.
pub(crate) fn fused<const D: usize>(x: &Tensor<D>) -> bool {
    path() == Path::Fused
        && x.dtype() == DType::F32
        && matches!(x.device().inner().as_dispatch(), DispatchDevice::Flex(_))
}
