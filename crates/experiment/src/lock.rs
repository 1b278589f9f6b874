//! `preflab.lock`: what an experiment was computed from, as an experiment file of its own.
//!
//! Its top is the experiment with every default written out, so that `preflab run runs/<experiment>/preflab.lock`
//! computes the same numbers again, whatever has become of the file and of model names; its `[lock]` table names data,
//! tokenizer, initial weights, binary and every stage by their hashes.

use std::sync::Arc;

use serde::Serialize;
use toml::{Table, Value};

use crate::plan::settings_value;
use crate::records::ArmOrigin;
use crate::store::Finished;
use crate::{Arm, Plan, StageKind};

/// File name of the lock in the experiment's directory.
pub const LOCK_FILE: &str = "preflab.lock";

/// The `[lock]` table.
#[derive(Serialize)]
struct Locked<'a> {
    experiment: &'a str,
    version: &'a str,
    device: &'a str,
    overrides: &'a [String],
    data: Table,
    /// Hashes that stages name: `tokenizer`, and `initial-weights` for each seed.
    fingerprints: Table,
    stages: Vec<LockedStage<'a>>,
}

#[derive(Serialize)]
struct LockedStage<'a> {
    kind: StageKind,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    title: &'a str,
    /// One hash over its artifacts; absent until it is finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

/// The lock of a plan of which some stages are finished, in the order of the plan's stages.
pub fn lock_text(plan: &Plan, finished: &[Option<Arc<Finished>>]) -> String {
    let mut lock = experiment(plan);
    let data = plan
        .data
        .iter()
        .map(|(path, hash)| (path.display().to_string(), Value::from(hash)))
        .collect();
    let stages = plan.stages.iter().zip(finished);
    let mut fingerprints = Table::new();
    for (stage, finished) in stages.clone() {
        let Some(finished) = finished else { continue };
        let seed = stage
            .seed
            .map_or_else(String::new, |seed| format!(".seed-{seed}"));
        for (name, hash) in &finished.outcome.fingerprints {
            fingerprints.insert(
                format!("{}.{name}{seed}", stage.kind),
                Value::from(hash.as_str()),
            );
        }
        if let Some(hash) = finished
            .files
            .get("tokenizer.json".as_ref() as &std::path::Path)
        {
            fingerprints.insert(
                format!("{}.tokenizer{seed}", stage.kind),
                Value::from(hash.as_str()),
            );
        }
    }
    let locked = Locked {
        experiment: &plan.name,
        version: &plan.environment.version,
        device: &plan.environment.device,
        overrides: &plan.overrides,
        data,
        fingerprints,
        stages: stages
            .map(|(stage, finished)| LockedStage {
                kind: stage.kind,
                key: stage.key.as_str(),
                seed: stage.seed,
                title: &stage.title,
                output: finished.as_ref().map(|finished| finished.output()),
            })
            .collect(),
    };
    lock.insert(
        "lock".to_owned(),
        Value::try_from(locked).expect("hashes and names"),
    );
    let text = toml::to_string(&lock).expect("plain data");
    format!(
        "# What `{}` was computed from. `preflab run` of this file computes it again.\n{text}",
        plan.name
    )
}

/// The experiment with every setting written out.
fn experiment(plan: &Plan) -> Table {
    let written: Vec<&Arm> = plan
        .arms
        .iter()
        .filter(|arm| arm.origin == ArmOrigin::File)
        .collect();
    let varies: Vec<Vec<String>> = plan
        .varies
        .iter()
        .map(|key| crate::overrides::parse_key(key).expect("a key that was parsed before"))
        .collect();
    let mut base = written.first().map_or_else(
        || Value::Table(Table::new()),
        |arm| settings_value(&arm.settings),
    );
    for path in &varies {
        remove(&mut base, path);
    }
    let arms: Table = written
        .iter()
        .map(|arm| {
            let settings = settings_value(&arm.settings);
            let mut own = Table::new();
            for path in &varies {
                if let Some(value) = get(&settings, path) {
                    insert(&mut own, path, value.clone());
                }
            }
            (arm.name.clone(), Value::Table(own))
        })
        .collect();
    let seeds = plan
        .seeds
        .iter()
        .map(|&seed| Value::from(i64::try_from(seed).expect("a seed that was an integer")));
    let mut table = Table::new();
    table.insert("question".to_owned(), Value::from(plan.question.as_str()));
    table.insert("seeds".to_owned(), Value::Array(seeds.collect()));
    table.insert(
        "varies".to_owned(),
        Value::Array(
            plan.varies
                .iter()
                .map(|key| Value::from(key.as_str()))
                .collect(),
        ),
    );
    table.insert("baseline".to_owned(), Value::from(plan.baseline.as_str()));
    table.insert("base".to_owned(), base);
    table.insert("arms".to_owned(), Value::Table(arms));
    if let Some(ablate) = &plan.ablate {
        table.insert("ablate".to_owned(), ablate.clone());
    }
    table
}

fn get<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

fn remove(value: &mut Value, path: &[String]) {
    let (Some((key, rest)), Some(table)) = (path.split_first(), value.as_table_mut()) else {
        return;
    };
    if rest.is_empty() {
        table.remove(key);
    } else if let Some(below) = table.get_mut(key) {
        remove(below, rest);
        if below.as_table().is_some_and(Table::is_empty) {
            table.remove(key);
        }
    }
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    let Some((key, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        table.insert(key.clone(), value);
        return;
    }
    let below = table
        .entry(key.clone())
        .or_insert_with(|| Value::Table(Table::new()));
    if let Some(below) = below.as_table_mut() {
        insert(below, rest, value);
    }
}
