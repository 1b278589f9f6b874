//! A plan as people and machines read it.

use std::fmt::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use crate::estimate::Estimate;
use crate::memory::{RoleMemory, StageMemory};
use crate::records::{ArmOrigin, KeyValue};
use crate::{DataHashes, Plan, StageKind};

/// A plan with what is on disk and what the rest costs. Its `Display` is for people, its JSON for machines.
#[derive(Debug, Clone, Serialize)]
pub struct Outline<'a> {
    name: &'a str,
    question: &'a str,
    device: &'a str,
    seeds: &'a [u64],
    baseline: &'a str,
    arms: Vec<ArmLine<'a>>,
    cells: Vec<CellLine<'a>>,
    stages: Vec<StageLine<'a>>,
    varies: &'a [String],
    matched: &'a [KeyValue],
    overrides: &'a [String],
    data: &'a DataHashes,
    vocabulary: usize,
    parameters: usize,
    memory_bytes: f64,
    /// Title of the stage that takes them.
    memory_of: &'a str,
    /// By its models.
    memory_roles: Vec<RoleMemory>,
    seconds: f64,
}

#[derive(Debug, Clone, Serialize)]
struct ArmLine<'a> {
    name: &'a str,
    origin: ArmOrigin,
    method: String,
    settings: &'a [KeyValue],
}

#[derive(Debug, Clone, Serialize)]
struct CellLine<'a> {
    arm: &'a str,
    seed: u64,
    done: bool,
    stages: Vec<&'a str>,
}

#[derive(Debug, Clone, Serialize)]
struct StageLine<'a> {
    kind: StageKind,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    key: &'a str,
    inputs: Vec<&'a str>,
    shared_by: usize,
    done: bool,
    seconds: f64,
    memory: StageMemory,
}

impl<'a> Outline<'a> {
    /// The outline of a plan whose directory is `directory`, be it there or not.
    pub fn new(plan: &'a Plan, directory: &Path) -> Self {
        let estimate = Estimate::of(plan, directory);
        let hungriest = estimate.hungriest();
        let key = |id: &crate::StageId| plan.stage(*id).key.as_str();
        Self {
            name: &plan.name,
            question: &plan.question,
            device: &plan.environment.device,
            seeds: &plan.seeds,
            baseline: &plan.baseline,
            arms: plan
                .arms
                .iter()
                .map(|arm| ArmLine {
                    name: &arm.name,
                    origin: arm.origin,
                    method: arm.method(),
                    settings: &arm.varied,
                })
                .collect(),
            cells: plan
                .cells
                .iter()
                .map(|cell| CellLine {
                    arm: &plan.arm(cell).name,
                    seed: cell.seed,
                    done: cell.stages.iter().all(|id| estimate.finished[id.index()]),
                    stages: cell.stages.iter().map(key).collect(),
                })
                .collect(),
            stages: plan
                .stages
                .iter()
                .enumerate()
                .map(|(index, stage)| StageLine {
                    kind: stage.kind,
                    title: &stage.title,
                    seed: stage.seed,
                    key: stage.key.as_str(),
                    inputs: stage.inputs.iter().map(key).collect(),
                    shared_by: stage.shared_by,
                    done: estimate.finished[index],
                    seconds: estimate.seconds[index],
                    memory: estimate.memory[index].clone(),
                })
                .collect(),
            varies: &plan.varies,
            matched: &plan.matched,
            overrides: &plan.overrides,
            data: &plan.data,
            vocabulary: estimate.vocabulary,
            parameters: estimate.parameters,
            memory_bytes: hungriest.map_or(0.0, |index| estimate.memory[index].peak),
            memory_of: hungriest.map_or("", |index| plan.stages[index].title.as_str()),
            memory_roles: hungriest
                .map(|index| estimate.memory[index].roles.clone())
                .unwrap_or_default(),
            seconds: estimate.seconds.iter().sum(),
        }
    }

    fn done(&self) -> usize {
        self.stages.iter().filter(|stage| stage.done).count()
    }

    fn write_arms(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.arms.iter().map(|arm| {
            let settings: Vec<String> = arm
                .settings
                .iter()
                .map(|set| format!("{} = {}", set.key, set.value))
                .collect();
            let settings = match arm.origin {
                ArmOrigin::Start => "the start of the other arms".to_owned(),
                ArmOrigin::File | ArmOrigin::Ablation => settings.join(", "),
            };
            let baseline = if arm.name == self.baseline {
                " (baseline)"
            } else {
                ""
            };
            vec![
                format!("{}{baseline}", arm.name),
                arm.method.clone(),
                settings,
            ]
        });
        write_table(f, &["arm", "method", "sets"], &[false; 3], rows.collect())
    }

    /// One line for the stages of one kind and title, over all seeds.
    fn write_stages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut titles: Vec<(StageKind, &str)> = Vec::new();
        for stage in &self.stages {
            if !titles.contains(&(stage.kind, stage.title)) {
                titles.push((stage.kind, stage.title));
            }
        }
        let rows = titles.into_iter().map(|(kind, title)| {
            let group: Vec<_> = self
                .stages
                .iter()
                .filter(|stage| (stage.kind, stage.title) == (kind, title))
                .collect();
            let done = group.iter().filter(|stage| stage.done).count();
            let cells: Vec<usize> = group.iter().map(|stage| stage.shared_by).collect();
            let (least, most) = (
                cells.iter().min().copied().unwrap_or(0),
                cells.iter().max().copied().unwrap_or(0),
            );
            let cells = if least == most {
                most.to_string()
            } else {
                format!("{least}-{most}")
            };
            let left: f64 = group.iter().map(|stage| stage.seconds).sum();
            let left = if done == group.len() {
                "-".to_owned()
            } else {
                duration(left)
            };
            vec![
                title.to_owned(),
                group.len().to_string(),
                done.to_string(),
                cells,
                left,
            ]
        });
        let headings = ["stage", "number", "done", "cells sharing each", "about"];
        write_table(
            f,
            &headings,
            &[false, true, true, true, true],
            rows.collect(),
        )
    }

    /// How much memory the hungriest stage takes, in a line.
    pub fn memory(&self) -> String {
        format!(
            "memory: at most about {} for each stage at work, in {}",
            bytes(self.memory_bytes),
            self.memory_of
        )
    }

    /// The most that a stage takes, bytes.
    pub fn memory_bytes(&self) -> f64 {
        self.memory_bytes
    }

    /// The models of the stage that takes the most memory.
    fn write_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.memory_roles.iter().map(|role| {
            let parts = [
                role.weights,
                role.gradients,
                role.optimizer,
                role.activations,
                role.cache,
            ];
            let parts = parts.map(|part| {
                if part > 0.0 {
                    bytes(part)
                } else {
                    "-".to_owned()
                }
            });
            std::iter::once(role.role.to_owned()).chain(parts).collect()
        });
        let headings = [
            "model",
            "weights",
            "gradients",
            "optimiser",
            "activations",
            "cache",
        ];
        let right = [false, true, true, true, true, true];
        write_table(f, &headings, &right, rows.collect())
    }

    fn write_matched(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
        for KeyValue { key, value } in self.matched {
            let (head, rest) = key.split_once('.').unwrap_or((key, ""));
            let text = if rest.is_empty() {
                value.clone()
            } else {
                format!("{rest} = {value}")
            };
            match groups.last_mut() {
                Some((last, texts)) if *last == head => texts.push(text),
                Some(_) | None => groups.push((head, vec![text])),
            }
        }
        for (head, texts) in groups {
            writeln!(f, "  {head}: {}", texts.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Outline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        writeln!(f, "{}: {}\n", self.name, self.question)?;
        writeln!(
            f,
            "{}: {} under {} ({})",
            counted(self.cells.len(), "cell"),
            counted(self.arms.len(), "arm"),
            counted(self.seeds.len(), "seed"),
            seeds.join(", ")
        )?;
        self.write_arms(f)?;
        writeln!(
            f,
            "\n{}, {} on disk",
            counted(self.stages.len(), "stage"),
            self.done()
        )?;
        self.write_stages(f)?;
        writeln!(
            f,
            "\nvaried: {}",
            if self.varies.is_empty() {
                "nothing".to_owned()
            } else {
                self.varies.join(", ")
            }
        )?;
        writeln!(f, "matched:")?;
        self.write_matched(f)?;
        writeln!(f)?;
        writeln!(
            f,
            "model: about {} (vocabulary of about {})",
            quantity(self.parameters as f64, "parameters"),
            self.vocabulary
        )?;
        writeln!(f, "{}", self.memory())?;
        self.write_memory(f)?;
        write!(f, "time: about {} on two cores", duration(self.seconds))
    }
}

/// Columns as wide as they need to be; numbers to the right.
fn write_table(
    f: &mut fmt::Formatter<'_>,
    headings: &[&str],
    right: &[bool],
    rows: Vec<Vec<String>>,
) -> fmt::Result {
    let headings: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(headings).chain(rows).collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            if right[column] {
                write!(line, "  {cell:>width$}")?;
            } else {
                write!(line, "  {cell:<width$}")?;
            }
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn quantity(number: f64, what: &str) -> String {
    if number >= 1e9 {
        format!("{:.1} billion {what}", number / 1e9)
    } else if number >= 1e6 {
        format!("{:.1} million {what}", number / 1e6)
    } else {
        format!("{:.0} thousand {what}", (number / 1e3).ceil())
    }
}

/// An amount of memory for people.
pub fn bytes(number: f64) -> String {
    if number >= 1e9 {
        format!("{:.1} GB", number / 1e9)
    } else {
        format!("{:.0} MB", (number / 1e6).ceil())
    }
}

/// A time for people.
pub fn duration(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{seconds:.1} s")
    } else if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else if seconds < 5400.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_for_people() {
        assert_eq!(duration(0.25), "0.2 s");
        assert_eq!(duration(89.4), "89 s");
        assert_eq!(duration(600.0), "10 min");
        assert_eq!(duration(7200.0), "2.0 h");
        assert_eq!(bytes(3.2e6), "4 MB");
        assert_eq!(quantity(412_345.0, "parameters"), "413 thousand parameters");
        assert_eq!(counted(1, "seed"), "1 seed");
    }
}
