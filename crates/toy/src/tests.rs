//! Tests of the whole program.

use burn::tensor::{Device, Int, Tensor};
use preflab_config::{Count, Dpo, Objective, Positive, RejectedDraw, ToyOptimizer, ToySettings};
use preflab_metrics::{Metric, read_scalars};

use crate::outcome::Outcome;
use crate::overrides::with_overrides;
use crate::preference::{self, Pairs};
use crate::program;
use crate::rows::numbers;
use crate::run::{Extras, run};
use crate::simulate::{check, simulate_on};
use crate::world::{self, RESPONSES};
use preflab_report::claims::Verdict;

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

/// Lemma 1 of arXiv:2406.07327, in the likelihoods themselves, against autodiff through the losses the program uses; and
/// corollary 1, the ratio of the two.
#[test]
fn gradients_by_likelihoods_are_those_of_the_closed_form() {
    let device = Device::flex();
    let beta = 0.1;
    let (policy, reference) = ([0.3f32, 0.05], [0.12f32, 0.1]);
    let likelihoods = Tensor::<2>::from_floats([policy], &device.clone().autodiff()).require_grad();
    let start = Tensor::<2>::from_floats([reference], &device).log();
    let cells = Tensor::<2, Int>::from_ints([[0, 1]], &device);
    let pairs = Pairs {
        policy: likelihoods.clone().log(),
        reference: start.clone(),
        all: likelihoods.clone().inner().log(),
        all_reference: &start,
        mismatched: &cells,
    };
    let objective = Objective::Dpo(Dpo {
        beta: Positive::of(beta),
        ..Dpo::default()
    });
    let gradients = preference::losses(&objective, pairs).sum().backward();
    let ours = numbers(&likelihoods.grad(&gradients).unwrap());
    let [w, l] = policy.map(f64::from);
    let [q_w, q_l] = reference.map(f64::from);
    let (up, down) = ((w * q_l).powf(beta), (l * q_w).powf(beta));
    let exact = [
        -beta * down / (w * (up + down)),
        beta * down / (l * (up + down)),
    ];
    for (ours, exact) in ours.iter().zip(exact) {
        assert!(
            (f64::from(*ours) / exact - 1.0).abs() < 1e-5,
            "{ours} {exact}"
        );
    }
    let ratio = f64::from(ours[0]) / f64::from(ours[1]);
    assert!((ratio / (-l / w) - 1.0).abs() < 1e-5, "{ratio}");
}

/// The gradients that are logged along a run follow from the policy alone: with mini-batches of every own pair,
/// `log |∂l/∂π_l| − log |∂l/∂π_w|` is `mean(log π_w − log π_l)`.
#[test]
fn logged_gradients_obey_corollary_1_at_every_epoch() {
    let mut settings = small();
    settings.rejected = RejectedDraw::Own;
    settings
        .arms
        .retain(|name, _| name == "dpo" || name == "flex-dpo");
    let outcome = program::train(&settings, &[0]);
    let ends = |arm: &str| {
        let run = &outcome.cell(outcome.arm(arm).unwrap(), 3)[0];
        let own = (0..4).map(|i| run.end[i * RESPONSES + i] - run.end[i * RESPONSES + i + 4]);
        let look = run.last();
        let logged = look.log_gradient_rejected - look.log_gradient_chosen;
        (logged, own.sum::<f64>() / 4.0, look.ratio_error)
    };
    let (logged, exact, error) = ends("dpo");
    assert!((logged - exact).abs() < 1e-5, "{logged} {exact}");
    assert!(error < 1e-5);
    // With two betas the ratio is off by their quotient: 0.1 / 0.08.
    let (logged, exact, error) = ends("flex-dpo");
    assert!(
        (logged - exact - 0.8f64.ln()).abs() < 1e-5,
        "{logged} {exact}"
    );
    assert!((error - 0.25).abs() < 1e-5, "{error}");
}

#[test]
fn the_start_is_what_was_asked_for() {
    let outcome = program::train(&small(), &[0, 1]);
    for (place, &scenario) in outcome.scenarios.iter().enumerate() {
        let wanted = world::start(&small(), scenario);
        for run in outcome.cell(0, place) {
            for (log, wanted) in run.start.iter().zip(wanted.repeat(4)) {
                assert!((log.exp() - wanted).abs() < 0.005, "{} {wanted}", log.exp());
            }
        }
    }
}

#[test]
fn settings_that_cannot_be_run_are_named() {
    let wrong = |set: &str| {
        let settings = with_overrides(&small(), &[set.to_owned()]).unwrap();
        check(&settings).unwrap_err().to_string()
    };
    assert!(wrong("arms.mine.preference.aot={}").starts_with("`arms.mine`"));
    assert!(wrong("arms.mine.preference.odpo={}").starts_with("`arms.mine`"));
    assert!(wrong("on_policy=0.2").starts_with("`on_policy`"));
    assert!(wrong("off_policy=0.0").starts_with("`off_policy`"));
    assert!(wrong("scenarios=[]").starts_with("`scenarios`"));
    assert!(wrong("batch=1").starts_with("`arms.kto`"));
}

#[test]
fn plain_gradient_descent_trains_too() {
    let mut settings = small();
    settings.optimizer = ToyOptimizer::Sgd;
    settings.learning_rate = Positive::of(1.0);
    settings.arms.retain(|name, _| name == "dpo");
    let outcome = program::train(&settings, &[0]);
    for run in &outcome.runs {
        assert!(run.last().loss < run.first().loss);
    }
}

#[test]
fn a_small_experiment_checks_its_claims_and_writes_everything() {
    let mut settings = ToySettings {
        epochs: Count::of(120),
        ..small()
    };
    settings
        .arms
        .retain(|name, _| ["dpo", "flex-dpo", "reward-pg"].contains(&name.as_str()));
    let directory = tempfile::tempdir().unwrap();
    // Twice: what is there is replaced.
    run(
        &settings,
        directory.path(),
        Extras::default(),
        &|_, _, _| {},
    )
    .unwrap();
    let report = run(
        &settings,
        directory.path(),
        Extras::default(),
        &|_, _, _| {},
    )
    .unwrap();
    let verdict = |claim| {
        report
            .claims
            .iter()
            .find(|one| one.claim == claim)
            .unwrap()
            .verdict
    };
    assert_eq!(report.claims.len(), 7);
    assert_eq!(verdict('b'), Verdict::Pass);
    assert_eq!(verdict('c'), Verdict::Pass);
    for file in [
        "report.html",
        "report.md",
        "claims.json",
        "curves.csv",
        "figures/scenarios-dpo.svg",
        "figures/likelihoods-dpo.png",
    ] {
        assert!(
            directory.path().join(file).metadata().unwrap().len() > 0,
            "{file}"
        );
    }
    let log = directory
        .path()
        .join("tensorboard/scenario-4/dpo/scalars.jsonl");
    let curves = read_scalars(&log).unwrap();
    let curve = curves.series(Metric::ToyMassChosen);
    assert_eq!(curve.len(), program::observed(&settings).len());
    let written = std::fs::read_to_string(directory.path().join("settings.toml")).unwrap();
    assert_eq!(toml::from_str::<ToySettings>(&written).unwrap(), settings);
}
