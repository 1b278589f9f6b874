//! Rotary position embedding.

use burn::tensor::Device;
use criterion::Criterion;
use preflab_kernels::rotary;

use crate::support::{compare, leaf};

/// Throughput in numbers.
pub(crate) fn bench(criterion: &mut Criterion) {
    for [b, t, h, e] in [[8, 128, 8, 32], [64, 40, 4, 24]] {
        compare(
            criterion,
            "rotary",
            &format!("{}x{h}x{e}", b * t),
            b * t * h * e,
            |device| {
                let x = leaf([b * t, h, e], device);
                let angles = leaf([t, e / 2], &Device::flex());
                let (cosine, sine) = (angles.clone().cos(), angles.sin());
                // What is rotated in a model is a fresh product that nothing else holds.
                move || rotary(x.clone() * 1.0, cosine.clone(), sine.clone())
            },
        );
    }
}
