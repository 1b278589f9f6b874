//! Finished runs as claims read them: arms by their settings, figures by seed.

use std::path::{Path, PathBuf};

use preflab_config::{Objective, Scenario};
use preflab_experiment::records::{ArmOrigin, ArmRecord, CellStatus, KeyValue, Records};
use preflab_metrics::Metric;
use serde::Serialize;
use toml::{Table, Value};

use super::ClaimsError;
use crate::curves::CurveSet;

/// An experiment's records and curves.
pub(super) struct Run {
    pub(super) directory: PathBuf,
    pub(super) records: Records,
    curves: CurveSet,
    pub(super) arms: Vec<Arm>,
}

/// An arm with its settings as a tree.
pub(super) struct Arm {
    pub(super) name: String,
    pub(super) origin: ArmOrigin,
    /// Matched settings and the arm's own. Of a start the matched ones alone.
    settings: Table,
    /// `dpo`, `ppo`, ...
    pub(super) method: String,
    /// The objective over pairs, where the method has one that this version knows.
    pub(super) objective: Option<Objective>,
}

/// A run that claims were read from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRead {
    /// Its directory.
    pub directory: PathBuf,
    /// The experiment's name, or `toy`.
    pub name: String,
    /// Cells that are done, of those planned; absent for the toy model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cells: Option<(usize, usize)>,
}

impl Run {
    pub(super) fn read(directory: &Path) -> Result<Self, ClaimsError> {
        let records = Records::read(directory)?;
        let curves = CurveSet::read(&records)?;
        let matched = &records.experiment.matched;
        let arms = &records.experiment.arms;
        let arms = arms.iter().map(|arm| Arm::new(arm, matched)).collect();
        Ok(Self {
            directory: directory.to_owned(),
            records,
            curves,
            arms,
        })
    }

    pub(super) fn about(&self) -> RunRead {
        let experiment = &self.records.experiment;
        let done = |cell: &&_| {
            matches!(
                cell,
                preflab_experiment::records::CellRecord {
                    status: CellStatus::Done,
                    ..
                }
            )
        };
        RunRead {
            directory: self.directory.clone(),
            name: experiment.name.clone(),
            cells: Some((
                self.records.cells.iter().filter(done).count(),
                experiment.arms.len() * experiment.seeds.len(),
            )),
        }
    }

    /// Finished seeds of an arm with a final figure: the record's, or where it has none the curve's last.
    pub(super) fn last(&self, arm: &Arm, tag: &str) -> Vec<(u64, f64)> {
        self.each(arm, |run, seed, measures| {
            let recorded = measures.get(tag).copied();
            recorded.or_else(|| Some(run.series(arm, seed, tag)?.last()?.1))
        })
    }

    /// Finished seeds of an arm with the change of a curve over its run: the mean of its last tenth minus that of its first.
    pub(super) fn growth(&self, arm: &Arm, tag: &str) -> Vec<(u64, f64)> {
        self.each(arm, |run, seed, _| {
            let finite = |&(_, value): &(u64, f64)| value.is_finite().then_some(value);
            let values: Vec<f64> = run
                .series(arm, seed, tag)?
                .iter()
                .filter_map(finite)
                .collect();
            let tenth = values.len().div_ceil(10);
            (values.len() > 1).then(|| {
                preflab_stats::mean(&values[values.len() - tenth..])
                    - preflab_stats::mean(&values[..tenth])
            })
        })
    }

    fn each(
        &self,
        arm: &Arm,
        figure: impl Fn(&Self, u64, &std::collections::BTreeMap<String, f64>) -> Option<f64>,
    ) -> Vec<(u64, f64)> {
        let cells = self.records.cells.iter();
        cells
            .filter(|cell| cell.arm == arm.name && cell.status == CellStatus::Done)
            .filter_map(|cell| Some((cell.seed, figure(self, cell.seed, &cell.measures)?)))
            .collect()
    }

    fn series(&self, arm: &Arm, seed: u64, tag: &str) -> Option<&[(u64, f64)]> {
        self.curves.series(&arm.name, seed, Metric::from_tag(tag)?)
    }

    /// The task's name.
    pub(super) fn task(&self) -> Option<&str> {
        let arm = self
            .arms
            .iter()
            .find(|arm| arm.origin != ArmOrigin::Start)?;
        arm.choice("task")
    }
}

/// `a − b` for the seeds that both have.
pub(super) fn paired(a: &[(u64, f64)], b: &[(u64, f64)]) -> Vec<f64> {
    let of = |seed: u64| b.iter().find(|&&(other, _)| other == seed);
    a.iter()
        .filter_map(|&(seed, value)| Some(value - of(seed)?.1))
        .collect()
}

/// The values alone.
pub(super) fn values(figures: &[(u64, f64)]) -> Vec<f64> {
    figures.iter().map(|&(_, value)| value).collect()
}

impl Arm {
    fn new(record: &ArmRecord, matched: &[KeyValue]) -> Self {
        let mut settings = Table::new();
        for KeyValue { key, value } in matched.iter().chain(&record.settings) {
            // A value that is no TOML is not one of this program's; without it the arm is less, not another.
            if let Ok(value) = format!("value = {value}").parse::<Table>()
                && let Some(value) = value.get("value")
            {
                set(&mut settings, key, value.clone());
            }
        }
        let method = match record.origin {
            ArmOrigin::Start => "sft".to_owned(),
            ArmOrigin::File | ArmOrigin::Ablation => {
                let name = record.method.split(':').next();
                name.unwrap_or_default().trim().to_owned()
            }
        };
        let objective = at(&settings, &["method", &method, "objective"])
            .and_then(|objective| objective.clone().try_into().ok());
        Self {
            name: record.name.clone(),
            origin: record.origin,
            settings,
            method,
            objective,
        }
    }

    /// The variant chosen under a key.
    fn choice(&self, key: &str) -> Option<&str> {
        match self.settings.get(key)? {
            Value::Table(table) => table.keys().next().map(String::as_str),
            Value::String(name) => Some(name),
            _ => None,
        }
    }

    /// Where its pairs come from.
    pub(super) fn scenario(&self) -> Scenario {
        at(&self.settings, &["preferences", "scenario"])
            .and_then(|scenario| scenario.clone().try_into().ok())
            .unwrap_or_default()
    }

    /// A setting of the method.
    pub(super) fn method_setting(&self, key: &str) -> Option<&Value> {
        at(&self.settings, &["method", &self.method, key])
    }

    /// Whether two arms are equal in all but the objective.
    pub(super) fn alike_but_objective(&self, other: &Self) -> bool {
        self.method == other.method
            && self.without(&["method", &self.method, "objective"])
                == other.without(&["method", &other.method, "objective"])
    }

    /// Whether two arms are equal in all but where their pairs come from.
    pub(super) fn alike_but_scenario(&self, other: &Self) -> bool {
        self.without(&["preferences", "scenario"]) == other.without(&["preferences", "scenario"])
    }

    /// Whether two arms are equal in all but the method.
    pub(super) fn alike_but_method(&self, other: &Self) -> bool {
        self.without(&["method"]) == other.without(&["method"])
    }

    /// Whether two arms are equal in all but the method and where their pairs come from.
    pub(super) fn alike_but_method_and_scenario(&self, other: &Self) -> bool {
        let rest = |arm: &Self| {
            let mut rest = arm.without(&["method"]);
            remove(&mut rest, &["preferences", "scenario"]);
            rest
        };
        rest(self) == rest(other)
    }

    fn without(&self, path: &[&str]) -> Table {
        let mut rest = self.settings.clone();
        remove(&mut rest, path);
        rest
    }
}

fn at<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (last, above) = path.split_last()?;
    let mut table = table;
    for key in above {
        table = table.get(*key)?.as_table()?;
    }
    table.get(*last)
}

fn remove(table: &mut Table, path: &[&str]) {
    match path {
        [] => {}
        [key] => {
            table.remove(*key);
        }
        [key, below @ ..] => {
            if let Some(Value::Table(table)) = table.get_mut(*key) {
                remove(table, below);
            }
        }
    }
}

/// Sets a dotted key; what stands in its way and is no table gives way.
fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((first, rest)) => {
            let below = table
                .entry(first.to_owned())
                .or_insert_with(|| Value::Table(Table::new()));
            if !below.is_table() {
                *below = Value::Table(Table::new());
            }
            if let Value::Table(below) = below {
                set(below, rest, value);
            }
        }
    }
}
