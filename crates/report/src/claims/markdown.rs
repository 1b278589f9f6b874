//! The claims as a Markdown table, for pages of the documentation.

use super::text::effect;
use super::{Claims, Comparison, RULE, word};
use crate::document::{Column, Rich, Table};

pub(super) fn page(claims: &Claims, every: bool) -> String {
    let mut table = Table::new(vec![
        Column::number("#"),
        Column::text("claim"),
        Column::text("paper"),
        Column::text("verdict"),
        Column::text("comparison"),
        Column::number("effect [95 % interval]"),
        Column::number("margin"),
        Column::text("unit"),
        Column::number("d_z"),
        Column::number("seeds"),
        Column::text("run"),
    ]);
    for claim in &claims.claims {
        let head = |verdict: Rich| {
            vec![
                claim.number.to_string().into(),
                claim.statement.into(),
                claim.place.into(),
                verdict,
            ]
        };
        if claim.findings.is_empty() {
            let mut row = head(Rich::strong(&word(None)));
            row.push(Rich::from("supplied by ").and_code(claim.supplied_by));
            row.extend((0..6).map(|_| Rich::new()));
            table.row(row);
        }
        let mut first = true;
        for finding in &claim.findings {
            let total = finding.comparisons.len();
            let shown: Vec<&Comparison> = if every {
                finding.comparisons.iter().collect()
            } else {
                finding.deciding().into_iter().collect()
            };
            for comparison in shown {
                let own = if every {
                    comparison.verdict
                } else {
                    finding.verdict
                };
                let mut row = if first {
                    let whole = Rich::strong(&word(claim.verdict));
                    let alone = claim.findings.len() == 1 && (!every || total == 1);
                    head(if alone {
                        whole
                    } else {
                        whole.and(&format!("; here {own}"))
                    })
                } else {
                    vec![
                        Rich::new(),
                        Rich::new(),
                        Rich::new(),
                        own.to_string().into(),
                    ]
                };
                first = false;
                let decides = if every || total == 1 {
                    String::new()
                } else {
                    format!(" (decides, of {total})")
                };
                row.push(format!("{}{decides}", comparison.effect_name).into());
                row.push(effect(comparison).into());
                row.push(crate::figure::short_number(comparison.margin).into());
                row.push(comparison.unit.as_str().into());
                row.push(size(comparison).into());
                row.push(comparison.seeds.to_string().into());
                row.push(Rich::code(&finding.run.display().to_string()));
                table.row(row);
            }
        }
    }
    let tally = claims.tally();
    format!(
        "{} claims: {} PASS, {} FAIL, {} INCONCLUSIVE, {} MISSING.\n\n{}\n{RULE}",
        claims.claims.len(),
        tally.pass,
        tally.fail,
        tally.inconclusive,
        tally.missing,
        crate::document::table_as_markdown(&table),
    )
}

fn size(comparison: &Comparison) -> String {
    if comparison.effect_size.is_finite() {
        format!("{:.2}", comparison.effect_size)
    } else {
        "—".to_owned()
    }
}
