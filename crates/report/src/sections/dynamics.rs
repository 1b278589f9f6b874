//! What preference training did to likelihoods: before and after, and the 3D detector's verdict.

use preflab_experiment::records::{ArmRecord, CellRecord, CellStatus};
use preflab_metrics::Metric;
use preflab_stats::detector::{Detection, Finding, Property};

use crate::document::{Block, Column, Rich, Section, Table};
use crate::figure::short_number;
use crate::format;
use crate::report::Context;
use crate::statistics;

/// Kinds of answers with their log-probability per token at the end, and its change.
const SIDES: [(&str, Metric, Metric); 3] = [
    (
        "chosen",
        Metric::DynamicsMeanLogpChosen,
        Metric::DynamicsChangeChosen,
    ),
    (
        "rejected",
        Metric::DynamicsMeanLogpRejected,
        Metric::DynamicsChangeRejected,
    ),
    (
        "unseen",
        Metric::DynamicsMeanLogpUnseen,
        Metric::DynamicsChangeUnseen,
    ),
];

/// A property's strength and onset in the records.
const FINDINGS: [(Metric, Metric); 3] = [
    (Metric::DetectorDrop, Metric::DetectorDropOnset),
    (
        Metric::DetectorDegradation,
        Metric::DetectorDegradationOnset,
    ),
    (Metric::DetectorDispersion, Metric::DetectorDispersionOnset),
];

pub(crate) fn section(context: &Context<'_>) -> Section {
    let mut section = Section::new("dynamics", "Likelihoods and the 3D detector");
    let arms: Vec<(&ArmRecord, Vec<&CellRecord>)> = context
        .records
        .experiment
        .arms
        .iter()
        .map(|arm| (arm, watched(context, &arm.name)))
        .filter(|(_, cells)| !cells.is_empty())
        .collect();
    if arms.is_empty() {
        return section;
    }
    section = section
        .block(Block::Table(likelihoods(context, &arms)))
        .block(Block::Table(verdicts(&arms)));
    let advice: Vec<String> = Property::ALL
        .iter()
        .map(|property| format!("against {}: {}", property.name(), property.remedy()))
        .collect();
    section.block(Block::paragraph(format!(
        "A run is flagged where the drop comes with degradation or dispersion, lasting to the end. What to try, {}.",
        advice.join("; ")
    )))
}

/// The finished cells of an arm that was watched by the detector.
fn watched<'a>(context: &Context<'a>, arm: &str) -> Vec<&'a CellRecord> {
    let cells = context.records.cells.iter();
    cells
        .filter(|cell| cell.arm == arm && cell.status == CellStatus::Done)
        .filter(|cell| cell.measures.contains_key(Metric::DetectorDrop.tag()))
        .collect()
}

/// Log-probability per token of each kind of answer, before and after.
fn likelihoods(context: &Context<'_>, arms: &[(&ArmRecord, Vec<&CellRecord>)]) -> Table {
    let mut columns = vec![Column::text("arm"), Column::number("seeds")];
    for (side, ..) in SIDES {
        columns.push(Column::number(format!("{side}, before")));
        columns.push(Column::number(format!("{side}, after")));
        columns.push(Column::number(format!("{side}, change")));
    }
    let mut table = Table::new(columns).caption(format!(
        "Log-probability of the probe pairs' answers, nats per token: mean over seeds [{} interval, Student's t].",
        context.confidence_percent()
    ));
    for (arm, cells) in arms {
        let mut row = vec![Rich::code(&arm.name), cells.len().to_string().into()];
        for (_, after, change) in SIDES {
            let values = |of: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
                let both = cells.iter().filter_map(|cell| {
                    let measure = |metric: Metric| cell.measures.get(metric.tag()).copied();
                    Some((measure(after)?, measure(change)?))
                });
                both.map(|(after, change)| of(after, change)).collect()
            };
            for of in [
                &|after: f64, change: f64| after - change,
                &|after: f64, _: f64| after,
                &|_: f64, change: f64| change,
            ] as [&dyn Fn(f64, f64) -> f64; 3]
            {
                let estimate = statistics::estimate(&values(of), context.confidence);
                row.push(format::estimate(&estimate));
            }
        }
        table.row(row);
    }
    table
}

/// The verdict on each arm: in how many seeds, from when, how strongly.
fn verdicts(arms: &[(&ArmRecord, Vec<&CellRecord>)]) -> Table {
    let mut columns = vec![Column::text("arm"), Column::number("flagged")];
    for property in Property::ALL {
        columns.push(Column::number(property.name()));
        columns.push(Column::number("onset"));
        columns.push(Column::number(format!("strength, {}", property.unit())));
    }
    let mut table = Table::new(columns).caption(
        "The 3D detector: seeds in which each property set in and stayed, median update of its onset, median strength at \
         the end.",
    );
    for (arm, cells) in arms {
        let found: Vec<Detection> = cells.iter().map(|cell| detection(cell)).collect();
        let share = |count: usize| format!("{count} of {}", found.len());
        let flagged = found.iter().filter(|found| found.flagged()).count();
        let mut row = vec![Rich::code(&arm.name), share(flagged).into()];
        for index in 0..Property::ALL.len() {
            let findings = || found.iter().map(|found| found.properties()[index].1);
            let onsets: Vec<f64> = findings()
                .filter_map(|finding| finding.onset)
                .map(|step| step as f64)
                .collect();
            let strengths: Vec<f64> = findings().map(|finding| finding.strength).collect();
            let onset = match onsets.is_empty() {
                true => "–".to_owned(),
                false => short_number(preflab_stats::median(&onsets)),
            };
            row.push(share(onsets.len()).into());
            row.push(onset.into());
            row.push(format!("{:.3}", preflab_stats::median(&strengths)).into());
        }
        table.row(row);
    }
    table
}

/// The detector's findings in a cell, read back from its figures.
fn detection(cell: &CellRecord) -> Detection {
    let [drop, degradation, dispersion] = FINDINGS.map(|(strength, onset)| Finding {
        onset: cell.measures.get(onset.tag()).map(|&step| step as u64),
        strength: cell.measures.get(strength.tag()).copied().unwrap_or(0.0),
    });
    Detection {
        drop,
        degradation,
        dispersion,
    }
}
