//! The sections of an experiment's report, one file each.

mod ablation;
mod budgets;
mod curves;
mod definitions;
mod differences;
mod dynamics;
mod matched;
mod pairs;
mod reproduction;
mod samples;
mod scores;
mod shared;
mod verdict;

pub(crate) use ablation::figure as ablation_figure;

use crate::document::Document;
use crate::report::{Context, ReportError};

/// The whole page.
pub(crate) fn document(context: &Context<'_>) -> Result<Document, ReportError> {
    let mut document = Document::new(&context.records.experiment.name);
    for block in verdict::lead(context) {
        document = document.lead(block);
    }
    Ok(document
        .section(scores::section(context))
        .section(differences::section(context))
        .section(ablation::section(context))
        .section(curves::section(context))
        .section(dynamics::section(context))
        .section(pairs::section(context))
        .section(shared::section(context)?)
        .section(budgets::section(context))
        .section(matched::section(context))
        .section(samples::section(context))
        .section(definitions::section(context))
        .section(reproduction::section(context)))
}
