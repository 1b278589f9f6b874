//! Between number types.

use burn::tensor::{DType, Tensor};
use preflab_config::Precision;

/// `x` in numbers of type `dtype`; itself where it has them already.
pub(crate) fn cast<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    if x.dtype() == dtype { x } else { x.cast(dtype) }
}

/// `x` in 32-bit floats.
pub(crate) fn full<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    cast(x, DType::F32)
}

/// The number type that models compute in.
pub(crate) fn dtype_of(precision: Precision) -> DType {
    match precision {
        Precision::F32 => DType::F32,
        Precision::Bf16 => DType::BF16,
    }
}
