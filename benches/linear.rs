//! Products with the weights of the shapes that models use.

use criterion::Criterion;
use preflab_kernels::linear;

use crate::support::{compare, leaf};

/// Throughput in multiply-adds of the forward product.
pub(crate) fn bench(criterion: &mut Criterion) {
    for [n, i, o] in [
        [1024, 256, 688],
        [1024, 688, 256],
        [2560, 96, 256],
        [16, 256, 688],
    ] {
        compare(
            criterion,
            "linear",
            &format!("{n}x{i}x{o}"),
            n * i * o,
            |device| {
                let (x, weight) = (leaf([n, i], device), leaf([i, o], device));
                move || linear(x.clone(), weight.clone(), None)
            },
        );
    }
}
