//! Every method raises the score it is trained on, and a KL penalty holds it back.

mod common;

use common::{run, sampling};
use preflab_config::{
    Count, GrpoSettings, KlControl, NonNegative, OptimizerSettings, PolicyLoss, PpoSettings,
    RlooSettings,
};
use preflab_metrics::Metric;
use preflab_ppo::Recipe;

const BATCH: Count = Count::of(24);

fn fast() -> OptimizerSettings {
    OptimizerSettings::with_learning_rate(5e-3)
}

fn ppo(beta: f64) -> Recipe {
    let settings = PpoSettings {
        batch_size: BATCH,
        epochs: Count::of(2),
        optimizer: fast(),
        kl: KlControl::Fixed(NonNegative::of(beta)),
        ..PpoSettings::default()
    };
    Recipe::ppo(&settings, sampling(6, 1.0))
}

fn rloo() -> Recipe {
    let settings = RlooSettings {
        batch_size: BATCH,
        optimizer: fast(),
        kl: KlControl::Fixed(NonNegative::of(0.0)),
        ..RlooSettings::default()
    };
    Recipe::rloo(&settings, sampling(6, 1.0))
}

fn grpo(loss: PolicyLoss) -> Recipe {
    let settings = GrpoSettings {
        batch_size: BATCH,
        group_size: Count::of(6),
        epochs: Count::of(2),
        optimizer: fast(),
        policy_loss: loss,
        ..GrpoSettings::default()
    };
    Recipe::grpo(&settings, sampling(6, 1.0))
}

/// Mean score of the first and of the last three rollouts.
fn scores(recipe: Recipe, updates: usize) -> (f64, f64) {
    let log = run(recipe, updates).2;
    let scores = log.series(Metric::ObjectiveRawScores);
    let last = scores
        .iter()
        .rev()
        .take(3)
        .map(|(_, score)| score)
        .sum::<f64>()
        / 3.0;
    (scores[0].1, last)
}

#[test]
fn ppo_raises_the_score() {
    let (before, after) = scores(ppo(0.0), 40);
    assert!(after > before + 0.3, "{before} {after}");
}

#[test]
fn rloo_raises_the_score() {
    let (before, after) = scores(rloo(), 40);
    assert!(after > before + 0.3, "{before} {after}");
}

#[test]
fn grpo_raises_the_score() {
    let (before, after) = scores(grpo(PolicyLoss::default()), 40);
    assert!(after > before + 0.3, "{before} {after}");
}

#[test]
fn the_kl_penalty_holds_the_policy_near_the_reference() {
    let kl = |beta: f64| run(ppo(beta), 40).2.last(Metric::ObjectiveKlExact).unwrap();
    let (free, held) = (kl(0.0), kl(0.5));
    assert!(held < 0.5 * free, "{free} {held}");
}

#[test]
fn the_value_model_learns_the_returns() {
    let log = run(ppo(0.0), 40).2;
    let errors = log.series(Metric::ValError);
    let (first, last) = (errors[0].1, errors.last().unwrap().1);
    assert!(last < 0.1 * first, "{first} {last}");
    // Once the values beat a constant, they explain some of the variance.
    let explained = log.series(Metric::ValExplainedVariance);
    assert!(
        explained.iter().any(|&(_, share)| share > 0.2),
        "{explained:?}"
    );
}
