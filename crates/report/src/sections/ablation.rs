//! The ablation: scores against the strength of one or two settings.

use preflab_experiment::records::{AblationRecord, ArmOrigin, ArmRecord, GridValue};
use preflab_metrics::Metric;

use crate::document::{Block, Column, Rich, Section, Table};
use crate::figure::{Axis, Figure, HeatMap, Marker, Plot, Style, short_number};
use crate::format;
use crate::measures::Measure;
use crate::report::Context;
use crate::statistics::{self, Estimate};

pub(crate) fn section(context: &Context<'_>) -> Section {
    let section = Section::new("ablation", "Ablation");
    let Some(ablation) = &context.records.experiment.ablation else {
        return section;
    };
    let points: Vec<&ArmRecord> = context
        .records
        .experiment
        .arms
        .iter()
        .filter(|arm| arm.origin == ArmOrigin::Ablation)
        .collect();
    let measures = measures(context);
    if points.is_empty() || measures.is_empty() {
        return section;
    }
    let text = Rich::from("The arm ")
        .and_code(&ablation.arm)
        .and(" with other values of ")
        .and_rich(Rich::codes(ablation.keys.iter().map(String::as_str)));
    let section = section
        .block(Block::Paragraph(text.and(", under the same seeds.")))
        .block(Block::Table(table(context, ablation, &points)));
    match ablation.keys.as_slice() {
        [key] => section.block(Block::figure(
            lines(context, key, &points, &measures),
            "Small dots: one seed each. Diamonds: their mean, with its interval.",
        )),
        [_, _] => section.block(Block::figure(
            maps(context, ablation, &points, &measures),
            "Mean over seeds.",
        )),
        _ => section,
    }
}

/// The measures that are drawn: gold score, distance, length.
fn measures(context: &Context<'_>) -> Vec<Measure> {
    let scores = context.measures.scores();
    let wanted = [
        context.measures.primary(),
        Some(Measure::Known(Metric::TaskKl)),
        Some(Measure::Known(Metric::TaskLength)),
    ];
    let mut measures: Vec<Measure> = Vec::new();
    for measure in wanted.into_iter().flatten() {
        if scores.contains(&measure) && !measures.contains(&measure) {
            measures.push(measure);
        }
    }
    measures
}

fn estimate(context: &Context<'_>, arm: &str, measure: &Measure) -> Estimate {
    let values: Vec<f64> = context
        .measures
        .seeds(arm, measure)
        .iter()
        .map(|&(_, value)| value)
        .collect();
    statistics::estimate(&values, context.confidence)
}

fn table(context: &Context<'_>, ablation: &AblationRecord, points: &[&ArmRecord]) -> Table {
    let scores = context.measures.scores();
    let mut columns: Vec<Column> = short_keys(ablation)
        .into_iter()
        .map(|key| Column::number(Rich::code(key)))
        .collect();
    columns.extend(
        scores
            .iter()
            .map(|measure| Column::number(super::scores::heading(measure))),
    );
    let mut table = Table::new(columns);
    for arm in points {
        let mut row: Vec<Rich> = arm.point.iter().map(|value| name(value).into()).collect();
        row.resize(ablation.keys.len(), Rich::new());
        row.extend(
            scores
                .iter()
                .map(|measure| format::estimate(&estimate(context, &arm.name, measure))),
        );
        table.row(row);
    }
    table
}

/// The last part of each key, unless that would not tell them apart.
fn short_keys(ablation: &AblationRecord) -> Vec<&str> {
    let short: Vec<&str> = ablation
        .keys
        .iter()
        .map(|key| key.rsplit('.').next().unwrap_or(key))
        .collect();
    match short.as_slice() {
        [first, second] if first == second => ablation.keys.iter().map(String::as_str).collect(),
        _ => short,
    }
}

fn name(value: &GridValue) -> String {
    match value {
        GridValue::Number(number) => short_number(*number),
        GridValue::Label(label) => label.clone(),
    }
}

/// One panel for each measure, the setting along x.
fn lines(context: &Context<'_>, key: &str, points: &[&ArmRecord], measures: &[Measure]) -> Figure {
    let numbers: Option<Vec<f64>> = points
        .iter()
        .map(|arm| match arm.point.first() {
            Some(GridValue::Number(number)) => Some(*number),
            Some(GridValue::Label(_)) | None => None,
        })
        .collect();
    let names: Vec<String> = points
        .iter()
        .map(|arm| arm.point.first().map_or_else(String::new, name))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let short_key = key.rsplit('.').next().unwrap_or(key);
    let mut figure = Figure::new(&format!("Scores against {key}")).columns(3);
    for measure in measures {
        let (axis, at): (Axis, Vec<f64>) = match &numbers {
            Some(numbers) if spread(numbers) => (Axis::log(short_key), numbers.clone()),
            Some(numbers) => (Axis::linear(short_key), numbers.clone()),
            None => (
                Axis::categories(short_key, &names),
                (0..points.len()).map(|index| index as f64).collect(),
            ),
        };
        let style = Style::series(0);
        let mut plot = Plot::new(axis, Axis::linear(measure.unit()))
            .title(measure.tag())
            .size(250.0, 190.0);
        let mut means: Vec<(f64, f64)> = Vec::new();
        for (arm, &x) in points.iter().zip(&at) {
            let seeds = context.measures.seeds(&arm.name, measure);
            let dots: Vec<(f64, f64)> = seeds.iter().map(|&(_, value)| (x, value)).collect();
            let estimate = estimate(context, &arm.name, measure);
            if let Some((low, high)) = estimate.interval {
                plot = plot.interval_y(x, low, high, style);
            }
            plot = plot.dots("", &dots, style.marker(Marker::Circle));
            if estimate.n > 0 {
                plot = plot.estimate("", (x, estimate.mean), style.marker(Marker::Diamond));
                means.push((x, estimate.mean));
            }
        }
        means.sort_by(|first, second| first.0.total_cmp(&second.0));
        figure = figure.panel(plot.line("", &means, style));
    }
    figure
}

/// Whether the values are positive and lie more than a factor of eight apart, so that a logarithmic axis serves them.
fn spread(numbers: &[f64]) -> bool {
    let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let high = numbers.iter().copied().fold(0.0, f64::max);
    low > 0.0 && high / low > 8.0
}

/// One map for each measure, the first key along x.
fn maps(
    context: &Context<'_>,
    ablation: &AblationRecord,
    points: &[&ArmRecord],
    measures: &[Measure],
) -> Figure {
    let names: Vec<Vec<String>> = ablation
        .values
        .iter()
        .map(|values| values.iter().map(name).collect())
        .collect();
    let [x_names, y_names] = names.as_slice() else {
        return Figure::new("");
    };
    let (x_refs, y_refs): (Vec<&str>, Vec<&str>) = (
        x_names.iter().map(String::as_str).collect(),
        y_names.iter().map(String::as_str).collect(),
    );
    let keys = short_keys(ablation);
    let mut figure = Figure::new("Scores over both settings").columns(2);
    for measure in measures {
        let value = |x: &str, y: &str| -> f64 {
            let arm = points.iter().find(|arm| {
                arm.point.len() == 2 && name(&arm.point[0]) == x && name(&arm.point[1]) == y
            });
            arm.map_or(f64::NAN, |arm| estimate(context, &arm.name, measure).mean)
        };
        let values: Vec<Vec<f64>> = y_refs
            .iter()
            .map(|y| x_refs.iter().map(|x| value(x, y)).collect())
            .collect();
        let map = HeatMap::new((keys[0], &x_refs), (keys[1], &y_refs), &values)
            .title(measure.tag())
            .value_label(measure.unit())
            .decimals(2)
            .cell_size(56.0, 34.0);
        figure = figure.panel(map);
    }
    figure
}
