//! What each arm cost, in every currency.

use preflab_experiment::Ledger;
use preflab_experiment::records::{CellRecord, CellStatus};

use crate::document::{Block, Column, Rich, Section, Table};
use crate::format::amount;
use crate::report::Context;
use crate::summary::currencies;

pub(crate) fn section(context: &Context<'_>) -> Section {
    let section = Section::new("budgets", "Budgets");
    if context.records.cells.is_empty() {
        return section;
    }
    let budget = &context.records.experiment.budget;
    let matched = Rich::from("Matched: ").and_code(&budget.currency).and(&format!(
        " at {}. The table shows every currency, so that arms equal in one can be compared in the others.",
        amount(budget.amount)
    ));
    section
        .block(Block::Paragraph(matched))
        .block(Block::Table(table(context, Some(&budget.currency), |cell| cell.training).caption("Training of each arm from the start on, mean over seeds.")))
        .block(Block::Table(
            table(context, None, |cell| cell.preparation)
                .caption("The stages each arm builds on (start, candidates, pairs, reward model), as if nothing were shared, mean over seeds."),
        ))
}

/// A row for each arm; the column of the currency `matched` says so.
fn table(
    context: &Context<'_>,
    matched: Option<&str>,
    ledger: impl Fn(&CellRecord) -> Ledger,
) -> Table {
    let mut columns = vec![Column::text("arm")];
    let matched = matched.map(|currency| currency.replace('-', "_"));
    for (currency, unit, _) in currencies(&Ledger::default()) {
        let mut title = Rich::from(currency.replace('_', " "));
        if unit != currency && !currency.ends_with(unit) && currency != "flops" {
            title = title.and(&format!(" ({unit})"));
        }
        if matched.as_deref() == Some(currency) {
            title = title.and(" — matched");
        }
        columns.push(Column::number(title));
    }
    let mut table = Table::new(columns);
    for arm in &context.arms {
        let cells = context
            .records
            .cells
            .iter()
            .filter(|cell| cell.arm == arm.name && cell.status == CellStatus::Done);
        let ledgers: Vec<Ledger> = cells.map(&ledger).collect();
        let mut row = vec![Rich::code(&arm.name)];
        for index in 0..table.columns.len() - 1 {
            if ledgers.is_empty() {
                row.push("—".into());
                continue;
            }
            let sum: f64 = ledgers
                .iter()
                .map(|ledger| currencies(ledger)[index].2)
                .sum();
            let mean = sum / ledgers.len() as f64;
            // Whole units are enough, but for the seconds of quick cells.
            row.push(amount(if mean >= 10.0 { mean.round() } else { mean }).into());
        }
        table.row(row);
    }
    table
}
