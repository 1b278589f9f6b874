//! Scores of each arm: table, dots of each seed, score against distance.

use preflab_metrics::Metric;

use crate::document::{Block, Column, Rich, Section, Table};
use crate::figure::{Axis, Figure, Marker, Plot};
use crate::format;
use crate::measures::Measure;
use crate::report::Context;
use crate::statistics::{self, Estimate};

pub(crate) fn section(context: &Context<'_>) -> Section {
    let section = Section::new("scores", "Scores");
    let scores = context.measures.scores();
    if scores.is_empty() {
        return section;
    }
    let caption = format!(
        "Mean over seeds [{} interval, Student's t]; an arrow tells the better direction. Definitions are at the end.",
        context.confidence_percent()
    );
    let section = section.block(Block::Table(table(context, &scores).caption(caption)));
    let caption = "Small dots: one seed each. Diamond: their mean, with its interval. Rows are arms, in the same order everywhere.";
    let section = section.block(Block::figure(dots(context, &scores), caption));
    match frontier(context) {
        Some(figure) => section.block(Block::figure(
            figure,
            "Gold score against exact KL from the start: one dot for each seed, a diamond at the mean. Up and to the left is better.",
        )),
        None => section,
    }
}

/// An arm in each row, a measure in each column.
pub(crate) fn table(context: &Context<'_>, measures: &[Measure]) -> Table {
    let mut columns = vec![Column::text("arm"), Column::number("seeds")];
    columns.extend(
        measures
            .iter()
            .map(|measure| Column::number(heading(measure))),
    );
    let mut table = Table::new(columns);
    for arm in &context.arms {
        let estimates: Vec<Estimate> = measures
            .iter()
            .map(|measure| estimate(context, &arm.name, measure))
            .collect();
        let seeds = estimates
            .iter()
            .map(|estimate| estimate.n + estimate.not_finite)
            .max()
            .unwrap_or(0);
        let mut row = vec![Rich::code(&arm.name), seeds.to_string().into()];
        row.extend(estimates.iter().map(format::estimate));
        table.row(row);
    }
    table
}

/// The tag, with an arrow towards the better side.
pub(crate) fn heading(measure: &Measure) -> Rich {
    let arrow = match measure.better() {
        preflab_metrics::Better::Higher => "\u{a0}↑",
        preflab_metrics::Better::Lower => "\u{a0}↓",
        preflab_metrics::Better::Neither => "",
    };
    Rich::code(measure.tag()).and(arrow)
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

/// One panel for each measure, one row for each arm.
fn dots(context: &Context<'_>, measures: &[Measure]) -> Figure {
    let names = context.arm_names();
    let height = 30.0 + 26.0 * names.len() as f64;
    let mut figure = Figure::new("Scores of each arm and seed").columns(3);
    for measure in measures {
        let mut plot = Plot::new(Axis::linear(measure.unit()), Axis::categories("", &names))
            .title(measure.tag())
            .size(210.0, height);
        for (row, name) in names.iter().enumerate() {
            let (at, style) = (row as f64, context.style(name));
            let seeds = context.measures.seeds(name, measure);
            // Seeds lie a little apart, in their order, so that equal values stay visible.
            let spread =
                |index: usize| 0.28 * (2.0 * (index as f64 + 0.5) / seeds.len() as f64 - 1.0);
            let points: Vec<(f64, f64)> = seeds
                .iter()
                .enumerate()
                .map(|(index, &(_, value))| (value, at + spread(index)))
                .collect();
            let estimate = estimate(context, name, measure);
            if let Some((low, high)) = estimate.interval {
                plot = plot.interval_x(at, low, high, style);
            }
            plot = plot.dots("", &points, style.marker(Marker::Circle));
            if estimate.n > 0 {
                plot = plot.estimate("", (estimate.mean, at), style.marker(Marker::Diamond));
            }
        }
        figure = figure.panel(plot);
    }
    figure
}

/// Gold score over KL; none if either was not measured.
fn frontier(context: &Context<'_>) -> Option<Figure> {
    let (gold, kl) = (
        Measure::Known(Metric::TaskGold),
        Measure::Known(Metric::TaskKl),
    );
    let mut plot = Plot::new(
        Axis::linear("task/kl (nats per answer)"),
        Axis::linear("task/gold"),
    )
    .size(420.0, 260.0);
    let mut drawn = 0;
    for name in context.arm_names() {
        let kls = context.measures.seeds(name, &kl);
        let golds = context.measures.seeds(name, &gold);
        let points: Vec<(f64, f64)> = golds
            .iter()
            .filter_map(|&(seed, gold)| {
                Some((kls.iter().find(|&&(other, _)| other == seed)?.1, gold))
            })
            .filter(|(kl, gold)| kl.is_finite() && gold.is_finite())
            .collect();
        if points.is_empty() {
            continue;
        }
        drawn += 1;
        let count = points.len() as f64;
        let mean = (
            points.iter().map(|point| point.0).sum::<f64>() / count,
            points.iter().map(|point| point.1).sum::<f64>() / count,
        );
        let style = context.style(name);
        plot = plot
            .dots("", &points, style.marker(Marker::Circle))
            .estimate(name, mean, style.marker(Marker::Diamond));
    }
    (drawn > 1).then(|| Figure::new("Gold score against distance from the start").panel(plot))
}
