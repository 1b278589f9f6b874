//! Definitions of every tag on the page, and the figures that no other section shows.

use std::collections::BTreeSet;

use preflab_metrics::{Better, Metric};

use crate::document::{Block, Column, Rich, Section, Table};
use crate::measures::Measure;
use crate::report::Context;

pub(crate) fn section(context: &Context<'_>) -> Section {
    let others = context.measures.others();
    let mut section = Section::new("definitions", "Measures");
    if !others.is_empty() {
        let table = super::scores::table(context, &others)
            .caption("Last figures of training and the stages, mean over seeds [interval].");
        section = section.block(Block::Folded(
            "All other figures".to_owned(),
            vec![Block::Table(table)],
        ));
    }
    let mut shown: BTreeSet<Metric> = BTreeSet::new();
    let known = |measure: &Measure| match measure {
        Measure::Known(metric) => Some(*metric),
        Measure::Other(_) => None,
    };
    shown.extend(
        context
            .measures
            .scores()
            .iter()
            .chain(&others)
            .filter_map(known),
    );
    for (_, metrics) in super::curves::GROUPS {
        shown.extend(super::curves::shown(context, metrics));
    }
    shown.extend(
        context
            .records
            .experiment
            .shared
            .iter()
            .flat_map(|stage| stage.measures.keys())
            .filter_map(|tag| Metric::from_tag(tag)),
    );
    if shown.is_empty() {
        return section;
    }
    let mut table = Table::new(vec![
        Column::text("tag"),
        Column::text("unit"),
        Column::text("better"),
        Column::text("definition"),
    ]);
    for metric in shown {
        let better = match metric.better() {
            Better::Lower => "lower",
            Better::Higher => "higher",
            Better::Neither => "",
        };
        table.row(vec![
            Rich::code(metric.tag()),
            metric.unit().into(),
            better.into(),
            metric.meaning().into(),
        ]);
    }
    section
        .block(Block::Heading("Definitions".to_owned()))
        .block(Block::Table(table))
}
