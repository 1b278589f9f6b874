//! What must not change a policy-gradient update, and what it must start from.

mod common;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use common::{policy, run, run_within, sampling, share_of_wanted, value};
use preflab_config::{
    Aggregation, BudgetSettings, Count, Fraction, GrpoSettings, KlControl, KlEstimator, KlGradient,
    KlLoss, NonNegative, OldLogps, OptimizerSettings, PolicyLoss, Positive, PpoSettings,
    RatioBounds, RatioClip, ReferencePolicy, RlooSettings, RolloutCorrection, Sapo, ScorePosition,
    ValueClip, WeightBounds, Whitening,
};
use preflab_data::TokenExample;
use preflab_metrics::Metric;
use preflab_ppo::{Critic, Experience, PolicyLearner, PolicyObjective, Recipe, ValueTargets};

/// All weights of a module, one after the other.
fn weights<M: Module>(module: &M) -> Vec<f32> {
    struct All(Vec<f32>);
    impl ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            self.0.extend(parameter.val().into_data().iter::<f32>());
        }
    }
    let mut all = All(Vec::new());
    module.visit(&mut all);
    all.0
}

/// The largest absolute difference.
fn distance(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter()
        .zip(right)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// Completions of different lengths with made-up advantages.
fn experience() -> Experience {
    let lengths = [5, 1, 3, 7, 2, 4];
    let row = |i: usize, f: fn(usize, usize) -> f64| -> Vec<f64> {
        (0..lengths[i]).map(|t| f(i, t)).collect()
    };
    let rows = |f: fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
        (0..lengths.len()).map(|i| row(i, f)).collect()
    };
    let example = |i: usize| TokenExample {
        prompt: vec![2, 3 + i as u32, 7],
        completion: (0..lengths[i])
            .map(|t| ((i * 5 + t * 3) % 20 + 2) as u32)
            .collect(),
    };
    Experience {
        examples: (0..lengths.len()).map(example).collect(),
        old_logps: rows(|i, t| -3.0 - 0.1 * (i as f64) + 0.2 * (t as f64).sin()),
        reference_logps: rows(|i, t| -3.1 + 0.05 * (i as f64) * (t as f64).cos()),
        advantages: rows(|i, t| ((i * 7 + t * 3) as f64).sin()),
        weights: None,
        targets: Some(ValueTargets {
            values: rows(|i, t| 0.3 * ((i + t) as f64).cos()),
            returns: rows(|i, t| 0.5 * ((2 * i + t) as f64).sin()),
        }),
    }
}

/// AdamW whose steps are nearly proportional to the gradient: with a tiny epsilon, rounding of a gradient near 0 would
/// decide the sign of a step.
fn proportional() -> OptimizerSettings {
    OptimizerSettings {
        epsilon: Positive::of(1.0),
        ..OptimizerSettings::with_learning_rate(0.5)
    }
}

fn every_policy_loss() -> Vec<PolicyLoss> {
    let bounds = RatioBounds {
        low: NonNegative::of(0.2),
        high: NonNegative::of(0.28),
    };
    vec![
        PolicyLoss::Clipped(RatioClip::default()),
        PolicyLoss::Clipped(RatioClip {
            low: NonNegative::of(0.1),
            high: NonNegative::of(0.3),
            dual: Some(Positive::of(2.0)),
        }),
        PolicyLoss::Gspo(bounds),
        PolicyLoss::GspoToken(bounds),
        PolicyLoss::Reinforce,
        PolicyLoss::Cispo(bounds),
        PolicyLoss::Sapo(Sapo::default()),
        PolicyLoss::GeoMean(bounds),
        PolicyLoss::Dro(Positive::of(0.1)),
    ]
}

const AGGREGATIONS: [Aggregation; 5] = [
    Aggregation::TokenMean,
    Aggregation::TokenSum,
    Aggregation::SequenceMeanTokenSum,
    Aggregation::SequenceMeanTokenMean,
    Aggregation::SequenceMeanTokenSumNorm(Count::of(8)),
];

fn objective(
    loss: PolicyLoss,
    aggregation: Aggregation,
    estimator: KlEstimator,
) -> PolicyObjective {
    PolicyObjective {
        loss,
        aggregation,
        entropy_coefficient: 0.01,
        kl_loss: Some(KlLoss {
            coefficient: NonNegative::of(0.1),
            estimator,
            gradient: KlGradient::Own,
        }),
        temperature: 0.8,
    }
}

/// Total loss, gradient norm and weights after one update, in parts of `micro` rows of `order`.
fn one_update(objective: PolicyObjective, order: &[usize], micro: usize) -> (f64, f64, Vec<f32>) {
    let experience = experience();
    let reference = burn::module::Module::valid(&policy(9));
    let mut learner = PolicyLearner::new(policy(3), proportional(), objective, 1);
    let totals = experience.totals(order);
    let parts = order.chunks(micro).map(|rows| {
        learner
            .accumulate(&experience, rows, totals, 1.0, &reference)
            .total
    });
    let total = parts.sum();
    let norm = learner.gradient_norm();
    learner.step();
    (total, norm, weights(learner.policy()))
}

fn assert_same(name: &str, one: &(f64, f64, Vec<f32>), other: &(f64, f64, Vec<f32>)) {
    let scale = one.0.abs().max(1.0);
    assert!(
        (one.0 - other.0).abs() < 2e-6 * scale,
        "{name}: loss {} {}",
        one.0,
        other.0
    );
    assert!(
        (one.1 - other.1).abs() < 2e-6 * one.1.max(1.0),
        "{name}: norm {} {}",
        one.1,
        other.1
    );
    assert!(
        distance(&one.2, &other.2) < 2e-6,
        "{name}: weights {}",
        distance(&one.2, &other.2)
    );
}

#[test]
fn micro_batches_and_order_of_completions_change_nothing() {
    let (order, other) = ([0, 1, 2, 3, 4, 5], [4, 2, 5, 0, 3, 1]);
    for loss in every_policy_loss() {
        let objective = objective(loss, Aggregation::TokenMean, KlEstimator::K3);
        let whole = one_update(objective, &order, 6);
        assert_same(
            &format!("{loss:?}, one by one"),
            &whole,
            &one_update(objective, &order, 1),
        );
        assert_same(
            &format!("{loss:?}, other order"),
            &whole,
            &one_update(objective, &other, 4),
        );
    }
    for aggregation in AGGREGATIONS {
        let objective = objective(PolicyLoss::default(), aggregation, KlEstimator::K1);
        let whole = one_update(objective, &order, 6);
        assert_same(
            &format!("{aggregation:?}"),
            &whole,
            &one_update(objective, &other, 2),
        );
    }
    for estimator in [KlEstimator::Abs, KlEstimator::K2, KlEstimator::Exact] {
        let objective = objective(PolicyLoss::Reinforce, Aggregation::TokenMean, estimator);
        let whole = one_update(objective, &order, 6);
        assert_same(
            &format!("{estimator:?}"),
            &whole,
            &one_update(objective, &other, 1),
        );
    }
}

#[test]
fn micro_batches_change_nothing_in_the_value_model() {
    let experience = experience();
    let targets = experience.targets.clone().unwrap();
    let update = |order: &[usize], micro: usize| {
        let clip = ValueClip::Within(Positive::of(0.2));
        let mut critic = Critic::new(value(4), proportional(), clip, 0.1, 1);
        let totals = targets.totals(order);
        let parts = order.chunks(micro).map(|rows| {
            critic
                .accumulate(&experience, &targets, rows, totals, 1.0)
                .loss
        });
        let total = parts.sum();
        let norm = critic.gradient_norm();
        critic.step();
        (total, norm, weights(critic.model()))
    };
    let whole = update(&[0, 1, 2, 3, 4, 5], 6);
    assert_same("one by one", &whole, &update(&[0, 1, 2, 3, 4, 5], 1));
    assert_same("other order", &whole, &update(&[5, 3, 1, 0, 4, 2], 4));
}

#[test]
fn values_do_not_depend_on_the_batch() {
    let experience = experience();
    let lengths: Vec<usize> = experience
        .examples
        .iter()
        .map(|example| example.completion.len())
        .collect();
    let longer: Vec<usize> = lengths.iter().map(|length| length + 1).collect();
    let critic = Critic::new(value(4), proportional(), ValueClip::Off, 1.0, 1);
    let together = critic.values(&experience.examples, &longer, 6);
    let alone = critic.values(&experience.examples, &lengths, 1);
    for (together, alone) in together.iter().zip(&alone) {
        assert_eq!(together.len(), alone.len() + 1);
        assert!(
            together
                .iter()
                .zip(alone)
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
    }
}

/// PPO with one pass over each rollout.
fn ppo(change: impl Fn(&mut PpoSettings)) -> Recipe {
    let mut settings = PpoSettings {
        batch_size: Count::of(8),
        epochs: Count::of(1),
        optimizer: OptimizerSettings::with_learning_rate(1e-3),
        ..PpoSettings::default()
    };
    change(&mut settings);
    Recipe::ppo(&settings, sampling(6, 0.9))
}

fn every_recipe() -> Vec<(&'static str, Recipe)> {
    let rloo = RlooSettings {
        batch_size: Count::of(8),
        ..RlooSettings::default()
    };
    let grpo = GrpoSettings {
        batch_size: Count::of(8),
        group_size: Count::of(4),
        ..GrpoSettings::default()
    };
    let clipped = RlooSettings {
        policy_loss: PolicyLoss::default(),
        ..rloo.clone()
    };
    vec![
        ("ppo", ppo(|_| {})),
        ("rloo", Recipe::rloo(&clipped, sampling(6, 0.9))),
        ("grpo", Recipe::grpo(&grpo, sampling(6, 0.9))),
    ]
}

#[test]
fn at_step_0_the_ratio_is_exactly_1_and_every_kl_exactly_0() {
    for (name, recipe) in every_recipe() {
        let (_, _, log) = run(recipe, 1);
        let first = |metric: Metric| log.series(metric)[0].1;
        for metric in [Metric::ValRatio, Metric::ValRatioMax] {
            assert_eq!(first(metric), 1.0, "{name}: {metric}");
        }
        let zero = [
            Metric::ObjectiveKl,
            Metric::ObjectiveKlK1,
            Metric::ObjectiveKlK2,
            Metric::ObjectiveKlK3,
            Metric::ObjectiveKlExact,
            Metric::PolicyApproxkl,
            Metric::PolicyKlK3,
            Metric::PolicyClipfrac,
        ];
        for metric in zero {
            assert_eq!(first(metric), 0.0, "{name}: {metric}");
        }
    }
}

#[test]
fn sampler_and_training_pass_agree_on_log_probs() {
    for (name, recipe) in every_recipe() {
        let (_, _, log) = run(recipe, 3);
        for (_, mismatch) in log.series(Metric::RolloutLogpMismatchMax) {
            assert!(mismatch < 1e-5, "{name}: {mismatch}");
        }
        assert!(log.texts.is_empty(), "{name}: no alarm");
    }
}

#[test]
fn log_probs_of_the_sampler_give_the_same_update() {
    let recomputed = run(ppo(|_| {}), 2);
    let sampled = run(ppo(|settings| settings.old_logps = OldLogps::Rollout), 2);
    assert!(distance(&weights(&recomputed.0), &weights(&sampled.0)) < 1e-4);
    assert!(sampled.2.series(Metric::ObjectiveKlExact).is_empty());
    assert!(recomputed.1.flops > sampled.1.flops);
}

#[test]
fn a_correction_within_its_bounds_changes_nothing_much() {
    let bounds = WeightBounds {
        low: NonNegative::of(0.5),
        high: NonNegative::of(2.0),
    };
    let plain = run(ppo(|_| {}), 2);
    let corrected = run(
        ppo(|settings| {
            settings.old_logps = OldLogps::Recomputed(RolloutCorrection::Truncated(bounds))
        }),
        2,
    );
    assert!(distance(&weights(&plain.0), &weights(&corrected.0)) < 1e-4);
}

#[test]
fn the_same_run_gives_bitwise_the_same_policy() {
    for (name, recipe) in every_recipe() {
        let (one, _, log) = run(recipe.clone(), 4);
        let (other, _, again) = run(recipe, 4);
        assert_eq!(weights(&one), weights(&other), "{name}");
        assert_eq!(log, again, "{name}");
    }
}

#[test]
fn during_critic_warmup_the_policy_stands_still_and_the_value_model_learns() {
    let (trained, work, log) = run(ppo(|settings| settings.critic_warmup = 3), 1);
    assert_eq!(work.updates, 1);
    let learns: Vec<f64> = log
        .series(Metric::PolicyLearns)
        .into_iter()
        .map(|(_, learns)| learns)
        .collect();
    assert_eq!(learns, [0.0, 0.0, 0.0, 1.0]);
    let kl = log.series(Metric::ObjectiveKl);
    assert!(kl.iter().all(|&(_, kl)| kl == 0.0));
    assert_eq!(log.series(Metric::LossValue).len(), 4);
    assert_ne!(weights(&trained), weights(&policy(3)));
}

#[test]
fn the_target_kl_ends_an_improvement_before_the_update_that_would_pass_it() {
    let free = |settings: &mut PpoSettings| {
        settings.epochs = Count::of(6);
        settings.optimizer = OptimizerSettings::with_learning_rate(0.02);
    };
    let (_, _, log) = run(ppo(free), 6);
    assert_eq!(log.series(Metric::PolicyEpochs)[0].1, 6.0);
    let held = |settings: &mut PpoSettings| {
        free(settings);
        settings.target_kl = Some(Positive::of(1e-3));
    };
    let (_, work, log) = run(ppo(held), 6);
    let epochs = log.series(Metric::PolicyEpochs)[0].1;
    assert!((2.0..6.0).contains(&epochs), "{epochs}");
    // Later rollouts go on until the budget is spent.
    assert_eq!(work.updates, 6);
    assert!(log.series(Metric::PolicyEpochs).len() > 1);
}

#[test]
fn a_reference_that_follows_at_once_leaves_no_kl() {
    let follow = |decay: f64| {
        let recipe = ppo(|settings| settings.reference = ReferencePolicy::Ema(Fraction::of(decay)));
        run(recipe, 4).2.last(Metric::ObjectiveKlExact).unwrap()
    };
    let (at_once, slowly, never) = (follow(0.0), follow(0.5), follow(1.0));
    assert_eq!(at_once, 0.0);
    assert!(0.0 < slowly && slowly < never, "{slowly} {never}");
}

#[test]
fn budgets_are_kept_to_the_update() {
    let settings = |settings: &mut PpoSettings| {
        settings.epochs = Count::of(2);
        settings.minibatches = Count::of(2);
    };
    for updates in [1, 3, 6] {
        assert_eq!(run(ppo(settings), updates).1.updates, updates as u64);
    }
    let all = run(ppo(settings), 8).1;
    let within = run_within(
        ppo(settings),
        BudgetSettings::TrainedTokens(Count::of(all.trained_tokens as usize)),
    )
    .1;
    assert_eq!(within.updates, 8);
    let less = run_within(
        ppo(settings),
        BudgetSettings::TrainedTokens(Count::of(all.trained_tokens as usize - 1)),
    )
    .1;
    assert_eq!(less.updates, 7);
    let flops = run_within(
        ppo(settings),
        BudgetSettings::Flops(Positive::of(all.flops)),
    )
    .1;
    assert!(flops.flops <= all.flops * (1.0 + 1e-12) && flops.updates == 8);
}

#[test]
fn a_step_after_the_last_token_has_a_value_and_the_score() {
    let recipe = ppo(|settings| {
        settings.score_position = ScorePosition::AfterLastToken;
        settings.whiten_rewards = Whitening::KeepMean;
        settings.kl_estimator = KlEstimator::Exact;
        settings.kl = KlControl::Fixed(NonNegative::of(0.1));
    });
    let (_, work, log) = run(recipe, 2);
    assert_eq!(work.updates, 2);
    assert!(log.last(Metric::LossValue).unwrap().is_finite());
}

#[test]
fn an_entropy_bonus_raises_the_entropy() {
    let after = |coefficient: f64| {
        let recipe = ppo(|settings| {
            settings.entropy_coefficient = NonNegative::of(coefficient);
            settings.optimizer = OptimizerSettings::with_learning_rate(5e-3);
        });
        run(recipe, 6).2.last(Metric::PolicyEntropy).unwrap()
    };
    assert!(after(1.0) > after(0.0) + 0.01);
}

#[test]
fn metrics_of_a_run_are_named_and_finite() {
    let (_, work, log) = run(ppo(|settings| settings.epochs = Count::of(2)), 4);
    assert!(
        log.scalars
            .iter()
            .all(|(_, metric, value)| value.is_finite() || panic!("{metric}: {value}"))
    );
    assert_eq!(log.last(Metric::BudgetUpdates), Some(4.0));
    assert_eq!(log.last(Metric::BudgetRewardCalls), Some(16.0));
    assert_eq!(log.last(Metric::Episode), Some(16.0));
    assert_eq!(work.reward_calls, 16);
    let scored = share_of_wanted(
        &[0],
        &[TokenExample {
            prompt: vec![2],
            completion: vec![5, 1],
        }],
    );
    assert_eq!(scored.rewards, [0.5]);
}
