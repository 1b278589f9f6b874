//! `summary.csv`: one row for each arm, seed and measure.

use preflab_experiment::Ledger;
use preflab_experiment::records::{
    ArmOrigin, ArmRecord, CellRecord, CellStatus, GridValue, Records,
};

use crate::measures::Measure;

/// The table as CSV. Costs are measures too: `budget/…` for the arm's own training, `preparation/…` for the stages it builds on,
/// `evaluation/…`. A failed cell has what it measured before it failed, under the status `failed`; a missing cell has no rows. The last column is the point of
/// the ablation's grid, `key=value` with `;` between, empty for other arms.
pub(crate) fn csv(records: &Records) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = [
        "arm", "method", "origin", "seed", "status", "measure", "unit", "value", "point",
    ];
    writer.write_record(header).expect(IN_MEMORY);
    for cell in &records.cells {
        let arm = records
            .experiment
            .arms
            .iter()
            .find(|arm| arm.name == cell.arm);
        let method = arm.map_or("", |arm| arm.method.as_str());
        let origin = arm.map_or("", |arm| match arm.origin {
            ArmOrigin::Start => "start",
            ArmOrigin::File => "file",
            ArmOrigin::Ablation => "ablation",
        });
        let status = match &cell.status {
            CellStatus::Done => "done",
            CellStatus::Failed { .. } => "failed",
        };
        let point = arm.map_or_else(String::new, |arm| point(records, arm));
        let seed = cell.seed.to_string();
        for (measure, unit, value) in rows(cell) {
            let value = if value.is_nan() {
                "NaN".to_owned()
            } else {
                value.to_string()
            };
            writer
                .write_record([
                    &cell.arm, method, origin, &seed, status, &measure, &unit, &value, &point,
                ])
                .expect(IN_MEMORY);
        }
    }
    let bytes = writer.into_inner().expect(IN_MEMORY);
    String::from_utf8(bytes).expect("only text was written")
}

/// Where an arm stands in the ablation's grid.
fn point(records: &Records, arm: &ArmRecord) -> String {
    let keys = records
        .experiment
        .ablation
        .iter()
        .flat_map(|ablation| &ablation.keys);
    let values = keys.zip(&arm.point).map(|(key, value)| match value {
        GridValue::Number(number) => format!("{key}={number}"),
        GridValue::Label(label) => format!("{key}={label}"),
    });
    values.collect::<Vec<String>>().join(";")
}

const IN_MEMORY: &str = "writing to memory cannot fail";

fn rows(cell: &CellRecord) -> Vec<(String, String, f64)> {
    let mut rows: Vec<(Measure, f64)> = cell
        .measures
        .iter()
        .map(|(tag, &value)| (Measure::new(tag), value))
        .collect();
    rows.sort_by(|(first, _), (second, _)| first.cmp(second));
    let mut rows: Vec<(String, String, f64)> = rows
        .into_iter()
        .map(|(measure, value)| (measure.tag().to_owned(), measure.unit().to_owned(), value))
        .collect();
    for (prefix, ledger) in [
        ("budget", &cell.training),
        ("preparation", &cell.preparation),
        ("evaluation", &cell.evaluation),
    ] {
        rows.extend(currencies(ledger).map(|(currency, unit, value)| {
            (format!("{prefix}/{currency}"), unit.to_owned(), value)
        }));
    }
    rows
}

/// Name, unit and amount of each currency.
pub(crate) fn currencies(ledger: &Ledger) -> [(&'static str, &'static str, f64); 6] {
    let Ledger {
        updates,
        trained_tokens,
        generated_tokens,
        reward_calls,
        flops,
        seconds,
    } = *ledger;
    [
        ("updates", "updates", updates as f64),
        ("trained_tokens", "tokens", trained_tokens as f64),
        ("generated_tokens", "tokens", generated_tokens as f64),
        ("flops", "FLOPs", flops),
        ("reward_calls", "answers", reward_calls as f64),
        ("seconds", "seconds", seconds),
    ]
}
