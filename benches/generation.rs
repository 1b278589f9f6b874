//! Sampling with a cache: prompts of a quarter of the sequence, the rest generated.

use std::hint::black_box;

use burn::tensor::Device;
use criterion::{Criterion, Throughput};
use preflab_config::{Count, SamplingSettings};
use preflab_kernels::with_path;

use crate::models::SHAPES;
use crate::support::PATHS;

/// Throughput in generated tokens.
pub(crate) fn bench(criterion: &mut Criterion) {
    for shape in &SHAPES {
        let (rows, new) = (2 * shape.rows, shape.tokens * 3 / 4);
        let model = shape.model(&Device::flex());
        let prompts = shape.sequences(rows, shape.tokens - new);
        let seeds: Vec<u64> = (0..rows as u64).collect();
        let settings = SamplingSettings {
            max_tokens: Count::of(new),
            ..SamplingSettings::default()
        };
        let mut group = criterion.benchmark_group(format!("generation/{}", shape.name));
        group.throughput(Throughput::Elements((rows * new) as u64));
        for (path, name) in PATHS {
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    black_box(with_path(path, || {
                        model.generate(&prompts, &seeds, &settings, &[])
                    }))
                });
            });
        }
        group.finish();
    }
}
