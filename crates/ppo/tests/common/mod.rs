//! A small policy and value model, and a task that is easy to score.

use burn::tensor::Device;
use preflab_config::{BudgetSettings, Count, ModelSettings, Positive, SamplingSettings};
use preflab_data::TokenExample;
use preflab_metrics::Memory;
use preflab_ppo::{PolicyGradient, Recipe, Scored};
use preflab_training::{Streams, Work};
use preflab_transformer::{Architecture, CausalLm, ScalarModel};

pub const EOS: u32 = 1;
/// The token whose share in a completion is the score.
pub const WANTED: u32 = 5;

pub fn architecture() -> Architecture {
    let shape = ModelSettings {
        width: Count::of(32),
        layers: Count::of(2),
        heads: Count::of(4),
        kv_heads: Count::of(2),
        feedforward: Count::of(48),
        context: Count::of(64),
        rope_theta: Positive::of(10_000.0),
        norm_epsilon: Positive::of(1e-6),
        tied: false,
        initializer_range: Positive::of(0.15),
    };
    Architecture::new(&shape, 24)
}

/// A policy to be trained.
pub fn policy(seed: u64) -> CausalLm {
    CausalLm::init(&architecture(), seed, &Device::flex().autodiff())
}

/// A value model to be trained.
pub fn value(seed: u64) -> ScalarModel {
    ScalarModel::init(&architecture(), seed, &Device::flex().autodiff())
}

pub fn prompts() -> Vec<Vec<u32>> {
    (0..12)
        .map(|i| vec![2, 3 + i % 5, 8 + i % 7, 4 + i % 3][..2 + i as usize % 3].to_vec())
        .collect()
}

pub fn sampling(max_tokens: usize, temperature: f64) -> SamplingSettings {
    SamplingSettings {
        max_tokens: Count::of(max_tokens),
        temperature: Positive::of(temperature),
        ..SamplingSettings::default()
    }
}

/// The share of [`WANTED`] among the tokens of each completion.
pub fn share_of_wanted(_: &[usize], rows: &[TokenExample]) -> Scored {
    let share = |row: &TokenExample| {
        row.completion
            .iter()
            .filter(|&&token| token == WANTED)
            .count() as f64
            / row.completion.len() as f64
    };
    Scored {
        rewards: rows.iter().map(share).collect(),
        gold: None,
        work: Work {
            reward_calls: rows.len() as u64,
            ..Work::default()
        },
    }
}

/// A whole run.
pub fn run(recipe: Recipe, updates: usize) -> (CausalLm, Work, Memory) {
    run_within(recipe, BudgetSettings::Updates(Count::of(updates)))
}

/// A whole run within a budget.
pub fn run_within(recipe: Recipe, budget: BudgetSettings) -> (CausalLm, Work, Memory) {
    let trainer = PolicyGradient::new(
        recipe,
        policy(3),
        Some(value(4)),
        &share_of_wanted,
        vec![EOS],
        Streams::new(11),
        budget,
    );
    let mut log = Memory::new();
    let (policy, work) = trainer.run(&prompts(), &mut log, &()).unwrap();
    (policy, work, log)
}
