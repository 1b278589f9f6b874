//! How to get the same numbers again.

use crate::document::{Block, Rich, Section};
use crate::report::Context;

/// The file that names everything the numbers depend on.
const LOCK: &str = "preflab.lock";

pub(crate) fn section(context: &Context<'_>) -> Section {
    let experiment = &context.records.experiment;
    let file = context.records.directory.join(LOCK);
    let mut section = Section::new("reproduction", "Reproduction");
    let lock = std::fs::read_to_string(&file).ok();
    if lock.is_some() {
        let text = Rich::from(
            "The lock beside this report names configuration, data, tokenizer, initial weights, seeds and binary by their \
             hashes. On the CPU, running from it gives the same numbers, bit by bit but for wall-clock times:",
        );
        section = section
            .block(Block::Paragraph(text))
            .block(Block::Code(format!("preflab run {}", file.display())));
    }
    let seeds: Vec<String> = experiment.seeds.iter().map(u64::to_string).collect();
    let mut facts: Vec<Rich> = vec![
        Rich::from("program: preflab ").and(&experiment.version),
        Rich::from("device: ").and(&experiment.device),
        Rich::from("seeds: ").and(&seeds.join(", ")),
    ];
    if !experiment.overrides.is_empty() {
        facts.push(
            Rich::from("overrides: ")
                .and_rich(Rich::codes(experiment.overrides.iter().map(String::as_str))),
        );
    }
    section = section.block(Block::List(facts));
    match lock {
        Some(lock) => section.block(Block::Folded(LOCK.to_owned(), vec![Block::Code(lock)])),
        None => section,
    }
}
