//! What the benchmarks of all operations share.

use std::hint::black_box;

use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use criterion::{Criterion, Throughput};
use preflab_kernels::{Path, with_path};

/// Both ways to run an operation, with their names in reports.
pub(crate) const PATHS: [(Path, &str); 2] = [(Path::Fused, "fused"), (Path::Composed, "composed")];

/// Normal numbers; a leaf of the graph where the device has autodiff.
pub(crate) fn leaf<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let x = Tensor::random(shape, Distribution::Normal(0.0, 1.0), device);
    if device.is_autodiff() {
        x.require_grad()
    } else {
        x
    }
}

/// Token ids below `vocabulary`.
pub(crate) fn ids(n: usize, vocabulary: usize) -> Tensor<1, Int> {
    let ids: Vec<i64> = (0..n).map(|i| (i * 7919 % vocabulary) as i64).collect();
    Tensor::from_data(TensorData::new(ids, [n]), &Device::flex())
}

/// Times `operation/pass/shape/path` for both passes and both paths.
///
/// `make` prepares the operation on a device; what it returns is timed. `elements` are counted as throughput.
pub(crate) fn compare<F, const D: usize>(
    criterion: &mut Criterion,
    operation: &str,
    shape: &str,
    elements: usize,
    make: impl Fn(&Device) -> F,
) where
    F: Fn() -> Tensor<D>,
{
    let mut group = criterion.benchmark_group(format!("{operation}/forward/{shape}"));
    group.throughput(Throughput::Elements(elements as u64));
    let run = make(&Device::flex());
    for (path, name) in PATHS {
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(with_path(path, &run)));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group(format!("{operation}/training/{shape}"));
    group.throughput(Throughput::Elements(elements as u64));
    let run = make(&Device::flex().autodiff());
    for (path, name) in PATHS {
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(with_path(path, &run).sum().backward()));
        });
    }
    group.finish();
}
