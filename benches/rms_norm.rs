//! Root-mean-square normalisation.

use criterion::Criterion;
use preflab_kernels::rms_norm;

use crate::support::{compare, leaf};

/// Throughput in numbers.
pub(crate) fn bench(criterion: &mut Criterion) {
    for [n, d] in [[1024, 256], [2560, 96]] {
        compare(
            criterion,
            "rms_norm",
            &format!("{n}x{d}"),
            n * d,
            |device| {
                let (x, gamma) = (leaf([n, d], device), leaf([d], device));
                move || rms_norm(x.clone(), gamma.clone(), 1e-6)
            },
        );
    }
}
