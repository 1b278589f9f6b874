//! What stands first: the question, one sentence for each comparison, and what is missing.

use preflab_experiment::records::{CellStatus, ExperimentStatus};

use crate::comparison::{Comparison, Reading, against};
use crate::document::{Block, Rich};
use crate::figure::short_number;
use crate::format::{count, difference, p_value};
use crate::report::Context;
use crate::statistics;

pub(crate) fn lead(context: &Context<'_>) -> Vec<Block> {
    let experiment = &context.records.experiment;
    let mut blocks = Vec::new();
    if !experiment.question.is_empty() {
        blocks.push(Block::Paragraph(
            Rich::strong("Question:").and(" ").and(&experiment.question),
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
    let mut comparisons: Vec<Comparison> = Vec::new();
    for (index, baseline) in context.baselines.iter().enumerate() {
        let against = against(
            &context.measures,
            &names,
            baseline,
            &primary,
            context.confidence,
        );
        // Two baselines are compared once, not once in each direction.
        comparisons.extend(
            against
                .into_iter()
                .filter(|comparison| !context.baselines[..index].contains(&comparison.arm)),
        );
    }
    let sentences: Vec<Rich> = comparisons.iter().map(sentence).collect();
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
    let floors = comparisons
        .iter()
        .map(|comparison| comparison.paired)
        .filter(|paired| paired.n > 1 && paired.floor > 0.05);
    if let Some(paired) = floors.max_by_key(|paired| std::cmp::Reverse(paired.n)) {
        let text = format!(
            "With {} no p can be below {}, however large the difference: rely on the interval and on the dots of each seed.",
            count(paired.n, "seed"),
            p_value(paired.floor)
        );
        blocks.push(Block::paragraph(text));
    }
    blocks
}

/// One comparison in one sentence.
fn sentence(comparison: &Comparison) -> Rich {
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
    }
    if let (Reading::Undecided, Some(detectable)) = (comparison.reading(), paired.detectable) {
        facts.push_str(&format!(
            "; a true difference of {} would have been seen in {:.0} %",
            short_number(detectable),
            100.0 * statistics::POWER
        ));
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
