//! From an experiment as written to what is computed: cells, and the stages they share.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use preflab_config::Settings;

use crate::arms::{Arm, START, ablation_record, arms};
use crate::data_hashes::DataHashes;
use crate::graph::{Graph, Start, is_start};
use crate::models::Models;
use crate::node::{Node, dotted};
use crate::records::{AblationRecord, KeyValue};
use crate::spec::Spec;
use crate::{Problem, Problems, Stage, StageId};

/// What decides results beside the experiment itself.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `cpu` or `cuda`: numbers differ between the two, so stages of one are not taken for the other's.
    pub device: String,
    /// Version of the binary, for the records.
    pub version: String,
}

/// Everything an experiment computes, in order. Nothing in it is optional, nothing is merged later.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name of the experiment.
    pub name: String,
    /// The question it answers.
    pub question: String,
    /// The seeds, in the order in which they are run.
    pub seeds: Vec<u64>,
    /// The arms: starts first, then those of the file in its order, then those of the ablation.
    pub arms: Vec<Arm>,
    /// Arm under seed, seed-major, arms in their order.
    pub cells: Vec<Cell>,
    /// Pieces of work, seed-major; each comes after its inputs.
    pub stages: Vec<Stage>,
    /// The arm others are compared with.
    pub baseline: String,
    /// The keys in which arms may differ.
    pub varies: Vec<String>,
    /// Every other setting: equal in all arms.
    pub matched: Vec<KeyValue>,
    /// Overrides of the command line, as typed.
    pub overrides: Vec<String>,
    /// The grid, if there is one.
    pub ablation: Option<AblationRecord>,
    /// `[ablate]` as written, for the lock.
    pub(crate) ablate: Option<toml::Value>,
    /// Hashes of the files that the task and the model are read from.
    pub data: DataHashes,
    /// What decides results beside all this.
    pub environment: Environment,
}

/// One arm under one seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Position in [`Plan::arms`].
    pub arm: usize,
    /// The seed.
    pub seed: u64,
    /// Every stage behind it, inputs first.
    pub stages: Vec<StageId>,
    /// The training of its policy, if it trains one.
    pub training: Option<StageId>,
    /// Its scores.
    pub evaluation: StageId,
    /// Stages whose curves are shown in its directory, and where in it.
    pub logs: Vec<(StageId, PathBuf)>,
}

impl Plan {
    /// The plan of an experiment.
    ///
    /// # Errors
    /// With every reason why this is not a matched comparison of valid settings.
    pub fn new(spec: &Spec, environment: Environment) -> Result<Self, Problems> {
        let written = arms(spec, &Models::near(&spec.file))?;
        let data =
            DataHashes::of(written.iter().map(|arm| &arm.settings)).map_err(Problems::from)?;
        check_lock(spec, &data)?;
        let starts = starts(&written, &data, &environment);
        let mut arms = starts
            .iter()
            .filter_map(|start| start.arm.clone())
            .collect::<Vec<_>>();
        arms.extend(written);
        let mut graph = Graph::new(&data, &environment);
        let mut cells = Vec::new();
        for &seed in &spec.seeds {
            for (index, arm) in arms.iter().enumerate() {
                cells.push(graph.cell(index, arm, seed));
            }
        }
        let stages = graph.finish(&arms, &mut cells);
        let baseline = match &spec.baseline {
            Some((name, _)) => name.clone(),
            None => arms
                .iter()
                .find(|arm| is_start(arm))
                .unwrap_or(&arms[0])
                .name
                .clone(),
        };
        let varies: Vec<Vec<String>> = spec
            .varies
            .iter()
            .map(|varied| varied.path.clone())
            .collect();
        Ok(Self {
            name: spec.name.clone(),
            question: spec.question.clone(),
            seeds: spec.seeds.clone(),
            matched: matched(&arms, &varies),
            varies: varies.iter().map(|path| dotted(path)).collect(),
            arms,
            cells,
            stages,
            baseline,
            overrides: spec.overrides.clone(),
            ablation: ablation_record(spec),
            ablate: spec.ablate.as_ref().map(Node::to_toml),
            data,
            environment,
        })
    }

    /// The stage at a position.
    pub fn stage(&self, id: StageId) -> &Stage {
        &self.stages[id.index()]
    }

    /// The arm of a cell.
    pub fn arm(&self, cell: &Cell) -> &Arm {
        &self.arms[cell.arm]
    }

    /// Directory of a cell, relative to the experiment's.
    pub fn cell_directory(&self, cell: &Cell) -> PathBuf {
        crate::records::cell_directory(Path::new(""), &self.arm(cell).name, cell.seed)
    }
}

/// The starts of the arms, each evaluated as it is: usually one, called `sft`.
///
/// Arms that differ in what comes before their training (`varies = ["model"]`) have different starts; each is then
/// named after the first of its arms, in the order of the alphabet. An arm without training is its own start.
fn starts(written: &[Arm], data: &DataHashes, environment: &Environment) -> Vec<Start> {
    let mut graph = Graph::new(data, environment);
    let mut starts: Vec<Start> = Vec::new();
    for arm in written {
        let key = graph.start_key(arm);
        let start = match starts.iter_mut().find(|start| start.key == key) {
            Some(start) => start,
            None => {
                starts.push(Start {
                    key,
                    arm: Some(graph.start_arm(arm)),
                    of: BTreeSet::new(),
                });
                starts.last_mut().expect("just pushed")
            }
        };
        start.of.insert(arm.name.clone());
        if is_start(arm) {
            start.arm = None;
        }
    }
    let several = starts.len() > 1;
    for start in &mut starts {
        if let Some(arm) = &mut start.arm {
            let first = start.of.first().expect("the arm it was made for");
            arm.name = if several {
                format!("{START}@{first}")
            } else {
                START.to_owned()
            };
        }
    }
    starts
}

/// Settings outside the varied keys: equal in all arms, by the check that arms set nothing else.
fn matched(arms: &[Arm], varies: &[Vec<String>]) -> Vec<KeyValue> {
    let Some(arm) = arms.last() else {
        return Vec::new();
    };
    let mut values = Vec::new();
    leaves(&settings_value(&arm.settings), &mut Vec::new(), &mut values);
    values
        .into_iter()
        .filter(|(path, _)| !varies.iter().any(|varied| path.starts_with(varied)))
        .map(|(path, value)| KeyValue {
            key: dotted(&path),
            value: value.to_string(),
        })
        .collect()
}

/// Settings as TOML.
pub(crate) fn settings_value(settings: &Settings) -> toml::Value {
    toml::Value::try_from(settings).expect("settings are plain data")
}

fn leaves(
    value: &toml::Value,
    path: &mut Vec<String>,
    found: &mut Vec<(Vec<String>, toml::Value)>,
) {
    match value.as_table() {
        Some(table) if !table.is_empty() => {
            for (key, value) in table {
                path.push(key.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
        Some(_) | None => found.push((path.clone(), value.clone())),
    }
}

/// A lock that is run again must find the data it was written for.
fn check_lock(spec: &Spec, data: &DataHashes) -> Result<(), Problems> {
    let Some(entry) = spec.locked.as_ref().and_then(|lock| lock.entry("data")) else {
        return Ok(());
    };
    let mut problems = Vec::new();
    for locked in entry.node.entries() {
        let found = data.get(Path::new(&locked.key));
        if found.is_some() && found != locked.node.as_text() {
            problems.push(
                Problem::new(format!(
                    "`{}` is not the file this lock was written for",
                    locked.key
                ))
                .at(spec.sources.place(&locked.key_origin))
                .hint("restore the file, or run the experiment file instead of its lock"),
            );
        }
    }
    Problems::check(problems)
}
