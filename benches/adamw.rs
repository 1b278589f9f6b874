//! The update of a parameter, and the norm of its gradient.

use std::cell::RefCell;
use std::hint::black_box;

use burn::tensor::{Device, Tensor};
use criterion::{Criterion, Throughput};
use preflab_kernels::{AdamwState, AdamwStep, adamw_update, global_norm, with_path};

use crate::support::{PATHS, leaf};

/// Throughput in parameters.
pub(crate) fn bench(criterion: &mut Criterion) {
    let n = 1 << 20;
    let device = Device::flex();
    let gradient = leaf([n], &device);
    let step = AdamwStep {
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        learning_rate: 1e-3,
        decay: 0.01,
        update: 10,
    };

    let mut group = criterion.benchmark_group(format!("adamw/{n}"));
    group.throughput(Throughput::Elements(n as u64));
    for (path, name) in PATHS {
        let zeros = || Tensor::<1>::zeros([n], &device);
        let state = AdamwState {
            parameter: leaf([n], &device),
            first: zeros(),
            second: zeros(),
        };
        let state = RefCell::new(Some(state));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let old = state.take().expect("the state of the last update");
                let new = with_path(path, || adamw_update(old, gradient.clone(), None, &step));
                state.replace(Some(new));
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group(format!("global_norm/{n}"));
    group.throughput(Throughput::Elements(n as u64));
    let parts = [gradient];
    for (path, name) in PATHS {
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| black_box(with_path(path, || global_norm(&parts)).into_scalar::<f32>()));
        });
    }
    group.finish();
}
