//! Experiments made up for the tests: records and logs as a run would leave them, with figures from simple formulas.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use preflab_experiment::records::{
    AblationRecord, ArmOrigin, ArmRecord, BudgetRecord, CELL_FILE, CellRecord, CellStatus,
    EXPERIMENT_FILE, ExperimentRecord, ExperimentStatus, FORMAT, GridValue, KeyValue, Records,
    Sample, SharedRecord, cell_directory,
};
use preflab_experiment::{Ledger, StageKind};
use preflab_metrics::{Metric, RunLog, Sink};

/// Numbers between -1 and 1 that look random and are always the same.
pub(crate) fn noise(seed: u64, index: u64) -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ index.wrapping_mul(0xd1b5_4a32_d192_ed03)
        ^ 0x5851_f42d;
    for _ in 0..3 {
        state ^= state >> 31;
        state = state.wrapping_mul(0x94d0_49bb_1331_11eb);
    }
    (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// An arm: name, method, what it gains over the start, how far it moves.
pub(crate) type Arm = (&'static str, &'static str, f64, f64);

pub(crate) const ARMS: [Arm; 4] = [
    ("sft", "sft", 0.0, 0.0),
    ("ppo", "ppo", 0.15, 3.0),
    ("dpo", "dpo: dpo", 0.08, 9.0),
    ("flex-dpo", "dpo: flex-dpo", 0.11, 6.0),
];

pub(crate) fn ledger(updates: u64, tokens: u64) -> Ledger {
    Ledger {
        updates,
        trained_tokens: tokens,
        generated_tokens: tokens / 2,
        reward_calls: tokens / 50,
        flops: tokens as f64 * 6e6,
        seconds: tokens as f64 / 3000.0,
    }
}

pub(crate) fn experiment(name: &str, seeds: u64, arms: &[Arm]) -> ExperimentRecord {
    let arm = |&(name, method, ..): &Arm| ArmRecord {
        name: name.to_owned(),
        origin: if method == "sft" {
            ArmOrigin::Start
        } else {
            ArmOrigin::File
        },
        method: method.to_owned(),
        settings: if method == "sft" {
            Vec::new()
        } else {
            vec![KeyValue {
                key: format!("method.{}", &method[..3]),
                value: "{ beta = 0.1 }".to_owned(),
            }]
        },
        point: Vec::new(),
    };
    ExperimentRecord {
        format: FORMAT,
        name: name.to_owned(),
        question: "Does DPO match reward-model PPO on <generated> verse?".to_owned(),
        version: "0.1.0".to_owned(),
        device: "cpu".to_owned(),
        seeds: (0..seeds).collect(),
        arms: arms.iter().map(arm).collect(),
        baseline: "sft".to_owned(),
        varies: vec!["method".to_owned()],
        matched: vec![
            KeyValue {
                key: "model.layers".to_owned(),
                value: "2".to_owned(),
            },
            KeyValue {
                key: "task.verse.test_prompts".to_owned(),
                value: "128".to_owned(),
            },
        ],
        overrides: vec!["seeds=3".to_owned()],
        budget: BudgetRecord {
            currency: "updates".to_owned(),
            amount: 200.0,
        },
        ablation: None,
        shared: Vec::new(),
        status: ExperimentStatus::Complete,
    }
}

pub(crate) fn cell(&(arm, _, gain, kl): &Arm, seed: u64) -> CellRecord {
    let start = 0.55 + 0.02 * noise(seed, 1);
    let gold = start + gain * (1.0 + 0.15 * noise(seed, 2 + kl as u64));
    let mut measures: BTreeMap<String, f64> = BTreeMap::new();
    for (index, criterion) in ["rows", "words", "rhyme", "tone", "title"]
        .into_iter()
        .enumerate()
    {
        measures.insert(
            format!("task/{criterion}"),
            gold + 0.04 * noise(seed, 40 + index as u64 + 100 * kl as u64),
        );
    }
    measures.insert("task/gold".to_owned(), gold);
    measures.insert("task/kl".to_owned(), kl * (1.0 + 0.1 * noise(seed, 7)));
    measures.insert("task/length".to_owned(), 28.0 + kl + noise(seed, 8));
    measures.insert("loss".to_owned(), 0.4 + 0.05 * noise(seed, 9));
    measures.insert("custom figure".to_owned(), 1.0);
    let training = if kl == 0.0 {
        Ledger::default()
    } else {
        ledger(200, 900_000 + (kl as u64) * 1000)
    };
    CellRecord {
        format: FORMAT,
        arm: arm.to_owned(),
        seed,
        status: CellStatus::Done,
        measures,
        per_prompt: BTreeMap::new(),
        training,
        preparation: ledger(300, 2_000_000),
        evaluation: ledger(0, 5_000),
        samples: vec![Sample {
            prompt: "form: quatrain\ntitle: <b>autumn & rain</b>\nrhyme: an".to_owned(),
            completion: format!("ta ro {arm} man\nso li | ke tan"),
            scores: [("task/gold".to_owned(), gold)].into(),
        }],
        stages: Vec::new(),
    }
}

pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, serde_json::to_string_pretty(value).unwrap()).unwrap();
}

pub(crate) fn write_cell(directory: &Path, record: &CellRecord) {
    write_json(
        &cell_directory(directory, &record.arm, record.seed).join(CELL_FILE),
        record,
    );
}

pub(crate) fn write_experiment(directory: &Path, record: &ExperimentRecord) {
    write_json(&directory.join(EXPERIMENT_FILE), record);
}

/// Training curves of one cell.
pub(crate) fn write_curves(
    directory: &Path,
    &(arm, method, gain, kl): &Arm,
    seed: u64,
    steps: u64,
) {
    let mut log = RunLog::create(&cell_directory(directory, arm, seed)).unwrap();
    for step in 0..=steps {
        let share = step as f64 / steps as f64;
        let wobble = |index: u64| 0.03 * noise(seed, 1000 * index + step);
        if method == "ppo" {
            log.scalars(
                step,
                &[
                    (Metric::ObjectiveScores, 2.0 * share.sqrt() + wobble(1)),
                    (Metric::ObjectiveKlExact, kl * share + wobble(2).abs()),
                    (Metric::ValExplainedVariance, 0.8 * share.sqrt() + wobble(3)),
                ],
            )
            .unwrap();
        } else {
            let drop = kl / 6.0;
            log.scalars(
                step,
                &[
                    (Metric::Loss, 0.693 - 0.3 * share + wobble(1)),
                    (
                        Metric::RewardsChosen,
                        0.5 * share - drop * share * share + wobble(2),
                    ),
                    (Metric::RewardsRejected, -2.0 * drop * share + wobble(3)),
                    (
                        Metric::RewardsAccuracies,
                        (0.5 + 0.4 * share + wobble(4)).min(1.0),
                    ),
                    (
                        Metric::DynamicsChangeChosen,
                        0.2 * share - 0.5 * drop * share * share + wobble(5),
                    ),
                    (
                        Metric::DynamicsChangeRejected,
                        -1.5 * drop * share + wobble(6),
                    ),
                    (
                        Metric::DynamicsChangeUnseen,
                        -0.4 * drop * share + wobble(7),
                    ),
                    (Metric::DynamicsLogGradientChosen, -2.0 * share + wobble(8)),
                    (
                        Metric::DynamicsLogGradientRejected,
                        3.0 * drop * share + wobble(9),
                    ),
                ],
            )
            .unwrap();
        }
        if step % 20 == 0 {
            let gold = 0.55 + gain * share.sqrt() + wobble(10);
            log.scalars(
                step,
                &[
                    (Metric::DynamicsGold, gold),
                    (Metric::DynamicsKl, kl * share),
                    (Metric::DynamicsLength, 28.0 + kl * share),
                ],
            )
            .unwrap();
        }
    }
    log.flush().unwrap();
}

/// A complete experiment with curves, a reward model and a lock.
pub(crate) fn complete(directory: &Path, seeds: u64) -> Records {
    let mut record = experiment("verse", seeds, &ARMS);
    for seed in 0..seeds {
        for arm in &ARMS {
            write_cell(directory, &cell(arm, seed));
            if arm.1 != "sft" {
                write_curves(directory, arm, seed, 200);
            }
        }
        let shared = Path::new("shared").join(format!("reward-model-{seed}"));
        let mut log = RunLog::create(&directory.join(&shared)).unwrap();
        for step in 0..100 {
            let share = step as f64 / 100.0;
            log.scalar(
                step,
                Metric::Accuracy,
                0.5 + 0.4 * share.sqrt() + 0.05 * noise(seed, step),
            )
            .unwrap();
            if step % 10 == 0 {
                log.scalar(
                    step,
                    Metric::EvalAccuracy,
                    0.5 + 0.3 * share.sqrt() + 0.02 * noise(seed, step),
                )
                .unwrap();
            }
        }
        log.flush().unwrap();
        record.shared.push(SharedRecord {
            kind: StageKind::RewardModel,
            seed: Some(seed),
            key: format!("{seed:016x}abcdef"),
            directory: shared,
            measures: [
                ("eval_accuracy".to_owned(), 0.8),
                ("pairs/kept".to_owned(), 1024.0),
            ]
            .into(),
            ledger: ledger(100, 400_000),
            shared_by: 1,
        });
    }
    write_experiment(directory, &record);
    fs::write(
        directory.join("preflab.lock"),
        "[lock]\nexperiment = \"verse\"\n",
    )
    .unwrap();
    Records::read(directory).unwrap()
}

/// The same with a grid over one or two keys of an arm.
pub(crate) fn with_ablation(directory: &Path, keys: usize) -> Records {
    let mut record = experiment("ablation", 3, &ARMS);
    let strengths = [0.01, 0.03, 0.1, 0.3];
    let rates = if keys == 2 {
        vec![1e-4, 1e-3]
    } else {
        vec![1e-4]
    };
    let all = [
        "method.dpo.objective.dpo.beta",
        "method.dpo.optimizer.learning_rate",
    ];
    for seed in 0..3 {
        for arm in &ARMS {
            write_cell(directory, &cell(arm, seed));
        }
    }
    for &beta in &strengths {
        for &rate in &rates {
            let name = format!("dpo@{beta}@{rate}");
            let mut point = vec![GridValue::Number(beta), GridValue::Number(rate)];
            point.truncate(keys);
            record.arms.push(ArmRecord {
                name: name.clone(),
                origin: ArmOrigin::Ablation,
                method: "dpo: dpo".to_owned(),
                settings: Vec::new(),
                point,
            });
            for seed in 0..3 {
                let gain = 0.12 - 0.05 * (beta / 0.05_f64).log10().powi(2)
                    + if rate > 5e-4 { 0.03 } else { 0.0 };
                let mut record = cell(&("dpo", "dpo: dpo", gain, 0.6 / beta.sqrt()), seed);
                record.arm.clone_from(&name);
                write_cell(directory, &record);
            }
        }
    }
    let mut values = vec![
        strengths.map(GridValue::Number).to_vec(),
        rates.iter().map(|&rate| GridValue::Number(rate)).collect(),
    ];
    values.truncate(keys);
    record.ablation = Some(AblationRecord {
        arm: "dpo".to_owned(),
        keys: all[..keys].iter().map(|&key| key.to_owned()).collect(),
        values,
    });
    write_experiment(directory, &record);
    Records::read(directory).unwrap()
}
