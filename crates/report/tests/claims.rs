//! The paper's claims, on records made up so that each verdict is reached, and turned round by a shifted effect.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use preflab_experiment::records::{ArmOrigin, ArmRecord, CellStatus, KeyValue, cell_directory};
use preflab_metrics::{Metric, RunLog, Sink};
use preflab_report::claims::{Claim, Claims, ClaimsError, Verdict};

use crate::fixture::{cell, experiment, noise, write_cell, write_experiment};

const SEEDS: u64 = 5;

/// What an arm measures: tag, mean over seeds, and how far seeds are spread around it.
type Figures<'a> = &'a [(&'a str, f64, f64)];

/// An arm: name, method as the records have it, its settings, its figures.
struct Arm<'a> {
    name: &'a str,
    method: &'a str,
    settings: &'a [(&'a str, &'a str)],
    figures: Figures<'a>,
}

const fn arm<'a>(
    name: &'a str,
    method: &'a str,
    settings: &'a [(&'a str, &'a str)],
    figures: Figures<'a>,
) -> Arm<'a> {
    Arm {
        name,
        method,
        settings,
        figures,
    }
}

fn key_value(&(key, value): &(&str, &str)) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

/// Writes an experiment of such arms, each figure with its own noise in each seed.
fn write(directory: &Path, matched: &[(&str, &str)], arms: &[Arm<'_>]) {
    let mut record = experiment("made-up", SEEDS, &[("sft", "sft", 0.0, 0.0)]);
    record.matched = matched.iter().map(key_value).collect();
    for (index, arm) in arms.iter().enumerate() {
        record.arms.push(ArmRecord {
            name: arm.name.to_owned(),
            origin: if arm.name.contains('@') {
                ArmOrigin::Ablation
            } else {
                ArmOrigin::File
            },
            method: arm.method.to_owned(),
            settings: arm.settings.iter().map(key_value).collect(),
            point: Vec::new(),
        });
        for seed in 0..SEEDS {
            let mut cell = cell(&("", "sft", 0.0, 1.0), seed);
            cell.arm = arm.name.to_owned();
            let noisy = |(place, &(tag, mean, spread)): (usize, &(&str, f64, f64))| {
                let wobble = noise(seed, (100 * index + place) as u64);
                (tag.to_owned(), mean + spread * wobble)
            };
            cell.measures = arm.figures.iter().enumerate().map(noisy).collect();
            write_cell(directory, &cell);
        }
    }
    write_experiment(directory, &record);
}

fn read(directory: &Path) -> Claims {
    Claims::read(&[directory.to_owned()]).unwrap()
}

fn claim<'a>(claims: &'a Claims, id: &str) -> &'a Claim {
    claims.claims.iter().find(|claim| claim.id == id).unwrap()
}

/// The verdict on a claim of one experiment.
fn verdict(id: &str, matched: &[(&str, &str)], arms: &[Arm<'_>]) -> Option<Verdict> {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), matched, arms);
    claim(&read(directory.path()), id).verdict
}

const DPO: &[(&str, &str)] = &[("method.dpo.objective.dpo.beta", "0.1")];
const FLEX: &[(&str, &str)] = &[
    ("method.dpo.objective.flex-dpo.beta_chosen", "0.1"),
    ("method.dpo.objective.flex-dpo.beta_rejected", "0.05"),
];
const SFT_DPO: &[(&str, &str)] = &[
    ("method.dpo.objective.sft-dpo.beta", "0.1"),
    ("method.dpo.objective.sft-dpo.gamma", "0.01"),
];
const PPO: &[(&str, &str)] = &[("method.ppo.kl.fixed", "0.5")];
const VERSE: &[(&str, &str)] = &[("task.verse.test_prompts", "128")];

/// Reaches all three verdicts on a claim by moving one figure of the first arm.
fn turns(
    id: &str,
    matched: &[(&str, &str)],
    tag: &str,
    others: &[Arm<'_>],
    first: Arm<'_>,
    at: [f64; 3],
) {
    let expected = [Verdict::Pass, Verdict::Inconclusive, Verdict::Fail];
    for (mean, expected) in at.into_iter().zip(expected) {
        let mut figures: Vec<(&str, f64, f64)> = first.figures.to_vec();
        for figure in figures.iter_mut().filter(|figure| figure.0 == tag) {
            figure.1 = mean;
        }
        let mut arms = vec![Arm {
            figures: &figures,
            ..first
        }];
        arms.extend(others.iter().map(|arm| Arm { ..*arm }));
        assert_eq!(
            verdict(id, matched, &arms),
            Some(expected),
            "{id} with {tag} at {mean}"
        );
    }
}

#[test]
fn property_1_needs_a_drastic_drop_beyond_what_the_chosen_gain() {
    let figures = &[
        ("dynamics/logps_change/rejected", 0.0, 0.05),
        ("dynamics/logps_change/chosen", 0.05, 0.01),
    ];
    // The margin is 0.1 nats per token; the chosen answers gain 0.05.
    turns(
        "drop",
        VERSE,
        "dynamics/logps_change/rejected",
        &[],
        arm("a", "dpo: dpo", DPO, figures),
        [-0.5, -0.15, 0.0],
    );
}

#[test]
fn property_2_and_3_have_their_margins() {
    let figures = &[
        ("dynamics/logps_change/chosen", 0.0, 0.01),
        ("dynamics/mass_outside", 0.0, 0.01),
    ];
    let dpo = || arm("a", "dpo: dpo", DPO, figures);
    turns(
        "degradation",
        VERSE,
        "dynamics/logps_change/chosen",
        &[],
        dpo(),
        [-0.1, -0.01, 0.02],
    );
    turns(
        "dispersion",
        VERSE,
        "dynamics/mass_outside",
        &[],
        dpo(),
        [0.1, 0.01, -0.02],
    );
}

#[test]
fn the_growth_of_the_gradients_is_read_from_the_curves() {
    for (slope, expected) in [
        (3.0, Verdict::Pass),
        (0.0, Verdict::Inconclusive),
        (-3.0, Verdict::Fail),
    ] {
        let directory = tempfile::tempdir().unwrap();
        write(
            directory.path(),
            VERSE,
            &[arm("a", "dpo: dpo", DPO, &[("loss", 0.5, 0.0)])],
        );
        for seed in 0..SEEDS {
            let mut log = RunLog::create(&cell_directory(directory.path(), "a", seed)).unwrap();
            for step in 0..50 {
                let value = slope * step as f64 / 50.0 + noise(seed, step);
                log.scalar(step, Metric::DynamicsLogGradientRatio, value)
                    .unwrap();
            }
            log.flush().unwrap();
        }
        assert_eq!(
            claim(&read(directory.path()), "gradients").verdict,
            Some(expected),
            "{slope}"
        );
    }
}

#[test]
fn the_scenario_is_told_by_the_settings_not_by_the_name() {
    let on = &[("preferences.scenario", "\"on-policy\"")];
    let off = &[("preferences.scenario", "\"off-policy\"")];
    let data = &[("preferences.scenario", "\"chosen-from-data\"")];
    let matched = &[
        ("task.arithmetic.test_prompts", "64"),
        ("method.dpo.objective.dpo.beta", "0.1"),
    ];
    let gold = &[
        ("task/gold", 0.5, 0.02),
        ("ood/gold", 0.4, 0.02),
        ("dynamics/logps_change/chosen", -0.1, 0.02),
    ];
    let others = [
        arm(
            "looks-on-policy",
            "dpo: dpo",
            off,
            &[
                ("task/gold", 0.4, 0.02),
                ("ood/gold", 0.3, 0.02),
                ("dynamics/logps_change/chosen", -0.4, 0.02),
            ],
        ),
        arm(
            "c",
            "dpo: dpo",
            data,
            &[
                ("task/gold", 0.42, 0.02),
                ("ood/gold", 0.3, 0.02),
                ("dynamics/logps_change/chosen", -0.4, 0.02),
            ],
        ),
    ];
    turns(
        "on-policy-best",
        matched,
        "task/gold",
        &others,
        arm("a", "dpo: dpo", on, gold),
        [0.5, 0.42, 0.3],
    );
    turns(
        "on-policy-best",
        matched,
        "ood/gold",
        &others,
        arm("a", "dpo: dpo", on, gold),
        [0.4, 0.3, 0.2],
    );
    turns(
        "on-policy-slowest",
        matched,
        "dynamics/logps_change/chosen",
        &others,
        arm("a", "dpo: dpo", on, gold),
        [-0.1, -0.4, -0.8],
    );
}

#[test]
fn softer_objectives_are_compared_with_dpo_of_the_same_strength() {
    let changes = |chosen, rejected| {
        [
            ("dynamics/logps_change/chosen", chosen, 0.02),
            ("dynamics/logps_change/rejected", rejected, 0.02),
        ]
    };
    let (hard, soft) = (changes(-0.3, -1.0), changes(-0.1, -0.5));
    let dpo = || arm("dpo", "dpo: dpo", DPO, &hard);
    turns(
        "flex-dpo-milder",
        VERSE,
        "dynamics/logps_change/rejected",
        &[dpo()],
        arm("flex", "dpo: flex-dpo", FLEX, &soft),
        [-0.5, -1.0, -1.5],
    );
    turns(
        "sft-dpo-milder",
        VERSE,
        "dynamics/logps_change/chosen",
        &[dpo()],
        arm("soft", "dpo: sft-dpo", SFT_DPO, &soft),
        [-0.1, -0.3, -0.6],
    );
    let weaker = &[("method.dpo.objective.dpo.beta", "0.5")];
    let arms = [
        arm("dpo", "dpo: dpo", weaker, &hard),
        arm("flex", "dpo: flex-dpo", FLEX, &soft),
    ];
    assert_eq!(
        verdict("flex-dpo-milder", VERSE, &arms),
        None,
        "another beta is another comparison"
    );
    let other_rate = &[DPO[0], ("method.dpo.batch_size", "8")];
    let arms = [
        arm("dpo", "dpo: dpo", other_rate, &hard),
        arm("flex", "dpo: flex-dpo", FLEX, &soft),
    ];
    assert_eq!(
        verdict("flex-dpo-milder", VERSE, &arms),
        None,
        "arms that differ in more are not compared"
    );
}

#[test]
fn ppo_and_dpo_are_compared_on_the_claims_task() {
    let gold = &[("task/gold", 0.6, 0.02)];
    let lower = &[("task/gold", 0.5, 0.02)];
    let dpo = || arm("a", "dpo: dpo", DPO, lower);
    let slogan = &[("task.slogan.test_prompts", "64")];
    turns(
        "ppo-verse",
        VERSE,
        "task/gold",
        &[dpo()],
        arm("b", "ppo", PPO, gold),
        [0.6, 0.5, 0.4],
    );
    turns(
        "ppo-slogan",
        slogan,
        "task/gold",
        &[dpo()],
        arm("b", "ppo", PPO, gold),
        [0.6, 0.5, 0.4],
    );
    assert_eq!(
        verdict("ppo-slogan", VERSE, &[dpo(), arm("b", "ppo", PPO, gold)]),
        None
    );
    let flex = || arm("f", "dpo: flex-dpo", FLEX, lower);
    turns(
        "variants-below-ppo",
        VERSE,
        "task/gold",
        &[flex()],
        arm("b", "ppo", PPO, gold),
        [0.6, 0.5, 0.4],
    );
    turns(
        "variants-above-dpo",
        VERSE,
        "task/gold",
        &[dpo()],
        arm("f", "dpo: flex-dpo", FLEX, gold),
        [0.6, 0.5, 0.4],
    );
}

#[test]
fn a_reward_model_is_compared_with_dpo_on_accuracy() {
    let dpo = &[
        ("accuracy/fluctuation", 0.05, 0.01),
        ("accuracy/gap", 0.2, 0.01),
        ("accuracy/gap_first_pass", 0.05, 0.01),
        ("accuracy/gap_second_pass", 0.2, 0.01),
        ("accuracy/second_pass_change", -0.05, 0.01),
    ];
    let reward = &[
        ("accuracy/fluctuation", 0.02, 0.01),
        ("accuracy/gap", 0.05, 0.01),
    ];
    let rm = || {
        arm(
            "rm",
            "reward",
            &[("method.reward.batch_size", "32")],
            reward,
        )
    };
    let dpo = || arm("a", "dpo: dpo", DPO, dpo);
    turns(
        "reward-steadier",
        VERSE,
        "accuracy/fluctuation",
        &[dpo()],
        rm(),
        [0.02, 0.05, 0.09],
    );
    turns(
        "reward-generalises",
        VERSE,
        "accuracy/gap",
        &[dpo()],
        rm(),
        [0.05, 0.2, 0.4],
    );
    turns(
        "dpo-overfits",
        VERSE,
        "accuracy/gap_second_pass",
        &[],
        dpo(),
        [0.2, 0.05, 0.0],
    );
    turns(
        "dpo-overfits",
        VERSE,
        "accuracy/second_pass_change",
        &[],
        dpo(),
        [-0.05, 0.0, 0.05],
    );
}

#[test]
fn rounds_are_compared_with_one_round() {
    let many = &[
        ("method.iterative-dpo.objective.dpo.beta", "0.1"),
        ("method.iterative-dpo.rounds", "4"),
    ];
    let one = &[
        ("method.iterative-dpo.objective.dpo.beta", "0.1"),
        ("method.iterative-dpo.rounds", "1"),
    ];
    let others = [arm(
        "one",
        "iterative-dpo: dpo",
        one,
        &[("task/gold", 0.5, 0.02)],
    )];
    turns(
        "iterative-above-one-shot",
        VERSE,
        "task/gold",
        &others,
        arm(
            "many",
            "iterative-dpo: dpo",
            many,
            &[("task/gold", 0.6, 0.02)],
        ),
        [0.6, 0.5, 0.4],
    );
}

#[test]
fn the_optimum_of_beta_minus_is_inside_at_an_end_or_unknown() {
    let betas = ["0.1", "0.05", "0.02", "0.01"];
    let expected = [
        ([0.4, 0.6, 0.55, 0.3], 0.01, Verdict::Pass),
        ([0.7, 0.6, 0.55, 0.3], 0.01, Verdict::Fail),
        ([0.50, 0.51, 0.5, 0.49], 0.2, Verdict::Inconclusive),
    ];
    for (means, spread, expected) in expected {
        let settings = betas.map(|beta| {
            [
                ("method.dpo.objective.flex-dpo.beta_chosen", "0.1"),
                ("method.dpo.objective.flex-dpo.beta_rejected", beta),
            ]
        });
        let figures = means.map(|mean| [("task/gold", mean, spread)]);
        let names = betas.map(|beta| format!("flex@beta_rejected={beta}"));
        let arms: Vec<Arm<'_>> = (0..4)
            .map(|i| arm(&names[i], "dpo: flex-dpo", &settings[i], &figures[i]))
            .collect();
        assert_eq!(
            verdict("beta-minus-interior", VERSE, &arms),
            Some(expected),
            "{means:?}"
        );
    }
}

/// A `claims.json` as `preflab toy` writes it.
fn toy_file(directory: &Path, verdicts: [Verdict; 2]) {
    let check = |claim: char, statement: &str, verdict: Verdict| {
        let sign = if verdict == Verdict::Fail { -1.0 } else { 1.0 };
        serde_json::json!({
            "claim": claim, "statement": statement, "place": "scenario 1", "verdict": verdict,
            "effect_name": "fall, nats", "effect": 2.0 * sign, "interval": {"low": 2.0 * sign - 0.5, "high": 2.0 * sign + 0.5},
            "effect_size": 3.0 * sign, "seeds": 64,
        })
    };
    let file = serde_json::json!({
        "claims": [],
        "checks": [
            check('a', "the rejected likelihood falls", verdicts[0]),
            check('d', "the chosen likelihood declines in the long run, by more than 1 %", verdicts[1]),
        ],
        "detector": [],
    });
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("claims.json"), file.to_string()).unwrap();
}

#[test]
fn the_toy_models_checks_are_claims_too() {
    let directory = tempfile::tempdir().unwrap();
    toy_file(directory.path(), [Verdict::Pass, Verdict::Fail]);
    let claims = read(directory.path());
    assert_eq!(claim(&claims, "toy-drop").verdict, Some(Verdict::Pass));
    assert_eq!(
        claim(&claims, "toy-degradation").verdict,
        Some(Verdict::Fail)
    );
    assert_eq!(claim(&claims, "toy-dispersion").verdict, None);
    let text = claims.text(false);
    assert!(text.contains("2.00 [1.50, 2.50]"), "{text}");
}

#[test]
fn runs_below_a_directory_are_found_and_must_agree() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (name, gold) in [("one", 0.6), ("two", 0.4)] {
        let figures = [("task/gold", gold, 0.01)];
        let arms = [
            arm("dpo", "dpo: dpo", DPO, &[("task/gold", 0.5, 0.01)]),
            arm("ppo", "ppo", PPO, &figures),
        ];
        write(&at(name), VERSE, &arms);
    }
    toy_file(&at("toy"), [Verdict::Pass, Verdict::Pass]);
    let claims = read(directory.path());
    assert_eq!(claims.runs.len(), 3);
    let ppo = claim(&claims, "ppo-verse");
    let each: Vec<Verdict> = ppo.findings.iter().map(|finding| finding.verdict).collect();
    assert_eq!(each, [Verdict::Pass, Verdict::Fail]);
    assert_eq!(ppo.verdict, Some(Verdict::Inconclusive));
    let twice = Claims::read(&[directory.path().to_owned(), at("one")]).unwrap();
    assert_eq!(twice.runs.len(), 3, "a run given twice counts once");
    let text = claims.text(false);
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    assert!(text.contains("pass") && text.contains("MISSING"), "{text}");
}

#[test]
fn what_is_missing_names_what_would_supply_it() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), VERSE, &[]);
    let claims = read(directory.path());
    assert!(claims.claims.len() >= 12);
    assert_eq!(claims.tally().missing, claims.claims.len());
    for claim in &claims.claims {
        assert!(claim.verdict.is_none() && !claim.supplied_by.is_empty());
    }
    assert!(
        claims
            .text(false)
            .contains("experiments/paper/fig6_gradients.toml")
    );
    assert!(claims.markdown(false).contains("**MISSING**"));
}

#[test]
fn cells_that_failed_and_figures_that_are_not_finite_do_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let arms = [
        arm("dpo", "dpo: dpo", DPO, &[("task/gold", 0.5, 0.01)]),
        arm("ppo", "ppo", PPO, &[("task/gold", 0.6, 0.01)]),
    ];
    write(directory.path(), VERSE, &arms);
    let mut failed = cell(&("ppo", "ppo", 0.0, 1.0), 4);
    failed.status = CellStatus::Failed {
        stage: preflab_experiment::StageKind::Training,
        message: "loss is NaN".to_owned(),
    };
    write_cell(directory.path(), &failed);
    let mut odd = cell(&("ppo", "ppo", 0.0, 1.0), 3);
    odd.measures = BTreeMap::from([("task/gold".to_owned(), f64::NAN)]);
    write_cell(directory.path(), &odd);
    let claims = read(directory.path());
    let comparison = claim(&claims, "ppo-verse").findings[0].deciding().unwrap();
    assert_eq!((comparison.seeds, comparison.left_out), (3, 1));
    assert!(claims.text(false).contains("is not complete"));
}

#[test]
fn a_grid_over_beta_minus_is_no_arm_of_the_other_claims() {
    let directory = tempfile::tempdir().unwrap();
    let figures = &[("dynamics/logps_change/chosen", -0.5, 0.01)];
    write(
        directory.path(),
        VERSE,
        &[arm("dpo@beta=0.1", "dpo: dpo", DPO, figures)],
    );
    assert_eq!(claim(&read(directory.path()), "degradation").verdict, None);
}

#[test]
fn directories_without_records_are_named_with_a_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let error = Claims::read(&[directory.path().to_owned()]).unwrap_err();
    assert!(matches!(error, ClaimsError::NoRecords { .. }));
    assert!(
        error.to_string().contains("hint: give directories"),
        "{error}"
    );
    let error = Claims::read(&[directory.path().join("no")]).unwrap_err();
    assert!(matches!(error, ClaimsError::NoDirectory { .. }));
    fs::write(directory.path().join("claims.json"), "{}").unwrap();
    let error = Claims::read(&[directory.path().to_owned()]).unwrap_err();
    assert!(
        error.to_string().contains("missing field `checks`"),
        "{error}"
    );
}
