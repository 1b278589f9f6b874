//! Tests of the whole program.

use preflab_config::{Count, ToySettings};

use crate::outcome::Outcome;
use crate::program;
use crate::simulate::simulate_on;
use crate::world::RESPONSES;

fn small() -> ToySettings {
    ToySettings {
        seeds: Count::of(3),
        epochs: Count::of(30),
        width: Count::of(16),
        ..ToySettings::default()
    }
}

/// `NaN` equal to itself.
fn bits(outcome: &Outcome) -> String {
    format!("{outcome:?}")
}

#[test]
fn threads_and_blocks_do_not_change_a_bit() {
    let settings = small();
    let one = simulate_on(&settings, 1, &|_, _| {}).unwrap();
    let blocks = ToySettings {
        seeds_at_once: Count::of(1),
        ..settings
    };
    let two = simulate_on(&blocks, 2, &|_, _| {}).unwrap();
    assert_eq!(bits(&one), bits(&two));
}

#[test]
fn a_run_among_many_is_the_run_alone() {
    let settings = small();
    let all = program::train(&settings, &[0, 1, 2]);
    for name in ["dpo", "kto", "reward-ppo"] {
        let alone = ToySettings {
            arms: [(name.to_owned(), settings.arms[name].clone())].into(),
            scenarios: vec![settings.scenarios[1]],
            ..settings.clone()
        };
        let alone = program::train(&alone, &[2]);
        let among = &all.cell(all.arm(name).unwrap(), 1)[2];
        assert_eq!(
            format!("{:?}", alone.runs[0]),
            format!("{among:?}"),
            "{name}"
        );
    }
}

#[test]
fn policies_are_distributions_before_and_after() {
    let outcome = program::train(&small(), &[0, 1]);
    for run in &outcome.runs {
        for policy in [&run.start, &run.end, &run.optimum] {
            for row in policy.chunks(RESPONSES) {
                let total: f64 = row.iter().map(|log| log.exp()).sum();
                assert!((total - 1.0).abs() < 1e-5, "{total}");
            }
        }
    }
}

#[test]
fn timing() {
    if std::env::var("TOY_TIMING").is_err() {
        return;
    }
    for at_once in [2usize, 4, 8, 16, 32] {
        let mut settings = ToySettings {
            seeds_at_once: Count::of(at_once),
            epochs: Count::of(100),
            ..ToySettings::default()
        };
        for drop in ["sft", "reward-pg", "reward-ppo"] {
            settings.arms.remove(drop);
        }
        let t = std::time::Instant::now();
        let o = simulate_on(&settings, 2, &|_, _| {}).unwrap();
        eprintln!("{at_once}: {:?} {}", t.elapsed(), o.runs.len());
    }
}
