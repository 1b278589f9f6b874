//! Answers of every arm to the same test prompts.

use preflab_experiment::records::{CellRecord, CellStatus, Sample};

use crate::document::{Block, Column, Rich, Section, Table};
use crate::figure::short_number;
use crate::report::Context;

/// So many prompts are shown; the records may hold more.
const MOST_PROMPTS: usize = 4;

pub(crate) fn section(context: &Context<'_>) -> Section {
    let section = Section::new("samples", "Answers");
    let experiment = &context.records.experiment;
    // The first seed under which any arm kept samples.
    let cells_of = |seed: u64| -> Vec<&CellRecord> {
        let names = context.arm_names();
        let kept = |cell: &&CellRecord| {
            cell.seed == seed && cell.status == CellStatus::Done && !cell.samples.is_empty()
        };
        let mut cells: Vec<&CellRecord> = context
            .records
            .cells
            .iter()
            .filter(kept)
            .filter(|cell| names.contains(&cell.arm.as_str()))
            .collect();
        cells.sort_by_key(|cell| names.iter().position(|name| *name == cell.arm));
        cells
    };
    let Some((seed, cells)) = experiment
        .seeds
        .iter()
        .map(|&seed| (seed, cells_of(seed)))
        .find(|(_, cells)| !cells.is_empty())
    else {
        return section;
    };
    let mut prompts: Vec<&str> = Vec::new();
    for sample in cells.iter().flat_map(|cell| &cell.samples) {
        if !prompts.contains(&sample.prompt.as_str()) && prompts.len() < MOST_PROMPTS {
            prompts.push(&sample.prompt);
        }
    }
    let text = format!("Sampled under seed {seed}, with the same sampling seeds in every arm.");
    let mut section = section.block(Block::paragraph(text));
    for (index, prompt) in prompts.into_iter().enumerate() {
        let mut table = Table::new(vec![
            Column::text("arm"),
            Column::text("answer"),
            Column::text("scores"),
        ]);
        for cell in &cells {
            for sample in cell.samples.iter().filter(|sample| sample.prompt == prompt) {
                table.row(vec![
                    Rich::code(&cell.arm),
                    sample.completion.as_str().into(),
                    scores(sample),
                ]);
            }
        }
        let blocks = vec![Block::Code(prompt.to_owned()), Block::Table(table)];
        section = section.block(Block::Folded(format!("Prompt {}", index + 1), blocks));
    }
    section
}

fn scores(sample: &Sample) -> Rich {
    let texts: Vec<String> = sample
        .scores
        .iter()
        .map(|(tag, &value)| format!("{tag} {}", short_number(value)))
        .collect();
    texts.join("\n").into()
}
