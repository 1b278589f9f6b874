//! Pairs of completions with labels.

use std::collections::BTreeMap;
use std::path::PathBuf;

use preflab_data::{KtoRecord, PairRecord, Text};

use super::{DataReport, Reason};

/// Rows with a label of their own, wanted ones with unwanted ones of the same prompt, in their order. What is left over is
/// counted.
pub(super) fn paired(
    judged: Vec<(PathBuf, usize, KtoRecord)>,
    report: &mut DataReport,
) -> Vec<(PathBuf, Vec<(usize, PairRecord)>)> {
    type Side = Vec<(PathBuf, usize, Text)>;
    let mut order: Vec<(Text, Side, Side)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (path, line, row) in judged {
        let place = *places.entry(row.prompt.plain()).or_insert_with(|| {
            order.push((row.prompt.clone(), Vec::new(), Vec::new()));
            order.len() - 1
        });
        let (_, wanted, unwanted) = &mut order[place];
        let side = if row.label { wanted } else { unwanted };
        side.push((path, line, row.completion));
    }
    let mut pairs: Vec<(PathBuf, Vec<(usize, PairRecord)>)> = Vec::new();
    for (prompt, wanted, unwanted) in order {
        let both = wanted.len().min(unwanted.len());
        for (path, line, _) in wanted[both..].iter().chain(&unwanted[both..]) {
            report.count(Reason::Unpaired, path, *line);
        }
        for ((path, line, chosen), (_, _, rejected)) in wanted.into_iter().zip(unwanted) {
            let record = PairRecord {
                prompt: prompt.clone(),
                chosen,
                rejected,
                margin: None,
            };
            match pairs.last_mut() {
                Some((last, rows)) if *last == path => rows.push((line, record)),
                Some(_) | None => pairs.push((path, vec![(line, record)])),
            }
        }
    }
    pairs
}
