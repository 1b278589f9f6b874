//! The preference pairs that arms train on: how good their two sides are, and how on-policy.

use std::collections::BTreeMap;

use preflab_experiment::StageKind;
use preflab_experiment::records::{CellStatus, StageUse};
use preflab_metrics::Metric;

use crate::document::{Block, Column, Rich, Section, Table};
use crate::format;
use crate::report::Context;
use crate::statistics;

/// Figures of the pairs, and of the pass of the start over them.
const FIGURES: [Metric; 9] = [
    Metric::PairsKept,
    Metric::PairsDroppedUniform,
    Metric::PairsGoldChosen,
    Metric::PairsGoldRejected,
    Metric::PairsFlipped,
    Metric::PairsLengthChosen,
    Metric::PairsLengthRejected,
    Metric::PairsLogpChosen,
    Metric::PairsLogpRejected,
];

/// Figures of each seed of the arms that train on the same pairs.
struct Shared<'a> {
    arms: Vec<&'a str>,
    by_metric: BTreeMap<Metric, Vec<f64>>,
}

pub(crate) fn section(context: &Context<'_>) -> Section {
    let mut section = Section::new("pairs", "Preference pairs");
    let mut groups: BTreeMap<Vec<&str>, Shared<'_>> = BTreeMap::new();
    for arm in &context.records.experiment.arms {
        let mut keys = Vec::new();
        let mut by_metric: BTreeMap<Metric, Vec<f64>> = BTreeMap::new();
        let cells = context.records.cells.iter();
        for cell in cells.filter(|cell| cell.arm == arm.name && cell.status == CellStatus::Done) {
            let of_pairs = |stage: &&StageUse| match stage.kind {
                StageKind::Pairs | StageKind::ReferenceLogps => true,
                StageKind::TaskData
                | StageKind::Sft
                | StageKind::WeakerModel
                | StageKind::Candidates
                | StageKind::WeakerCandidates
                | StageKind::RewardModel
                | StageKind::Training
                | StageKind::Evaluation => false,
            };
            for stage in cell.stages.iter().filter(of_pairs) {
                if stage.kind == StageKind::Pairs {
                    keys.push(stage.key.as_str());
                }
                for metric in FIGURES {
                    if let Some(&value) = stage.measures.get(metric.tag()) {
                        by_metric.entry(metric).or_default().push(value);
                    }
                }
            }
        }
        if keys.is_empty() {
            continue;
        }
        let group = groups.entry(keys).or_insert_with(|| Shared {
            arms: Vec::new(),
            by_metric: BTreeMap::new(),
        });
        group.arms.push(&arm.name);
        // Arms on a reward model have the pairs, but no pass of the reference over them.
        if by_metric.len() > group.by_metric.len() {
            group.by_metric = by_metric;
        }
    }
    if groups.is_empty() {
        return section;
    }
    let mut groups: Vec<Shared<'_>> = groups.into_values().collect();
    let order = |group: &Shared<'_>| {
        let arms = &context.records.experiment.arms;
        arms.iter().position(|arm| arm.name == group.arms[0])
    };
    groups.sort_by_key(order);
    let shown: Vec<Metric> = FIGURES
        .into_iter()
        .filter(|metric| {
            groups
                .iter()
                .any(|group| group.by_metric.contains_key(metric))
        })
        .collect();
    let mut columns = vec![Column::text("arms")];
    columns.extend(
        shown
            .iter()
            .map(|metric| Column::number(Rich::code(metric.tag()))),
    );
    let mut table = Table::new(columns).caption(format!(
        "Mean over seeds [{} interval, Student's t]. Log-probs are per token, under the start: the higher, the more on-policy.",
        context.confidence_percent()
    ));
    for group in &groups {
        let mut row = vec![Rich::codes(group.arms.iter().copied())];
        for metric in &shown {
            let values = group.by_metric.get(metric).map_or(&[][..], Vec::as_slice);
            row.push(format::estimate(&statistics::estimate(
                values,
                context.confidence,
            )));
        }
        table.row(row);
    }
    section = section.block(Block::Table(table));
    section
}
