//! The gated activation.

use criterion::Criterion;
use preflab_kernels::swiglu;

use crate::support::{compare, leaf};

/// Throughput in numbers.
pub(crate) fn bench(criterion: &mut Criterion) {
    for [n, f] in [[1024, 688], [2560, 256]] {
        compare(criterion, "swiglu", &format!("{n}x{f}"), n * f, |device| {
            let (gate, up) = (leaf([n, f], device), leaf([n, f], device));
            move || swiglu(gate.clone(), up.clone())
        });
    }
}
