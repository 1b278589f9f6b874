//! What stands first: the question, one sentence for each comparison, and what is missing.

use preflab_experiment::records::{CellStatus, ExperimentStatus};

use crate::comparison::{Comparison, Reading, against};
use crate::document::{Block, Rich};
use crate::format::{count, difference, p_value};
use crate::report::Context;

pub(crate) fn lead(context: &Context<'_>) -> Vec<Block> {
    let experiment = &context.records.experiment;
    let mut blocks = Vec::new();
    if !experiment.question.is_empty() {
        blocks.push(Block::Paragraph(
            Rich::strong("Question: ").and(&experiment.question),
        ));
    }
    blocks.extend(missing(context));
    let Some(primary) = context.measures.primary() else {
        blocks.push(Block::paragraph(
            "No cell has been evaluated yet: there is nothing to compare.",
        ));
        return blocks;
    };
    let names = context.arm_names();
    let sentences: Vec<Rich> = context
        .baselines
        .iter()
        .flat_map(|baseline| {
            against(
                &context.measures,
                &names,
                baseline,
                &primary,
                context.confidence,
            )
        })
        .map(|comparison| sentence(&comparison, context))
        .collect();
    if sentences.is_empty() {
        blocks.push(Block::paragraph(
            "No two arms have a finished seed in common yet: there is nothing to compare.",
        ));
        return blocks;
    }
    let measured = Rich::strong("Answer").and(", on ").and_code(primary.tag());
    let how = format!(
        ", as paired differences over seeds with {} intervals (Student's t); p is the sign-flip test's, Holm is adjusted over the arms:",
        context.confidence_percent()
    );
    blocks.push(Block::Paragraph(measured.and(&how)));
    blocks.push(Block::List(sentences));
    blocks
}

/// One comparison in one sentence.
fn sentence(comparison: &Comparison, context: &Context<'_>) -> Rich {
    let paired = &comparison.paired;
    let (arm, baseline) = (
        Rich::code(&comparison.arm),
        Rich::code(&comparison.baseline),
    );
    let size = difference(paired.mean, paired.interval);
    let claim = match comparison.reading() {
        Reading::Better => arm
            .and(" is ")
            .and_strong("better")
            .and(" than ")
            .and_rich(baseline)
            .and(&format!(" by {size}")),
        Reading::Worse => arm
            .and(" is ")
            .and_strong("worse")
            .and(" than ")
            .and_rich(baseline)
            .and(&format!(": {size}")),
        Reading::Higher => arm
            .and(" is ")
            .and_strong("higher")
            .and(" than ")
            .and_rich(baseline)
            .and(&format!(" by {size}")),
        Reading::Lower => arm
            .and(" is ")
            .and_strong("lower")
            .and(" than ")
            .and_rich(baseline)
            .and(&format!(": {size}")),
        Reading::Equal => arm
            .and(" and ")
            .and_rich(baseline)
            .and(" are ")
            .and_strong("equal")
            .and(" in every seed"),
        Reading::Undecided => {
            let apart = arm
                .and(" and ")
                .and_rich(baseline)
                .and(" are ")
                .and_strong("not told apart");
            apart.and(&format!(": {size}"))
        }
        Reading::NoInterval => {
            let text = format!(
                " differ by {size}; with {} there is no interval, so nothing is claimed",
                count(paired.n, "seed")
            );
            return arm.and(" and ").and_rich(baseline).and(&text);
        }
    };
    let mut facts = count(paired.n, "seed");
    if let (Some(p), Some(holm)) = (paired.p, comparison.holm) {
        facts.push_str(&format!(", p = {}, Holm {}", p_value(p), p_value(holm)));
        if p <= paired.floor * (1.0 + 1e-9) && paired.floor > 1.0 - context.confidence {
            facts.push_str(&format!(
                "; {} is the smallest p that {} can give",
                p_value(paired.floor),
                count(paired.n, "seed")
            ));
        }
    }
    claim.and(&format!(" ({facts})"))
}

/// Cells without a record, and cells that failed.
fn missing(context: &Context<'_>) -> Vec<Block> {
    let experiment = &context.records.experiment;
    let cells = &context.records.cells;
    let planned = experiment.arms.len() * experiment.seeds.len();
    let done = cells
        .iter()
        .filter(|cell| cell.status == CellStatus::Done)
        .count();
    let mut blocks = Vec::new();
    if done < planned {
        let state = match experiment.status {
            ExperimentStatus::Running => "The experiment is not finished",
            ExperimentStatus::Complete | ExperimentStatus::Failed => "The experiment is incomplete",
        };
        let text = format!(
            "{state}: {done} of {planned} cells are done. Comparisons use the seeds that both arms have."
        );
        blocks.push(Block::Warning(text.into()));
    }
    let failed = cells.iter().filter_map(|cell| match &cell.status {
        CellStatus::Done => None,
        CellStatus::Failed { stage, message } => Some((cell, stage, message)),
    });
    for (cell, stage, message) in failed {
        let place = Rich::code(&cell.arm).and(&format!(
            ", seed {}, failed at {}: ",
            cell.seed,
            stage.title()
        ));
        blocks.push(Block::Warning(place.and(message)));
    }
    let absent: Vec<String> = experiment
        .arms
        .iter()
        .filter_map(|arm| {
            let has = |seed: &u64| {
                cells
                    .iter()
                    .any(|cell| cell.arm == arm.name && cell.seed == *seed)
            };
            let seeds: Vec<String> = experiment
                .seeds
                .iter()
                .filter(|seed| !has(seed))
                .map(u64::to_string)
                .collect();
            (!seeds.is_empty()).then(|| {
                format!(
                    "{} ({} {})",
                    arm.name,
                    if seeds.len() == 1 { "seed" } else { "seeds" },
                    seeds.join(", ")
                )
            })
        })
        .collect();
    if !absent.is_empty() {
        blocks.push(Block::Paragraph(
            format!("Not there yet: {}.", absent.join("; ")).into(),
        ));
    }
    blocks
}
