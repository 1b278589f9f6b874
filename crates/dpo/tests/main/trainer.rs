//! The trainer on a tiny model.

use burn::module::Module;
use burn::tensor::Device;
use preflab_config::{Count, DpoSettings, ModelSettings, Objective, OptimizerSettings};
use preflab_data::TokenPair;
use preflab_dpo::dynamics::{Dynamics, Probes};
use preflab_dpo::{
    AccuracyPairs, DpoTrainer, Measured, Monitoring, ReferenceError, ReferenceLogps, ScoredPairs,
    reference_logps,
};
use preflab_metrics::{Memory, Metric};
use preflab_training::{Minibatches, Order, Stream, Streams};
use preflab_transformer::checkpoint::weights_hash;
use preflab_transformer::{Architecture, CausalLm};

use crate::every_objective::every_objective;

const VOCABULARY: usize = 24;

fn policy(seed: u64) -> CausalLm {
    let shape: ModelSettings = toml::from_str(
        "width = 16\nlayers = 2\nheads = 2\nkv_heads = 1\nfeedforward = 32\ncontext = 64",
    )
    .unwrap();
    let architecture = Architecture::new(&shape, VOCABULARY);
    CausalLm::init(&architecture, seed, &Device::flex().autodiff())
}

/// Chosen completions count up, rejected ones down; lengths differ, also within a pair.
fn pairs() -> Vec<TokenPair> {
    let pair = |i: u32| {
        let chosen = (0..2 + i % 4).map(|t| 4 + (i + t) % 16).chain([1]);
        let rejected = (0..2 + (i * 3) % 5)
            .map(|t| 4 + (i + 20 - t) % 16)
            .chain([1]);
        TokenPair {
            prompt: (0..2 + i % 3).map(|t| 3 + (i * 5 + t) % 18).collect(),
            chosen: chosen.collect(),
            rejected: rejected.collect(),
        }
    };
    (0..8).map(pair).collect()
}

struct Data {
    pairs: Vec<TokenPair>,
    reference: Vec<ReferenceLogps>,
    gaps: Vec<f64>,
}

impl Data {
    fn new(pairs: Vec<TokenPair>, policy: &CausalLm) -> Self {
        let (reference, _) = reference_logps(&policy.valid(), &pairs, 3);
        Self {
            gaps: (0..pairs.len()).map(|i| 0.1 + i as f64 / 4.0).collect(),
            reference,
            pairs,
        }
    }

    fn scored(&self) -> ScoredPairs<'_> {
        ScoredPairs {
            pairs: &self.pairs,
            reference: &self.reference,
            score_gaps: Some(&self.gaps),
        }
    }
}

fn settings(objective: &Objective, micro: usize) -> DpoSettings {
    DpoSettings {
        objective: objective.clone(),
        batch_size: Count::of(8),
        micro_batch_size: Some(Count::of(micro)),
        optimizer: OptimizerSettings::with_learning_rate(3e-3),
    }
}

fn trainer(objective: &Objective, micro: usize) -> DpoTrainer {
    let order = Order::Sequential {
        examples: 8,
        batch_size: 8,
    };
    DpoTrainer::new(policy(5), &settings(objective, micro), order, 4)
}

/// A reference that the policy has already moved away from.
fn moved() -> Data {
    Data::new(pairs(), &policy(9))
}

fn assert_same(name: &str, a: &Measured, b: &Measured, tolerance: f64) {
    let close = |what: &str, a: f64, b: f64| {
        let error = (a - b).abs() / b.abs().max(1e-2);
        assert!(error < tolerance, "{name}: {what}: {a} {b}");
    };
    close("loss", a.loss(), b.loss());
    close("grad_norm", a.grad_norm, b.grad_norm);
    close("margin", a.mean_rewards().chosen, b.mean_rewards().chosen);
    close("logps", a.mean_logps().rejected, b.mean_logps().rejected);
    close("entropy", a.mean_entropy(), b.mean_entropy());
    let slopes = |m: &Measured| [m.slopes.chosen.clone(), m.slopes.rejected.clone()].concat();
    for (x, y) in slopes(a).into_iter().zip(slopes(b)) {
        close("slope", x, y);
    }
}

#[test]
fn micro_batches_of_one_are_one_micro_batch() {
    let data = moved();
    let all: Vec<usize> = (0..8).collect();
    for (name, objective) in every_objective() {
        let mut whole = trainer(&objective, 8);
        let mut parts = trainer(&objective, 1);
        for _ in 0..2 {
            let a = whole.step(&all, data.scored(), true);
            let b = parts.step(&all, data.scored(), true);
            assert_same(&name, &b, &a, 2e-4);
            let logits = |m: &Measured| m.logits.unwrap().mean_logits().rejected;
            assert!((logits(&a) - logits(&b)).abs() < 1e-5, "{name}");
        }
    }
}

#[test]
fn the_order_of_pairs_in_an_update_changes_nothing() {
    let data = moved();
    for (name, objective) in every_objective() {
        let straight = trainer(&objective, 8).step(&[0, 1, 2, 3, 4], data.scored(), false);
        let shuffled = trainer(&objective, 8).step(&[3, 0, 4, 1, 2], data.scored(), false);
        let norms = straight.grad_norm - shuffled.grad_norm;
        assert!(norms.abs() < 1e-4 * straight.grad_norm, "{name}");
        let losses = straight.loss() - shuffled.loss();
        assert!(
            losses.abs() < 1e-5 * straight.loss().abs().max(1.0),
            "{name}"
        );
    }
}

#[test]
fn at_the_start_every_margin_is_exactly_zero_whatever_the_batches() {
    let start = policy(5);
    let data = Data::new(pairs(), &start);
    let objective = Objective::default();
    for micro in [1, 3, 8] {
        let measured = trainer(&objective, micro).measure(&[0, 1, 2, 3, 4, 5, 6, 7], data.scored());
        assert!(
            measured.margins().iter().all(|&margin| margin == 0.0),
            "{micro}"
        );
        assert!(
            measured
                .losses
                .iter()
                .all(|&loss| loss as f32 == std::f32::consts::LN_2)
        );
        let updated = trainer(&objective, micro).step(&[7, 2, 5], data.scored(), false);
        assert!(
            updated.margins().iter().all(|&margin| margin == 0.0),
            "{micro}"
        );
    }
    trainer(&objective, 8)
        .check_start(data.scored(), 8)
        .unwrap();
}

#[test]
fn a_reference_that_is_not_the_start_is_refused() {
    let data = moved();
    let trainer = trainer(&Objective::default(), 8);
    let error = trainer.check_start(data.scored(), 3).unwrap_err();
    assert!(matches!(error, ReferenceError::OtherPolicy { pair: 0, .. }));
    assert!(error.to_string().contains("hint:"), "{error}");
    let short = ScoredPairs {
        reference: &data.reference[..3],
        ..data.scored()
    };
    let error = trainer.check_start(short, 3).unwrap_err().to_string();
    assert!(error.contains("3 rows for 8 pairs"), "{error}");
    let mut other = pairs();
    other[4].chosen.push(1);
    let other = ScoredPairs {
        pairs: &other,
        ..data.scored()
    };
    let error = trainer.check_start(other, 3).unwrap_err().to_string();
    assert!(error.contains("pair 4"), "{error}");
}

#[test]
fn the_neighbours_of_a_pair_do_not_change_what_is_said_to_it() {
    let data = moved();
    let trainer = trainer(&Objective::default(), 8);
    let together = trainer.measure(&[0, 1, 2, 3, 4, 5, 6, 7], data.scored());
    for pair in 0..8 {
        let alone = trainer.measure(&[pair], data.scored());
        assert_eq!(alone.logps.chosen[0], together.logps.chosen[pair]);
        assert_eq!(alone.slopes.rejected[0], together.slopes.rejected[pair]);
    }
}

#[test]
fn every_objective_raises_its_own_accuracy_or_lowers_its_loss() {
    let start = policy(5);
    let data = Data::new(pairs(), &start);
    let all: Vec<usize> = (0..8).collect();
    for (name, objective) in every_objective() {
        let order = Order::Sequential {
            examples: 8,
            batch_size: 8,
        };
        let mut trainer = DpoTrainer::new(policy(5), &settings(&objective, 8), order, 12);
        let before = trainer.measure(&all, data.scored());
        for update in 0..12 {
            trainer.update(update, data.scored(), false);
        }
        let after = trainer.measure(&all, data.scored());
        let learnt = after.loss() < before.loss() || after.accuracy() > before.accuracy();
        assert!(learnt, "{name}: {} -> {}", before.loss(), after.loss());
    }
}

#[test]
fn bco_shifts_by_the_mean_of_all_rewards_so_far_the_present_ones_among_them() {
    let data = moved();
    let bco = every_objective()
        .into_iter()
        .find(|(name, _)| name == "bco")
        .unwrap()
        .1;
    let mut trainer = trainer(&bco, 8);
    let first = trainer.step(&[0, 1], data.scored(), false);
    let rewards = [first.rewards.chosen.clone(), first.rewards.rejected.clone()].concat();
    let shift = rewards.iter().sum::<f64>() / 4.0;
    let by_hand = |chosen: f64, rejected: f64| {
        let loss = |logit: f64| (-logit).exp().ln_1p();
        loss(chosen - shift) + loss(shift - rejected)
    };
    let expected = by_hand(first.rewards.chosen[0], first.rewards.rejected[0]);
    assert!((first.losses[0] - expected).abs() < 1e-6);
}

fn run(seed: u64) -> (String, Memory) {
    let start = policy(5);
    let data = Data::new(pairs(), &start);
    let held_out = Data::new(pairs()[..3].to_vec(), &start);
    let streams = Streams::new(seed);
    let unseen = vec![Some(vec![6, 7, 1]); 8];
    let probes = Probes::new(
        &data.pairs,
        &unseen,
        3,
        VOCABULARY,
        &mut streams.rng(Stream::Probes, 0),
    );
    let order = Order::Shuffled(Minibatches::new(streams, 8, 4));
    let mut settings = settings(&Objective::default(), 4);
    settings.batch_size = Count::of(4);
    let dynamics = Dynamics::new(probes, &start.valid());
    let trainer = DpoTrainer::new(start, &settings, order, 6);
    let monitoring = Monitoring {
        held_out: held_out.scored(),
        probe_pairs: data.scored(),
        dynamics: &dynamics,
        accuracy: AccuracyPairs {
            held_out: held_out.scored(),
            train: data.scored(),
        },
        every: 2,
        answers: None,
        first: 0,
    };
    let mut log = Memory::new();
    let trained = trainer
        .run(6, data.scored(), monitoring, &mut log, &())
        .unwrap();
    assert_eq!(trained.work().updates, 6);
    (weights_hash(&trained.into_policy().valid()), log)
}

#[test]
fn the_same_seed_gives_bitwise_the_same_run() {
    let ((first, a), (second, b)) = (run(3), run(3));
    assert_eq!(first, second);
    let reproducible = |log: &Memory| -> Vec<_> {
        let scalars = log.scalars.iter();
        scalars
            .filter(|(_, metric, _)| metric.reproducible())
            .map(|(step, metric, value)| (*step, *metric, value.to_bits()))
            .collect()
    };
    assert_eq!(reproducible(&a), reproducible(&b));
    assert_ne!(run(4).0, first);
}

#[test]
fn a_run_logs_what_trl_logs_and_the_papers_quantities() {
    let (_, log) = run(3);
    for metric in [
        Metric::Loss,
        Metric::RewardsChosen,
        Metric::RewardsRejected,
        Metric::RewardsAccuracies,
        Metric::RewardsMargins,
        Metric::LogpsChosen,
        Metric::LogpsRejected,
        Metric::GradNorm,
        Metric::LearningRate,
        Metric::Entropy,
        Metric::NumTokens,
        Metric::Epoch,
        Metric::DynamicsLogGradientChosen,
        Metric::DynamicsLogGradientRejected,
        Metric::DynamicsLogGradientRatio,
    ] {
        let steps: Vec<u64> = log.series(metric).iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [1, 2, 3, 4, 5, 6], "{metric:?}");
    }
    for metric in [
        Metric::DynamicsChangeChosen,
        Metric::DynamicsChangeRejected,
        Metric::DynamicsChangeUnseen,
        Metric::DynamicsChangeOtherPrompts,
        Metric::DynamicsChangeRandom,
        Metric::DynamicsMassOutside,
        Metric::DynamicsTokenGainMax,
        Metric::DynamicsTokenGainOutside,
        Metric::DynamicsGradientNormChosen,
        Metric::DynamicsGradientCosine,
        Metric::DynamicsChes,
        Metric::EvalRewardsAccuracies,
        Metric::AccuracyHeldOut,
        Metric::AccuracyTrain,
        Metric::AccuracyGap,
    ] {
        let series = log.series(metric);
        let steps: Vec<u64> = series.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [0, 2, 4, 6], "{metric:?}");
        assert!(
            series.iter().all(|(_, value)| value.is_finite()),
            "{metric:?}"
        );
    }
    for metric in [Metric::LogitsChosen, Metric::MeanTokenAccuracy] {
        assert_eq!(log.series(metric).len(), 3, "{metric:?}");
    }
    // nothing has changed at step 0, and the first loss is DPO's at the reference
    assert_eq!(log.series(Metric::DynamicsChangeChosen)[0], (0, 0.0));
    assert_eq!(log.series(Metric::DynamicsMassOutside)[0].1, 0.0);
    let (_, first) = log.series(Metric::Loss)[0];
    assert!((first - std::f64::consts::LN_2).abs() < 1e-6);
    assert_eq!(log.texts.len(), 4);
}

/// Corollary 1 of arXiv:2406.07327 on a real model: `|dl/dπ_l| / |dl/dπ_w| = π_w / π_l`.
#[test]
fn the_gradient_ratio_of_dpo_is_the_likelihood_ratio() {
    let data = moved();
    let measured = trainer(&Objective::default(), 8).measure(&[0, 1, 2, 3], data.scored());
    let expected: Vec<f64> = (0..4)
        .map(|i| measured.logps.chosen[i] - measured.logps.rejected[i])
        .collect();
    let expected = expected.iter().sum::<f64>() / 4.0;
    assert!((measured.log_gradient_ratio() - expected).abs() < 1e-4);
}
