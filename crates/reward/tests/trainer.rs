//! What must not change an update of a reward model, and that it learns a preference.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use preflab_config::{
    BradleyTerry, Count, FlipProbability, ModelSettings, NonNegative, OptimizerSettings, Positive,
    RewardMargin, RewardObjective, RewardSettings,
};
use preflab_data::{TokenExample, TokenPair};
use preflab_metrics::{Memory, Metric};
use preflab_reward::{Judged, RewardTrainer, RewardUpdate, scores};
use preflab_training::{Minibatches, Order, Streams};
use preflab_transformer::{Architecture, ScalarModel};

const WANTED: u32 = 5;

fn model(seed: u64) -> ScalarModel {
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
    ScalarModel::init(
        &Architecture::new(&shape, 24),
        seed,
        &Device::flex().autodiff(),
    )
}

/// Pairs whose chosen completion holds the wanted token one to three times, and the other not; completions of 1 to 6 tokens.
fn pairs(count: usize) -> (Vec<TokenPair>, Vec<f64>) {
    let each = |i: usize| {
        let other = |t: usize| (6 + (i * 7 + t * 5) % 17) as u32;
        let wanted = 1 + i % 3;
        let chosen = (0..wanted + i % 4)
            .map(|t| if t < wanted { WANTED } else { other(t) })
            .collect();
        let pair = TokenPair {
            prompt: vec![2, 3 + i as u32 % 9],
            chosen,
            rejected: (0..1 + i % 6).map(other).collect(),
        };
        (pair, wanted as f64)
    };
    (0..count).map(each).unzip()
}

fn weights(model: &ScalarModel) -> Vec<f32> {
    struct All(Vec<f32>);
    impl ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            self.0.extend(parameter.val().into_data().iter::<f32>());
        }
    }
    let mut all = All(Vec::new());
    model.visit(&mut all);
    all.0
}

fn objectives() -> Vec<RewardObjective> {
    let plain = BradleyTerry::default();
    vec![
        RewardObjective::BradleyTerry(plain),
        RewardObjective::BradleyTerry(BradleyTerry {
            margin: RewardMargin::PerPair(NonNegative::of(0.5)),
            centre: NonNegative::of(0.01),
            label_smoothing: FlipProbability::of(0.1),
        }),
        RewardObjective::BradleyTerry(BradleyTerry {
            margin: RewardMargin::Constant(NonNegative::of(1.0)),
            ..plain
        }),
        RewardObjective::LogExp,
        RewardObjective::PlackettLuce,
    ]
}

/// One update on `taken`, in micro-batches of `micro`; steps nearly proportional to the gradient.
fn update(objective: RewardObjective, taken: &[usize], micro: usize) -> (RewardUpdate, Vec<f32>) {
    let (pairs, gold) = pairs(6);
    let settings = RewardSettings {
        objective,
        batch_size: Count::of(taken.len()),
        micro_batch_size: Some(Count::of(micro)),
        optimizer: OptimizerSettings {
            epsilon: Positive::of(1.0),
            ..OptimizerSettings::with_learning_rate(0.5)
        },
        ..RewardSettings::default()
    };
    let order = Order::Sequential {
        examples: pairs.len(),
        batch_size: taken.len(),
    };
    let mut trainer = RewardTrainer::new(model(1), &settings, order, pairs.len());
    let measured = trainer.step(
        taken,
        Judged {
            pairs: &pairs,
            gold_margins: Some(&gold),
        },
    );
    (measured, weights(trainer.model()))
}

#[test]
fn micro_batches_and_order_of_pairs_change_nothing() {
    for objective in objectives() {
        let (whole, after) = update(objective, &[0, 1, 2, 3, 4, 5], 6);
        for (order, micro) in [([0, 1, 2, 3, 4, 5], 1), ([4, 2, 5, 0, 3, 1], 4)] {
            let (other, other_after) = update(objective, &order, micro);
            assert!(
                (whole.grad_norm - other.grad_norm).abs() < 2e-6 * whole.grad_norm.max(1.0),
                "{objective:?}"
            );
            for (place, &pair) in order.iter().enumerate() {
                assert!(
                    (whole.losses[pair] - other.losses[place]).abs() < 2e-6,
                    "{objective:?}"
                );
                assert!(
                    (whole.scores.chosen[pair] - other.scores.chosen[place]).abs() < 2e-6,
                    "{objective:?}"
                );
            }
            let moved = after
                .iter()
                .zip(&other_after)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(moved < 2e-6, "{objective:?}: {moved}");
        }
    }
}

#[test]
fn scores_do_not_depend_on_the_batch_or_its_order() {
    let (pairs, _) = pairs(9);
    let examples: Vec<TokenExample> = pairs.iter().map(|pair| pair.examples().chosen).collect();
    let (together, work) = scores(&model(1), &examples, 100);
    let (alone, _) = scores(&model(1), &examples, 1);
    assert_eq!(work.reward_calls, 9);
    assert!(
        together
            .iter()
            .zip(&alone)
            .all(|(a, b)| (a - b).abs() < 1e-6)
    );
}

#[test]
fn a_reward_model_learns_the_preference() {
    let (train, gold) = pairs(60);
    let (held_out, held_out_gold) = (train[40..].to_vec(), gold[40..].to_vec());
    for objective in objectives() {
        let settings = RewardSettings {
            objective,
            epochs: Count::of(5),
            batch_size: Count::of(8),
            optimizer: OptimizerSettings::with_learning_rate(3e-3),
            evaluate_every: Count::of(10),
            ..RewardSettings::default()
        };
        let order = Order::Shuffled(Minibatches::new(Streams::new(1), 40, 8));
        let trainer = RewardTrainer::new(model(1), &settings, order, 40).watching(16);
        let updates = trainer.updates();
        let mut log = Memory::new();
        let data = Judged {
            pairs: &train[..40],
            gold_margins: Some(&gold[..40]),
        };
        let watched = Judged {
            pairs: &held_out,
            gold_margins: Some(&held_out_gold),
        };
        let run = trainer.run(data, watched, &mut log, &()).unwrap();
        let evaluation = run.evaluation.unwrap();
        assert_eq!((updates, run.work.updates), (25, 25));
        // The same looks, on held-out and on training pairs.
        let last = run.accuracy.points().last().unwrap();
        assert_eq!((last.step, last.passes), (25, 5.0));
        assert_eq!(last.held_out, evaluation.accuracy);
        assert!(last.train > 0.9, "{}", last.train);
        assert_eq!(log.series(Metric::AccuracyTrain).len(), 4);
        assert!(
            evaluation.accuracy > 0.9,
            "{objective:?}: {}",
            evaluation.accuracy
        );
        assert!(evaluation.accuracy_interval.low < evaluation.accuracy);
        assert!(evaluation.buckets.is_some());
        // Before the first update, after 10, 20 and the last.
        let curve: Vec<u64> = log
            .series(Metric::EvalLoss)
            .into_iter()
            .map(|(step, _)| step)
            .collect();
        assert_eq!(curve, [0, 10, 20, 25]);
        assert_eq!(log.series(Metric::Loss).len(), 25);
        assert!(log.last(Metric::EvalMargin).unwrap() > 0.0);
    }
}

#[test]
fn the_same_run_gives_bitwise_the_same_model() {
    let once = || update(RewardObjective::default(), &[0, 1, 2, 3], 2);
    assert_eq!(once(), once());
}

#[test]
fn a_centred_model_scores_around_zero() {
    let (train, _) = pairs(40);
    let level = |centre: f64| {
        let objective = BradleyTerry {
            centre: NonNegative::of(centre),
            ..BradleyTerry::default()
        };
        let settings = RewardSettings {
            objective: RewardObjective::BradleyTerry(objective),
            epochs: Count::of(6),
            batch_size: Count::of(8),
            optimizer: OptimizerSettings::with_learning_rate(3e-3),
            ..RewardSettings::default()
        };
        let order = Order::Sequential {
            examples: 40,
            batch_size: 8,
        };
        let trainer = RewardTrainer::new(model(5), &settings, order, 40);
        let mut log = Memory::new();
        let data = Judged {
            pairs: &train,
            gold_margins: None,
        };
        let nothing = Judged {
            pairs: &[],
            gold_margins: None,
        };
        let run = trainer.run(data, nothing, &mut log, &()).unwrap();
        assert!(run.evaluation.is_none());
        assert!(run.accuracy.points().is_empty());
        log.last(Metric::CenterLoss).unwrap()
    };
    let (free, centred) = (level(0.0), level(0.5));
    assert!(centred < 0.5 * free, "{free} {centred}");
}
