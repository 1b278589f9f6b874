//! One supervised update: forward, backward, AdamW.

use std::cell::RefCell;

use burn::optim::GradientsParams;
use burn::tensor::Device;
use criterion::{Criterion, Throughput};
use preflab_config::OptimizerSettings;
use preflab_kernels::with_path;
use preflab_training::Optimizer;
use preflab_transformer::Completions;

use crate::models::SHAPES;
use crate::support::PATHS;

/// Throughput in tokens.
pub(crate) fn bench(criterion: &mut Criterion) {
    for shape in &SHAPES {
        let mut group = criterion.benchmark_group(format!("training_step/{}", shape.name));
        group.throughput(Throughput::Elements((shape.rows * shape.tokens) as u64));
        for (path, name) in PATHS {
            let device = Device::flex().autodiff();
            let sequences = shape.sequences(shape.rows, shape.tokens);
            let rows: Vec<(&[u32], &[u32])> = sequences.iter().map(|row| row.split_at(1)).collect();
            let batch = Completions::new(&rows, &device);
            let optimizer = Optimizer::new(OptimizerSettings::with_learning_rate(1e-3), 1_000_000);
            let state = RefCell::new(Some((shape.model(&device), optimizer)));
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    with_path(path, || {
                        let (mut model, mut optimizer) =
                            state.take().expect("the state of the last step");
                        let logps = model.completion_logps(&batch, 1.0).logps;
                        let gradients =
                            GradientsParams::from_grads(logps.sum().neg().backward(), &model);
                        optimizer.step(&mut model, gradients);
                        state.replace(Some((model, optimizer)));
                    });
                });
            });
        }
        group.finish();
    }
}
