//! From the tables of a file to the complete, checked settings of each arm.

use std::collections::BTreeSet;

use preflab_config::Settings;

use crate::graph::is_start;
use crate::models::Models;
use crate::node::{Node, Origin, dotted};
use crate::read::read;
use crate::records::{AblationRecord, ArmOrigin, GridValue, KeyValue};
use crate::spec::{Ablation, Axis, Spec, Varied};
use crate::{Problem, Problems};

/// One arm of the comparison, complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Its name, which is also its directory.
    pub name: String,
    /// Where it comes from.
    pub origin: ArmOrigin,
    /// What it does, with the model's name replaced by its shape.
    pub settings: Settings,
    /// What it sets of the varied keys.
    pub varied: Vec<KeyValue>,
    /// Where it stands in the ablation's grid; empty for others.
    pub point: Vec<GridValue>,
}

/// An arm before its settings are read: its name and the tables laid over one another.
struct Draft {
    name: String,
    origin: ArmOrigin,
    merged: Node,
    own: Node,
    point: Vec<GridValue>,
}

impl Arm {
    /// The method, with its objective where it has one: `dpo: flex-dpo`.
    pub fn method(&self) -> String {
        let method = &self.settings.method;
        match method.objective().map(toml::Value::try_from) {
            Some(Ok(toml::Value::Table(table))) => match table.keys().next() {
                Some(objective) => format!("{}: {objective}", method.name()),
                None => method.name().to_owned(),
            },
            Some(_) | None => method.name().to_owned(),
        }
    }
}

/// Every arm of an experiment: those of the file in its order, then those of the ablation.
///
/// # Errors
/// With every reason why this is not a matched comparison of valid settings.
pub fn arms(spec: &Spec, models: &Models) -> Result<Vec<Arm>, Problems> {
    let mut problems = unmatched(spec);
    problems.extend(without_effect(spec));
    let drafts = drafts(spec);
    let mut names = BTreeSet::new();
    for draft in &drafts {
        if !names.insert(&draft.name) {
            problems.push(
                Problem::new(format!("two arms would be called `{}`", draft.name))
                    .hint("rename the arm, or leave out values of the grid that read the same"),
            );
        }
    }
    let mut arms = Vec::new();
    for draft in drafts {
        match complete(&draft, spec, models) {
            Ok(settings) => arms.push(Arm {
                varied: varied_values(&draft.own),
                name: draft.name,
                origin: draft.origin,
                settings,
                point: draft.point,
            }),
            Err(found) => problems.extend(found),
        }
    }
    let not_the_start = |arm: &&Arm| arm.name == START && !is_start(arm);
    if let (Some(_), Some(entry)) = (
        arms.iter().find(not_the_start),
        spec.arms.iter().find(|entry| entry.key == START),
    ) {
        problems.push(
            Problem::new(format!(
                "an arm that trains cannot be called `{START}`: the start of all arms is"
            ))
            .at(spec.sources.place(&entry.key_origin))
            .hint("rename the arm, or give it `method.sft = {}` if it is meant to be the start"),
        );
    }
    if let Some((name, origin)) = &spec.baseline
        && name != START
        && !names_of(spec).contains(name)
    {
        problems.push(
            Problem::new(format!("`baseline`: there is no arm `{name}`"))
                .at(spec.sources.place(origin))
                .hint(format!(
                    "the arms are: {START}, {}",
                    names_of(spec).join(", ")
                )),
        );
    }
    Problems::check(problems)?;
    Ok(arms)
}

/// Name of the arm that the start is evaluated under.
pub const START: &str = "sft";

fn names_of(spec: &Spec) -> Vec<String> {
    drafts(spec).into_iter().map(|draft| draft.name).collect()
}

/// The grid of the ablation, as records hold it.
pub fn ablation_record(spec: &Spec) -> Option<AblationRecord> {
    spec.ablation.as_ref().map(|ablation| AblationRecord {
        arm: ablation.arm.clone(),
        keys: ablation
            .axes
            .iter()
            .map(|axis| dotted(&axis.path))
            .collect(),
        values: ablation
            .axes
            .iter()
            .map(|axis| axis.values.iter().map(grid_value).collect())
            .collect(),
    })
}

/// Reads an arm's settings and checks what a single value cannot show.
fn complete(draft: &Draft, spec: &Spec, models: &Models) -> Result<Settings, Vec<Problem>> {
    let mut settings: Settings = read(&draft.merged, &spec.sources)?;
    let mut problems = Vec::new();
    let place_of = |path: &[String]| {
        draft
            .merged
            .nearest_entry(path)
            .map(|entry| entry.node.origin.clone())
    };
    let place = |problem: Problem, origin: Option<Origin>| match origin {
        Some(origin) => problem.at(spec.sources.place(&origin)),
        None => problem,
    };
    for (key, source) in models.sources(&mut settings) {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        if let Err(problem) = models.resolve(source) {
            problems.push(place(problem, place_of(&path)));
        }
    }
    for conflict in settings.conflicts() {
        let path: Vec<String> = conflict.key.split('.').map(str::to_owned).collect();
        problems.push(place(
            Problem::new(conflict.message).hint(conflict.hint),
            place_of(&path),
        ));
    }
    for file in settings.task.files() {
        if !file.is_file() {
            let text = file.to_string_lossy();
            let leaf = draft
                .merged
                .leaves()
                .into_iter()
                .find(|(_, leaf)| leaf.node.as_text() == Some(&text));
            let set = leaf
                .as_ref()
                .map_or_else(|| "task....".to_owned(), |(path, _)| dotted(path));
            problems.push(place(
                Problem::new(format!("there is no file `{text}`"))
                    .hint(format!("paths are relative to the current directory; give another with `--set {set}=PATH`")),
                leaf.map(|(_, leaf)| leaf.node.origin.clone()),
            ));
        }
    }
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(problems)
    }
}

/// Arms that set what is not varied, or do not set what is.
fn unmatched(spec: &Spec) -> Vec<Problem> {
    let mut problems = Vec::new();
    for arm in &spec.arms {
        for (path, leaf) in arm.node.leaves() {
            if !spec
                .varies
                .iter()
                .any(|varied| path.starts_with(&varied.path))
            {
                let key = dotted(&path);
                problems.push(
                    Problem::new(format!("arm `{}` sets `{key}`, which is not listed in `varies`", arm.key))
                        .at(spec.sources.place(&leaf.key_origin))
                        .hint(format!(
                            "list `{key}` in `varies` if the comparison is about it; otherwise move it to `[base]`"
                        )),
                );
            }
        }
        for Varied { path, origin } in &spec.varies {
            if arm.node.at(path).is_none() {
                let key = dotted(path);
                problems.push(
                    Problem::new(format!(
                        "arm `{}` does not set `{key}`, which is listed in `varies`",
                        arm.key
                    ))
                    .at(spec.sources.place(origin))
                    .hint(format!(
                        "set `{key}` in `[arms.{}]`, even if to the value of another arm",
                        arm.key
                    )),
                );
            }
        }
    }
    problems
}

/// Overrides of `[base]` that an arm's own value hides.
fn without_effect(spec: &Spec) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, leaf) in spec.base.leaves() {
        let overridden = leaf.node.origin.layer > crate::spec::layer::BASE;
        for arm in spec
            .arms
            .iter()
            .filter(|arm| overridden && arm.node.at(&path).is_some())
        {
            let key = dotted(&path);
            let arm_path: Vec<&str> = ["arms", &arm.key]
                .into_iter()
                .chain(path.iter().map(String::as_str))
                .collect();
            problems.push(
                Problem::new(format!(
                    "arm `{}` sets `{key}` itself, so this would change nothing there",
                    arm.key
                ))
                .at(spec.sources.place(&leaf.key_origin))
                .hint(format!(
                    "write `--set {}={}`",
                    dotted(&arm_path),
                    leaf.node.to_toml()
                )),
            );
        }
    }
    problems
}

fn drafts(spec: &Spec) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = spec
        .arms
        .iter()
        .map(|arm| {
            let mut merged = spec.base.clone();
            merged.lay(&arm.node);
            Draft {
                name: arm.key.clone(),
                origin: ArmOrigin::File,
                merged,
                own: arm.node.clone(),
                point: Vec::new(),
            }
        })
        .collect();
    if let Some(ablation) = &spec.ablation
        && let Some(arm) = drafts.iter().position(|draft| draft.name == ablation.arm)
    {
        let derived: Vec<Draft> = points(&ablation.axes)
            .iter()
            .map(|point| derive(&drafts[arm], ablation, point))
            .collect();
        drafts.extend(derived);
    }
    drafts
}

/// Every combination of values, the last axis fastest.
fn points(axes: &[Axis]) -> Vec<Vec<&Node>> {
    axes.iter().fold(vec![Vec::new()], |points, axis| {
        points
            .into_iter()
            .flat_map(|point| {
                axis.values
                    .iter()
                    .map(move |value| [point.clone(), vec![value]].concat())
            })
            .collect()
    })
}

fn derive(arm: &Draft, ablation: &Ablation, point: &[&Node]) -> Draft {
    let (mut merged, mut own) = (arm.merged.clone(), arm.own.clone());
    let mut name = arm.name.clone();
    for (axis, value) in ablation.axes.iter().zip(point) {
        let path: Vec<_> = axis
            .path
            .iter()
            .map(|key| (key.clone(), axis.key_origin.clone()))
            .collect();
        merged.set(&path, (*value).clone());
        own.set(&path, (*value).clone());
        name.push_str(&format!(
            "@{}={}",
            short_key(axis, &ablation.axes),
            label(value)
        ));
    }
    Draft {
        name,
        origin: ArmOrigin::Ablation,
        merged,
        own,
        point: point.iter().map(|value| grid_value(value)).collect(),
    }
}

/// The last part of an axis' key, and as many before it as tell it from the other axis.
fn short_key(axis: &Axis, axes: &[Axis]) -> String {
    let end = |path: &[String], parts: usize| path[path.len().saturating_sub(parts)..].join(".");
    (1..=axis.path.len())
        .map(|parts| (end(&axis.path, parts), parts))
        .find(|(short, parts)| {
            axes.iter()
                .filter(|other| end(&other.path, *parts) == *short)
                .count()
                == 1
        })
        .map_or_else(|| axis.path.join("."), |(short, _)| short)
}

/// A value as part of a directory's name.
fn label(value: &Node) -> String {
    let text = match grid_value(value) {
        GridValue::Number(number) => number.to_string(),
        GridValue::Label(text) => text,
    };
    let mut label = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        };
        if !(c == '-' && (label.is_empty() || label.ends_with('-'))) {
            label.push(c);
        }
    }
    label.trim_end_matches('-').to_owned()
}

fn grid_value(value: &Node) -> GridValue {
    match value.to_toml() {
        toml::Value::Integer(number) => GridValue::Number(number as f64),
        toml::Value::Float(number) => GridValue::Number(number),
        toml::Value::String(text) => GridValue::Label(text),
        other => GridValue::Label(other.to_string()),
    }
}

/// What an arm sets itself.
fn varied_values(own: &Node) -> Vec<KeyValue> {
    own.leaves()
        .into_iter()
        .map(|(path, leaf)| KeyValue {
            key: dotted(&path),
            value: leaf.node.to_toml().to_string(),
        })
        .collect()
}
