//! Paired differences of every arm to each baseline.

use preflab_metrics::Better;

use crate::comparison::{Comparison, against};
use crate::document::{Block, Column, Rich, Section, Table};
use crate::figure::{Axis, Figure, Marker, Plot, short_number};
use crate::format::{self, count, difference, p_value};
use crate::measures::Measure;
use crate::report::Context;
use crate::statistics;

pub(crate) fn section(context: &Context<'_>) -> Section {
    let mut section = Section::new("differences", "Paired differences");
    let scores = context.measures.scores();
    let names = context.arm_names();
    let mut blocks = Vec::new();
    let mut seeds = 0;
    for baseline in &context.baselines {
        let comparisons: Vec<Vec<Comparison>> = scores
            .iter()
            .map(|measure| {
                against(
                    &context.measures,
                    &names,
                    baseline,
                    measure,
                    context.confidence,
                )
            })
            .collect();
        if comparisons.iter().all(Vec::is_empty) {
            continue;
        }
        blocks.push(Block::Heading(format!("Against {baseline}")));
        blocks.push(Block::Table(overview(context, baseline, &comparisons)));
        let caption = format!(
            "Difference to {baseline}, one dot for each seed; diamond: mean difference with its interval. Dashed: no difference."
        );
        blocks.push(Block::figure(
            figure(context, baseline, &comparisons),
            caption,
        ));
        let tests = vec![Block::Table(table(&comparisons))];
        blocks.push(Block::Folded(
            format!("Every test against {baseline}"),
            tests,
        ));
        let paired = comparisons
            .iter()
            .flatten()
            .map(|comparison| comparison.paired.n);
        seeds = seeds.max(paired.max().unwrap_or(0));
    }
    if !blocks.is_empty() {
        section = section.block(Block::Paragraph(method(context, seeds)));
    }
    section.blocks(blocks)
}

/// How the numbers are made, with the floor of p for so many pairs.
fn method(context: &Context<'_>, seeds: usize) -> Rich {
    let mut text = format!(
        "Arms share seeds, and under one seed start, pairs, prompts and sampling seeds; so each difference is taken seed by seed. \
         The interval is Student's t over the differences ({}). p is the two-sided sign-flip permutation test, which assumes nothing but \
         symmetry under no difference. Holm adjusts it, and the paired t test's, over the arms of one baseline and measure. \
         The reading follows the interval: it excludes zero or it does not.",
        context.confidence_percent()
    );
    let floor = statistics::smallest_p(seeds);
    if seeds > 1 && floor > 0.05 {
        text.push_str(&format!(
            " With {} the smallest p that the test can give is {}: no p below 0.05 is possible, whatever the difference.",
            count(seeds, "seed"),
            p_value(floor)
        ));
    }
    text.into()
}

/// An arm in each row, a measure in each column.
fn overview(context: &Context<'_>, baseline: &str, comparisons: &[Vec<Comparison>]) -> Table {
    let measured: Vec<&Vec<Comparison>> = comparisons
        .iter()
        .filter(|measured| !measured.is_empty())
        .collect();
    let mut columns = vec![Column::text("arm")];
    columns.extend(
        measured
            .iter()
            .map(|measured| Column::number(super::scores::heading(&measured[0].measure))),
    );
    let mut table = Table::new(columns).caption(format!(
        "Mean difference to {baseline} [{} interval]: reading. A dagger: the paired t test excludes 0 at that level after Holm's adjustment over the arms.",
        context.confidence_percent()
    ));
    for name in context
        .arm_names()
        .into_iter()
        .filter(|name| *name != baseline)
    {
        let mut row = vec![Rich::code(name)];
        row.extend(measured.iter().map(|measured| {
            let comparison = measured.iter().find(|comparison| comparison.arm == name);
            comparison.map_or_else(
                || "—".into(),
                |comparison| {
                    let mark = if comparison.survives(context.confidence) {
                        " †"
                    } else {
                        ""
                    };
                    let reading = format!("{}{mark}", comparison.reading().word());
                    format::difference_cell(comparison.paired.mean, comparison.paired.interval)
                        .and_small(&reading)
                },
            )
        }));
        table.row(row);
    }
    table
}

/// Every comparison in a row of its own.
fn table(comparisons: &[Vec<Comparison>]) -> Table {
    let mut table = Table::new(vec![
        Column::text("measure"),
        Column::text("arm"),
        Column::number("seeds"),
        Column::number("difference"),
        Column::number("p"),
        Column::number("Holm"),
        Column::number("t test, Holm"),
        Column::number(format!("seen in {:.0} %", 100.0 * statistics::POWER)),
        Column::text("reading"),
    ])
    .caption(format!(
        "Seen in {:.0} %: the true difference that the t test would show with that chance, given the number of seeds and how far apart \
         their differences are. Differences well below it say little: these seeds could hardly have shown them.",
        100.0 * statistics::POWER
    ));
    let p = |p: Option<f64>| p.map_or_else(|| "n/a".to_owned(), p_value);
    for comparison in comparisons.iter().flatten() {
        let paired = &comparison.paired;
        table.row(vec![
            super::scores::heading(&comparison.measure),
            Rich::code(&comparison.arm),
            paired.n.to_string().into(),
            difference(paired.mean, paired.interval).into(),
            p(paired.p).into(),
            p(comparison.holm).into(),
            p(comparison.t_holm).into(),
            paired
                .detectable
                .map_or_else(|| "n/a".to_owned(), short_number)
                .into(),
            comparison.reading().word().into(),
        ]);
    }
    table
}

fn figure(context: &Context<'_>, baseline: &str, comparisons: &[Vec<Comparison>]) -> Figure {
    let names: Vec<&str> = context
        .arm_names()
        .into_iter()
        .filter(|name| *name != baseline)
        .collect();
    let height = 30.0 + 26.0 * names.len() as f64;
    let mut figure = Figure::new(&format!("Differences to {baseline}")).columns(3);
    for measured in comparisons {
        let Some(measure) = measured.first().map(|comparison| &comparison.measure) else {
            continue;
        };
        let side = match measure.better() {
            Better::Higher => " (right is better)",
            Better::Lower => " (left is better)",
            Better::Neither => "",
        };
        let label = format!("{}{side}", measure.unit());
        let mut plot = Plot::new(Axis::linear(&label), Axis::categories("", &names))
            .title(measure.tag())
            .size(210.0, height)
            .rule_x(0.0);
        for comparison in measured {
            let at = names
                .iter()
                .position(|name| *name == comparison.arm)
                .unwrap_or(0) as f64;
            let style = context.style(&comparison.arm);
            if let Some((low, high)) = comparison.paired.interval {
                plot = plot.interval_x(at, low, high, style);
            }
            let points = each_seed(context, comparison, measure, at);
            plot = plot
                .dots("", &points, style.marker(Marker::Circle))
                .estimate(
                    "",
                    (comparison.paired.mean, at),
                    style.marker(Marker::Diamond),
                );
        }
        figure = figure.panel(plot);
    }
    figure
}

fn each_seed(
    context: &Context<'_>,
    comparison: &Comparison,
    measure: &Measure,
    at: f64,
) -> Vec<(f64, f64)> {
    let base = context.measures.seeds(&comparison.baseline, measure);
    let differences =
        statistics::differences(context.measures.seeds(&comparison.arm, measure), base);
    let count = differences.len() as f64;
    let spread = |index: usize| 0.28 * (2.0 * (index as f64 + 0.5) / count - 1.0);
    differences
        .iter()
        .enumerate()
        .map(|(index, &value)| (value, at + spread(index)))
        .collect()
}
