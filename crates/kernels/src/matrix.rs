//! Flex's matrices as operands of products.

use burn::backend::TensorMetadata;
use burn::tensor::{Bytes, DType};
use burn_flex::{FlexTensor, Layout};

use crate::flex::unwritten;
use crate::gemm::{Output, View};

/// A matrix as it lies in memory.
pub(crate) fn view(matrix: &FlexTensor) -> View<'_> {
    let [rows, cols] = matrix.shape().dims();
    let layout = matrix.layout();
    let [row, col] = [layout.strides()[0], layout.strides()[1]]
        .map(|stride| usize::try_from(stride).expect("weights are not flipped"));
    View::strided(
        &matrix.storage::<f32>()[layout.start_offset()..],
        rows,
        cols,
        row,
        col,
    )
}

/// A new matrix of the shape and memory order of `matrix`. `fill` gets it as rows, and whether these are the columns of
/// `matrix`.
pub(crate) fn like(matrix: &FlexTensor, fill: impl FnOnce(Output, bool)) -> FlexTensor {
    let shape = matrix.shape();
    let [rows, cols] = shape.dims();
    let strides = matrix.layout().strides();
    let transposed = strides[0] == 1 && strides[1] != 1;
    let (lines, width) = if transposed {
        (cols, rows)
    } else {
        (rows, cols)
    };
    let mut values = unwritten(rows * cols);
    fill(Output::new(&mut values, lines, width), transposed);
    let strides = if transposed {
        vec![1, rows as isize]
    } else {
        vec![cols as isize, 1]
    };
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::new(shape, strides, 0),
        DType::F32,
    )
}
