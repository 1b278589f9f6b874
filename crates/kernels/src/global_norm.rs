//! Length of a gradient.

use burn::backend::Flex;
use burn::tensor::Tensor;

use crate::flex::{contiguous, floats, tensor};
use crate::path::fused;
use crate::rows;
use crate::simd::{Level, vectorised};

/// `√(Σ x²)` over all elements of all of `parts`, `[1]`.
///
/// Summed in 64 bits where a kernel runs, and in the number type of `parts` elsewhere.
///
/// # Panics
/// If there are no parts.
pub fn global_norm(parts: &[Tensor<1>]) -> Tensor<1> {
    assert!(!parts.is_empty(), "the norm of at least one tensor");
    if parts.iter().all(fused) {
        let sum: f64 = parts.iter().map(sum_of_squares).sum();
        let norm = tensor(vec![sum.sqrt() as f32], [1].into());
        return Tensor::from_primitive::<Flex>(norm);
    }
    let squares = parts
        .iter()
        .map(|part| part.clone().square().sum())
        .reduce(|sum, part| sum + part);
    squares.expect("checked above").sqrt()
}

fn sum_of_squares(x: &Tensor<1>) -> f64 {
    let x = contiguous(
        x.clone()
            .try_into_primitive::<Flex>()
            .expect("a tensor on flex without autodiff"),
    );
    let x = floats(&x);
    rows::map(x.len(), 1, |part| squares(Level::best(), &x[part]))
        .into_iter()
        .sum()
}

vectorised! {
    fn squares(x: &[f32]) -> f64 {
        /// Enough to keep a few vectors of 64-bit sums busy.
        const LANES: usize = 32;
        let mut lanes = [0.0f64; LANES];
        let (blocks, rest) = x.as_chunks::<LANES>();
        for block in blocks {
            for (lane, x) in lanes.iter_mut().zip(block) {
                let x = f64::from(*x);
                *lane += x * x;
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(*x) * f64::from(*x);
        }
        lanes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::{Path, with_path};
    use crate::testing::{normal, values};

    #[test]
    fn fused_equals_composed_and_the_definition() {
        let parts = [1, 33, 50_000].map(|n| normal(vec![n], n as u64));
        let exact = parts
            .iter()
            .flatten()
            .map(|&x| f64::from(x) * f64::from(x))
            .sum::<f64>()
            .sqrt();
        let tensors = parts.map(values);
        for path in [Path::Fused, Path::Composed] {
            let norm = with_path(path, || global_norm(&tensors)).into_scalar::<f32>();
            assert!(
                (f64::from(norm) / exact - 1.0).abs() < 1e-6,
                "{path:?}: {norm} against {exact}"
            );
        }
    }
}
