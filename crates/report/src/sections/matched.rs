//! In what the arms differ, and what was held equal.

use preflab_experiment::records::KeyValue;

use crate::document::{Block, Column, Rich, Section, Table};
use crate::format::count;
use crate::report::Context;

pub(crate) fn section(context: &Context<'_>) -> Section {
    let experiment = &context.records.experiment;
    let seeds: Vec<String> = experiment.seeds.iter().map(u64::to_string).collect();
    let varies = Rich::from("Arms may differ in ").and_rich(Rich::codes(experiment.varies.iter().map(String::as_str))).and(&format!(
        "; every other setting is equal in all arms, which was checked before training. {}: {}.",
        count(seeds.len(), "seed"),
        seeds.join(", ")
    ));
    let mut section = Section::new("matched", "What was matched").block(Block::Paragraph(varies));
    let mut table = Table::new(vec![
        Column::text("arm"),
        Column::text("method"),
        Column::text("settings of its own"),
    ]);
    for arm in &context.arms {
        table.row(vec![
            Rich::code(&arm.name),
            arm.method.as_str().into(),
            settings(&arm.settings),
        ]);
    }
    section = section.block(Block::Table(table));
    if !experiment.matched.is_empty() {
        let mut table = Table::new(vec![Column::text("key"), Column::text("value")]);
        for KeyValue { key, value } in &experiment.matched {
            table.row(vec![Rich::code(key), Rich::code(value)]);
        }
        section = section.block(Block::Folded(
            "Settings equal in every arm".to_owned(),
            vec![Block::Table(table)],
        ));
    }
    section
}

fn settings(settings: &[KeyValue]) -> Rich {
    let texts: Vec<String> = settings
        .iter()
        .map(|KeyValue { key, value }| format!("{key} = {value}"))
        .collect();
    if texts.is_empty() {
        "none: the start as it is".into()
    } else {
        Rich::codes(texts.iter().map(String::as_str))
    }
}
