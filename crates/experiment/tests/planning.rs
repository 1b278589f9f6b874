//! Which cells and stages a file becomes.

use std::collections::BTreeSet;

use preflab_experiment::records::{ArmOrigin, GridValue};
use preflab_experiment::{Outline, Plan, StageKind};
use proptest::prelude::*;

use crate::fake::{Fake, Mischief, TWO_ARMS, plan, plan_of, run, three_arms};

fn cells(plan: &Plan) -> Vec<String> {
    plan.cells
        .iter()
        .map(|cell| format!("{} {}", plan.arm(cell).name, cell.seed))
        .collect()
}

fn keys(plan: &Plan) -> BTreeSet<String> {
    plan.stages
        .iter()
        .map(preflab_experiment::Stage::directory_name)
        .collect()
}

#[test]
fn cells_are_seed_major_and_the_start_comes_first() {
    assert_eq!(
        cells(&plan(TWO_ARMS)),
        ["sft 0", "ppo 0", "dpo 0", "sft 1", "ppo 1", "dpo 1"]
    );
}

#[test]
fn stages_come_after_their_inputs_and_are_shared() {
    let plan = plan(TWO_ARMS);
    let lines: Vec<String> = plan
        .stages
        .iter()
        .map(|stage| {
            let inputs: Vec<_> = stage
                .inputs
                .iter()
                .map(|id| plan.stage(*id).kind.name())
                .collect();
            format!(
                "{} <- {} ({} cells) {}",
                stage.label(),
                inputs.join(" "),
                stage.shared_by,
                stage.log_directory.display()
            )
        })
        .collect();
    insta::assert_snapshot!(lines[..10].join("\n"), @"
    task data and tokenizer <-  (6 cells) shared/task-data
    seed 0 · supervised start <- task-data (3 cells) sft/seed-0
    seed 0 · sft · evaluation <- task-data sft (1 cells) sft/seed-0/evaluation
    seed 0 · candidates <- task-data sft (2 cells) shared/candidates/seed-0
    seed 0 · preference pairs <- task-data candidates (2 cells) shared/pairs/seed-0
    seed 0 · reward model <- task-data sft pairs (1 cells) shared/reward-model/seed-0
    seed 0 · ppo · training <- task-data sft reward-model (1 cells) ppo/seed-0
    seed 0 · ppo · evaluation <- task-data sft training (1 cells) ppo/seed-0/evaluation
    seed 0 · reference log-probs <- task-data sft pairs (1 cells) shared/reference-logps/seed-0
    seed 0 · dpo · training <- task-data sft pairs reference-logps (1 cells) dpo/seed-0
    ");
    assert_eq!(lines.len(), 21);
    for (index, stage) in plan.stages.iter().enumerate() {
        assert!(stage.inputs.iter().all(|input| input.index() < index));
    }
}

#[test]
fn an_arm_or_a_seed_more_changes_no_key() {
    let (two, three) = (keys(&plan(TWO_ARMS)), keys(&plan(&three_arms())));
    assert!(two.is_subset(&three));
    // training and evaluation of the new arm under two seeds; it shares pairs and reference log-probs
    assert_eq!(three.len() - two.len(), 4);
    let seeds = keys(&plan_of(TWO_ARMS, &["seeds=3"]).unwrap());
    assert!(two.is_subset(&seeds));
    let other_seed = keys(&plan_of(TWO_ARMS, &["seeds=[7]"]).unwrap());
    let common: Vec<_> = two.intersection(&other_seed).collect();
    assert_eq!(
        common.len(),
        1,
        "only the task data are the same for all seeds: {common:?}"
    );
}

#[test]
fn a_setting_changes_the_keys_of_what_depends_on_it_and_no_others() {
    let changed = |set: &str| {
        let (before, after) = (plan(TWO_ARMS), plan_of(TWO_ARMS, &[set]).unwrap());
        let before = keys(&before);
        let kinds: BTreeSet<StageKind> = after
            .stages
            .iter()
            .filter(|stage| !before.contains(&stage.directory_name()))
            .map(|stage| stage.kind)
            .collect();
        kinds
            .into_iter()
            .map(StageKind::name)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(changed("evaluation.prompts=3"), "evaluation");
    assert_eq!(changed("budget.updates=5"), "training evaluation");
    assert_eq!(
        changed("reward.epochs=2"),
        "reward-model training evaluation"
    );
    assert_eq!(
        changed("preferences.judge.label_flips=0.1"),
        "pairs reference-logps reward-model training evaluation"
    );
    assert_eq!(
        changed("sft.epochs=3"),
        "sft candidates pairs reference-logps reward-model training evaluation"
    );
    assert_eq!(
        changed("task.verse.train_prompts=9"),
        "task-data sft candidates pairs reference-logps reward-model training evaluation"
    );
    assert_eq!(changed("question=Why?"), "");
    assert_eq!(changed("lora.rank=4"), "training evaluation");
    assert_eq!(
        changed("reward.lora.rank=4"),
        "reward-model training evaluation"
    );
    // The pairs' own key covers that of the candidates.
    assert_eq!(
        changed("precision=bf16"),
        "sft candidates pairs reference-logps reward-model training evaluation"
    );
    // What changes no number changes no key.
    assert_eq!(changed("memory.recompute=true"), "");
    assert_eq!(changed("precision=f32"), "");
}

#[test]
fn ranks_of_adapters_are_swept_like_any_other_setting() {
    let grid = "\n[ablate]\narm = \"dpo\"\ngrid = { \"lora.rank\" = [2, 4] }\n";
    let plan = plan_of(&format!("{TWO_ARMS}{grid}"), &["seeds=1"]).unwrap();
    assert_eq!(
        cells(&plan),
        ["sft 0", "ppo 0", "dpo 0", "dpo@rank=2 0", "dpo@rank=4 0"]
    );
    let settings = &plan.arms.last().unwrap().settings;
    assert_eq!(settings.lora.as_ref().unwrap().rank.get(), 4);
}

#[test]
fn adapters_and_recomputation_lower_the_estimate_of_memory() {
    let memory = |sets: &[&str]| {
        let plan = plan_of(TWO_ARMS, &[&["model.layers=4"], sets].concat()).unwrap();
        let stage = plan
            .stages
            .iter()
            .find(|stage| stage.title == "dpo · training")
            .unwrap();
        preflab_experiment::stage_memory(stage, 200, "cpu")
    };
    let plain = memory(&[]);
    assert_eq!(plain.roles.len(), 1);
    let policy = plain.roles[0];
    assert_eq!(policy.optimizer, 2.0 * policy.weights);
    let adapted = memory(&["lora.rank=2"]).roles[0];
    assert!(adapted.optimizer < 0.5 * policy.optimizer && adapted.weights > policy.weights);
    let recomputed = memory(&["memory.recompute=true"]).roles[0];
    assert!(recomputed.activations < policy.activations);
    let ppo = plan(TWO_ARMS);
    let ppo = ppo
        .stages
        .iter()
        .find(|stage| stage.title == "ppo · training")
        .unwrap();
    let roles = preflab_experiment::stage_memory(ppo, 200, "cpu").roles;
    let names: Vec<&str> = roles.iter().map(|role| role.role).collect();
    assert_eq!(names, ["policy", "reference", "reward", "value"]);
}

#[test]
fn the_device_is_part_of_every_key() {
    let spec = preflab_experiment::Spec::parse("x.toml".as_ref(), TWO_ARMS, &[]).unwrap();
    let cuda = preflab_experiment::Environment {
        device: "cuda".to_owned(),
        version: String::new(),
    };
    let cuda = Plan::new(&spec, cuda).unwrap();
    assert!(keys(&cuda).is_disjoint(&keys(&plan(TWO_ARMS))));
}

#[test]
fn scenarios_need_the_models_they_take_answers_from() {
    let kinds = |scenario: &str| {
        let plan = plan_of(
            TWO_ARMS,
            &[&format!("preferences.scenario={scenario}"), "seeds=1"],
        )
        .unwrap();
        plan.stages
            .iter()
            .map(|stage| stage.kind)
            .collect::<BTreeSet<_>>()
    };
    let (candidates, weaker) = (StageKind::Candidates, StageKind::WeakerCandidates);
    for (scenario, own, other) in [
        ("on-policy", true, false),
        ("chosen-from-data", true, false),
        ("rejected-from-weaker", true, true),
        ("off-policy", false, true),
    ] {
        let kinds = kinds(scenario);
        assert_eq!(
            (kinds.contains(&candidates), kinds.contains(&weaker)),
            (own, other),
            "{scenario}"
        );
        assert_eq!(kinds.contains(&StageKind::WeakerModel), other);
    }
}

#[test]
fn arms_that_differ_before_training_have_starts_of_their_own() {
    let text = TWO_ARMS
        .replace(
            "varies = [\"method\"]",
            "varies = [\"method\", \"sft.epochs\"]",
        )
        .replace("[arms.dpo]", "sft.epochs = 1\n[arms.dpo]\nsft.epochs = 2");
    let plan = plan(&text);
    let names: Vec<_> = plan.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["sft@ppo", "sft@dpo", "ppo", "dpo"]);
    assert_eq!(plan.baseline, "sft@ppo");
}

#[test]
fn an_arm_without_training_is_the_start_itself() {
    let plan = plan(&format!("{TWO_ARMS}\n[arms.sft]\nmethod.sft = {{}}\n"));
    assert_eq!(cells(&plan)[..3], ["ppo 0", "dpo 0", "sft 0"]);
    assert_eq!(plan.baseline, "sft");
}

#[test]
fn arms_with_the_same_settings_share_everything() {
    let plan = plan(&format!(
        "{TWO_ARMS}\n[arms.again]\nmethod.dpo = {{ objective.dpo = {{ beta = 0.1 }} }}\n"
    ));
    let (dpo, again) = (&plan.cells[2], &plan.cells[3]);
    assert_eq!(dpo.stages, again.stages);
    assert_eq!(plan.stage(dpo.training.unwrap()).shared_by, 2);
}

#[test]
fn base_gives_defaults_for_each_choice_and_an_arm_takes_up_one() {
    let text = TWO_ARMS.replace(
        "budget.updates = 4",
        "budget.updates = 4\nmethod.dpo.batch_size = 7\nmethod.ppo.batch_size = 9\nmethod.dpo.objective.ipo = { eta = 3.0 }",
    );
    let plan = plan(&text);
    let batch = |arm: usize| match &plan.arms[arm].settings.method {
        preflab_config::Method::Ppo(ppo) => ("ppo", ppo.batch_size.get()),
        preflab_config::Method::Dpo(dpo) => ("dpo", dpo.batch_size.get()),
        other => panic!("{other:?}"),
    };
    assert_eq!((batch(1), batch(2)), (("ppo", 9), ("dpo", 7)));
    assert_eq!(plan.arms[2].method(), "dpo: dpo");
}

const GRID: &str = "\n[ablate]\narm = \"dpo\"\ngrid = { \"method.dpo.objective.dpo.beta\" = [0.1, 1], \"method.dpo.batch_size\" = [8, 16] }\n";

#[test]
fn an_ablation_becomes_arms_with_readable_names() {
    let plan = plan(&format!("{TWO_ARMS}{GRID}"));
    let names: Vec<_> = plan.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "sft",
            "ppo",
            "dpo",
            "dpo@beta=0.1@batch_size=8",
            "dpo@beta=0.1@batch_size=16",
            "dpo@beta=1@batch_size=8",
            "dpo@beta=1@batch_size=16"
        ]
    );
    assert_eq!(plan.arms[6].origin, ArmOrigin::Ablation);
    assert_eq!(
        plan.arms[6].point,
        [GridValue::Number(1.0), GridValue::Number(16.0)]
    );
    let record = plan.ablation.unwrap();
    assert_eq!(
        record.keys,
        ["method.dpo.objective.dpo.beta", "method.dpo.batch_size"]
    );
}

#[test]
fn a_grid_over_choices_replaces_them() {
    let grid = "[ablate]\narm = \"ppo\"\ngrid = { \"method.ppo.kl\" = [{ fixed = 0.1 }, { adaptive = { target = 4.0 } }] }\n";
    let plan = plan(&format!("{TWO_ARMS}{grid}"));
    let names: Vec<_> = plan.arms[3..].iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["ppo@kl=fixed-0.1", "ppo@kl=adaptive-target-4.0"]);
}

#[test]
fn what_is_matched_is_listed_with_every_default() {
    let plan = plan(TWO_ARMS);
    let keys: Vec<&str> = plan
        .matched
        .iter()
        .map(|matched| matched.key.as_str())
        .collect();
    for key in [
        "model.width",
        "sft.optimizer.learning_rate",
        "preferences.judge.temperature",
        "budget.updates",
    ] {
        assert!(keys.contains(&key), "{key} in {keys:?}");
    }
    assert!(!keys.iter().any(|key| key.starts_with("method")));
}

proptest! {
    #[test]
    fn the_order_of_arms_changes_nothing_but_the_order(order in Just(vec![0_usize, 1, 2, 3]).prop_shuffle(), seeds in 1_u64..4) {
        let arms = [
            "[arms.ppo]\nmethod.ppo = { kl.fixed = 0.05 }\n",
            "[arms.dpo]\nmethod.dpo = { objective.dpo = { beta = 0.1 } }\n",
            "[arms.ipo]\nmethod.dpo = { objective.ipo = {} }\n",
            "[arms.best]\nmethod.best-of-n = { n = 4 }\n",
        ];
        let head = TWO_ARMS.split("[arms.ppo]").next().unwrap();
        let text = |order: &[usize]| {
            let arms: String = order.iter().map(|&arm| arms[arm]).collect();
            format!("{head}{arms}")
        };
        let set = format!("seeds={seeds}");
        let (one, other) = (plan_of(&text(&[0, 1, 2, 3]), &[&set]).unwrap(), plan_of(&text(&order), &[&set]).unwrap());
        prop_assert_eq!(keys(&one), keys(&other));
        let sorted = |plan: &Plan| {
            let mut cells: Vec<_> = plan
                .cells
                .iter()
                .map(|cell| {
                    let mut keys: Vec<_> = cell.stages.iter().map(|id| plan.stage(*id).directory_name()).collect();
                    keys.sort();
                    (plan.arm(cell).name.clone(), cell.seed, keys)
                })
                .collect();
            cells.sort();
            cells
        };
        prop_assert_eq!(sorted(&one), sorted(&other));
    }

    #[test]
    fn settings_written_out_are_the_same_settings(
        beta in 1e-6_f64..1e3,
        batch in 1_usize..1000,
        rate in 1e-9_f64..1.0,
        flips in 0.0_f64..0.499,
        prompts in proptest::option::of(1_usize..99),
    ) {
        let mut sets = vec![
            format!("arms.dpo.method.dpo.objective.dpo.beta={beta:e}"),
            format!("arms.dpo.method.dpo.batch_size={batch}"),
            format!("sft.optimizer.learning_rate={rate:e}"),
            format!("preferences.judge.label_flips={flips:e}"),
        ];
        sets.extend(prompts.map(|prompts| format!("evaluation.prompts={prompts}")));
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        for arm in plan_of(TWO_ARMS, &sets).unwrap().arms {
            let text = toml::to_string(&arm.settings).unwrap();
            let again: preflab_config::Settings = toml::from_str(&text).unwrap();
            prop_assert_eq!(&again, &arm.settings, "{}", text);
        }
    }
}

#[test]
fn an_outline_shows_cells_stages_and_what_is_matched() {
    let plan = plan_of(
        TWO_ARMS,
        &["budget.updates=400", "task.verse.train_prompts=4096"],
    )
    .unwrap();
    let outline = Outline::new(&plan, "nowhere".as_ref()).to_string();
    let (before, rest) = outline.split_once("matched:\n").unwrap();
    let (matched, after) = rest.split_once("\n\n").unwrap();
    assert!(
        matched
            .lines()
            .any(|line| line == "  budget: updates = 400"),
        "{matched}"
    );
    insta::assert_snapshot!(format!("{before}...\n\n{after}"), @"
    test: Which is better?

    6 cells: 3 arms under 2 seeds (0, 1)
      arm             method    sets
      sft (baseline)  sft       the start of the other arms
      ppo             ppo       method.ppo.kl.fixed = 0.05
      dpo             dpo: dpo  method.dpo.objective.dpo.beta = 0.1

    21 stages, 0 on disk
      stage                    number  done  cells sharing each  about
      task data and tokenizer       1     0                   6    1 s
      supervised start              2     0                   3    1 s
      sft · evaluation              2     0                   1    1 s
      candidates                    2     0                   2    3 s
      preference pairs              2     0                   2    2 s
      reward model                  2     0                   1    2 s
      ppo · training                2     0                   1    8 s
      ppo · evaluation              2     0                   1    1 s
      reference log-probs           2     0                   1    1 s
      dpo · training                2     0                   1    4 s
      dpo · evaluation              2     0                   1    1 s

    varied: method
    ...

    model: about 7 thousand parameters (vocabulary of about 256)
    memory: at most about 81 MB for each stage at work, in ppo · training
      model      weights  gradients  optimiser  activations  cache
      policy        1 MB       1 MB       1 MB        12 MB   1 MB
      reference     1 MB          -          -         8 MB      -
      reward        1 MB          -          -        16 MB      -
      value         1 MB       1 MB       1 MB         8 MB      -
    time: about 26 s on two cores
    ");
}

#[test]
fn an_outline_tells_what_is_done() {
    let (plan, directory) = (plan(TWO_ARMS), tempfile::tempdir().unwrap());
    let fake = Fake::with("seed 1 · dpo · training", Mischief::Interrupt);
    run(&plan, &fake, directory.path());
    let outline = Outline::new(&plan, directory.path());
    assert!(outline.to_string().contains("21 stages, 19 on disk"));
    let json = serde_json::to_value(&outline).unwrap();
    let done: Vec<bool> = json["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| cell["done"].as_bool().unwrap())
        .collect();
    assert_eq!(done, [true, true, true, true, true, false]);
    assert_eq!(json["stages"].as_array().unwrap().len(), 21);
}
