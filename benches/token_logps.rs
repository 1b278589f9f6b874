//! Log-probabilities from hidden states.

use criterion::Criterion;
use preflab_kernels::token_logps;

use crate::support::{compare, ids, leaf};

/// Throughput in tokens.
pub(crate) fn bench(criterion: &mut Criterion) {
    for [n, d, v] in [[1024, 256, 4096], [2560, 96, 150]] {
        compare(
            criterion,
            "token_logps",
            &format!("{n}x{d}x{v}"),
            n,
            |device| {
                let (hidden, weight) = (leaf([n, d], device), leaf([d, v], device));
                let targets = ids(n, v);
                move || {
                    let weight = weight.clone().transpose();
                    token_logps(hidden.clone(), weight, targets.clone(), 1.0).0
                }
            },
        );
    }
}
