//! The toy model: many runs as one tensor program beside a loop that trains one run at a time.

use criterion::{Criterion, Throughput};
use preflab_config::{Count, ToyFit, ToyReward, ToyScenario, ToySettings};

/// Updates of a measurement.
const EPOCHS: usize = 50;

/// Throughput in updates of single runs, on one thread. `benches/peers/toy_torch.py` measures the same loop in PyTorch.
pub(crate) fn bench(criterion: &mut Criterion) {
    let short = ToySettings {
        epochs: Count::of(EPOCHS),
        observe_every: Count::of(EPOCHS),
        fit: ToyFit {
            epochs: Count::of(1),
            ..ToyFit::default()
        },
        reward: ToyReward {
            epochs: Count::of(1),
            ..ToyReward::default()
        },
        ..ToySettings::default()
    };
    let mut batched = ToySettings {
        seeds: Count::of(8),
        seeds_at_once: Count::of(8),
        ..short.clone()
    };
    // The eight objectives over pairs.
    batched
        .arms
        .retain(|name, _| name != "sft" && !name.starts_with("reward-"));
    let mut single = ToySettings {
        seeds: Count::of(1),
        scenarios: vec![ToyScenario::BothOff],
        ..short
    };
    single.arms.retain(|name, _| name == "dpo");

    let mut group = criterion.benchmark_group("toy/updates of runs");
    for (name, settings) in [("batched", &batched), ("one run", &single)] {
        let runs = settings.arms.len() * settings.scenarios.len() * settings.seeds.get();
        group.throughput(Throughput::Elements((runs * EPOCHS) as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| preflab_toy::simulate(settings, &|_, _| {}).expect("settings of ours"));
        });
    }
    group.finish();
}
