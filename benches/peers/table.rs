//! Tables of what was measured, in Markdown.

use crate::compare::Comparison;

/// Median, smallest and largest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => 0.5 * (sorted[middle - 1] + sorted[middle]),
            _ => sorted[middle],
        };
        Self {
            median,
            least: sorted[0],
            most: sorted[sorted.len() - 1],
        }
    }
}

/// The head of the table of [`row`]s.
pub(crate) const HEAD: &str = "\
| case | peer | ours, tokens/s | peer, tokens/s | speed ratio: median (least–most) | peak MiB, ours / peer | memory ratio | padding, ours / peer | tokens computed | others |
|---|---|---|---|---|---|---|---|---|---|";

/// One comparison.
pub(crate) fn row(comparison: &Comparison) -> String {
    let Comparison {
        case,
        note,
        ours,
        peer,
        tokens_per_step,
        others,
    } = comparison;
    let ratio = Spread::of(&comparison.ratios());
    let speed = |seconds: &[f64]| tokens_per_step / Spread::of(seconds).median;
    let label = match note.as_str() {
        "" => peer.library.clone(),
        note => format!("{}, {note}", peer.library),
    };
    let (peaks, memory) = match (ours.peak, peer.peak) {
        (Some(ours), Some(theirs)) => (
            format!("{ours:.0} / {theirs:.0}"),
            format!("{:.2}", ours / theirs),
        ),
        _ => ("unknown".to_owned(), "unknown".to_owned()),
    };
    format!(
        "| {case} | {label} | {:.0} | {:.0} | {:.2} ({:.2}–{:.2}) | {peaks} | {memory} | {:.0} % / {:.0} % | {:.0} % | {} |",
        speed(&ours.seconds),
        speed(&peer.seconds),
        ratio.median,
        ratio.least,
        ratio.most,
        100.0 * ours.padding,
        100.0 * peer.padding,
        100.0 * ours.computed,
        others.map_or("unknown".to_owned(), |share| format!(
            "{:.0} %",
            100.0 * share.max(0.0)
        )),
    )
}
