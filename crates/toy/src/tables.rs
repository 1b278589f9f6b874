//! The tables of the report.

use preflab_report::claims::Verdict;
use preflab_report::document::{Column, Rich, Table};
use preflab_stats::mean;

use crate::claims::Check;
use crate::constructions::Construction;
use crate::detection::{CellDetection, PropertyRate, Rate};
use crate::outcome::{Outcome, Run};

/// What is claimed, by letter.
const CLAIMS: [(char, &str); 7] = [
    (
        'a',
        "the rejected likelihood falls faster than the chosen one rises",
    ),
    ('b', "the gradients' ratio is −π−/π+ (corollary 1)"),
    (
        'c',
        "the chosen gradient tends to 0 and the rejected one grows as π− → 0",
    ),
    (
        'd',
        "the chosen likelihood declines in the long run, and mass moves to unseen responses",
    ),
    ('e', "scenario 1 is the mildest"),
    ('f', "flex-dpo and sft-dpo soften the effects"),
    ('g', "the reward model's gradients stay balanced"),
];

/// A claim as a whole: FAIL if any check of it fails, else INCONCLUSIVE if any is, else PASS. Absent without checks.
pub(crate) fn overall(checks: &[Check], claim: char) -> Option<Verdict> {
    let verdicts = || {
        checks
            .iter()
            .filter(|check| check.claim == claim)
            .map(|check| check.verdict)
    };
    verdicts().next()?;
    Some(if verdicts().any(|verdict| verdict == Verdict::Fail) {
        Verdict::Fail
    } else if verdicts().any(|verdict| verdict == Verdict::Inconclusive) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    })
}

/// One line for each claim.
pub(crate) fn claims(checks: &[Check]) -> Table {
    let count = |claim: char, verdict: Verdict| {
        let of = checks.iter().filter(|check| check.claim == claim);
        of.filter(|check| check.verdict == verdict)
            .count()
            .to_string()
    };
    let mut table = Table::new(vec![
        Column::text("claim"),
        Column::text("statement"),
        Column::text("verdict"),
        Column::number("pass"),
        Column::number("fail"),
        Column::number("inconclusive"),
    ])
    .caption("A claim passes if all its checks do, and fails if any does.");
    for (claim, statement) in CLAIMS {
        let Some(verdict) = overall(checks, claim) else {
            continue;
        };
        table.row(vec![
            format!("({claim})").into(),
            statement.into(),
            Rich::strong(&verdict.to_string()),
            count(claim, Verdict::Pass).into(),
            count(claim, Verdict::Fail).into(),
            count(claim, Verdict::Inconclusive).into(),
        ]);
    }
    table
}

/// One line for each check.
pub(crate) fn checks(checks: &[Check]) -> Table {
    let mut table = Table::new(vec![
        Column::text("claim"),
        Column::text("check"),
        Column::text("where"),
        Column::text("verdict"),
        Column::text("effect"),
        Column::number("mean"),
        Column::number("95 % interval"),
        Column::number("d_z"),
        Column::number("seeds"),
    ])
    .caption("Effects are claimed to be above 0 (b and the first of g: within 1e-5 of 0). Intervals are Student's t over seeds, paired where arms or scenarios are compared.");
    for check in checks {
        table.row(vec![
            format!("({})", check.claim).into(),
            check.statement.into(),
            check.place.clone().into(),
            Rich::strong(&check.verdict.to_string()),
            check.effect_name.into(),
            number(check.effect).into(),
            format!(
                "[{}, {}]",
                number(check.interval.low),
                number(check.interval.high)
            )
            .into(),
            number(check.effect_size).into(),
            check.seeds.to_string().into(),
        ]);
    }
    table
}

/// The detector on every cell.
pub(crate) fn detections(cells: &[CellDetection]) -> Table {
    let mut table = Table::new(vec![
        Column::text("arm"),
        Column::number("scenario"),
        Column::number("flagged"),
        Column::number("drop"),
        Column::number("degradation"),
        Column::number("dispersion"),
    ])
    .caption("Share of runs with Wilson's 95 % interval; below it the median epoch of onset and the range of the strength (nats; dispersion: probability).");
    for cell in cells {
        table.row(vec![
            Rich::code(&cell.arm),
            cell.scenario.to_string().into(),
            rate(&cell.flagged).into(),
            property(&cell.drop),
            property(&cell.degradation),
            property(&cell.dispersion),
        ]);
    }
    table
}

pub(crate) fn rate(rate: &Rate) -> String {
    let percent = |share: f64| format!("{:.0}", 100.0 * share);
    let (low, high) = (percent(rate.interval.low), percent(rate.interval.high));
    format!("{}/{} [{low}, {high}] %", rate.runs, rate.of)
}

fn property(found: &PropertyRate) -> Rich {
    let onset = if found.median_onset.is_finite() {
        format!("from epoch {}, ", number(found.median_onset))
    } else {
        String::new()
    };
    let [low, middle, high] = found.strength.map(number);
    Rich::from(rate(&found.rate)).and_small(&format!("{onset}{low} / {middle} / {high}"))
}

/// Where every cell ends.
pub(crate) fn ends(outcome: &Outcome) -> Table {
    let columns = [
        "scenario",
        "chosen, peak",
        "chosen, end",
        "other chosen",
        "rejected, log",
        "unseen, start",
        "unseen, largest",
        "unseen, end",
        "total variation",
        "KL to optimum",
        "KL to start",
        "entropy",
    ];
    let mut all = vec![Column::text("arm")];
    all.extend(columns.map(Column::number));
    let mut table = Table::new(all)
        .caption("Means over seeds. Probabilities are means over prompts; KL and entropy in nats.");
    for (arm, name) in outcome.arms.iter().enumerate() {
        for (place, scenario) in outcome.scenarios.iter().enumerate() {
            let of = |value: &dyn Fn(&Run) -> f64| mean(&outcome.each(arm, place, value));
            let values = [
                of(&|run| run.curve[run.peak()].mass_chosen),
                of(&|run| run.last().mass_chosen),
                of(&|run| run.last().mass_other_chosen),
                of(&|run| run.last().log_rejected_mean),
                of(&|run| run.first().mass_unseen),
                of(&|run| {
                    run.series(|look| look.mass_unseen)
                        .into_iter()
                        .fold(0.0, f64::max)
                }),
                of(&|run| run.last().mass_unseen),
                of(&|run| run.last().total_variation),
                of(&|run| run.last().kl_to_optimum),
                of(&|run| run.last().kl_to_start),
                of(&|run| run.last().entropy),
            ];
            let mut row = vec![Rich::code(name), scenario.number().to_string().into()];
            row.extend(values.map(|value| Rich::from(number(value))));
            table.row(row);
        }
    }
    table
}

/// What vanilla DPO does to unseen responses in every construction.
pub(crate) fn constructions(found: &[Construction]) -> Table {
    let mut table = Table::new(vec![
        Column::text("construction"),
        Column::number("scenario"),
        Column::number("chosen, peak"),
        Column::number("chosen, end"),
        Column::number("unseen, start"),
        Column::number("unseen, largest"),
        Column::number("unseen, end"),
        Column::number("end minus start, 95 %"),
        Column::text("rises"),
    ])
    .caption("Vanilla DPO. `for good`: the whole interval of end minus start is above 0; `for a while`: that of the largest minus the start is, by more than 0.01.");
    for one in found {
        let rises = if one.rises_for_good() {
            Rich::strong("for good")
        } else if one.passing_rise.low > 0.01 {
            "for a while".into()
        } else {
            "no".into()
        };
        let interval = one.lasting_rise;
        table.row(vec![
            Rich::code(&one.name),
            one.scenario.to_string().into(),
            number(one.chosen_peak).into(),
            number(one.chosen_end).into(),
            number(one.start).into(),
            number(one.largest).into(),
            number(one.end).into(),
            format!("[{}, {}]", number(interval.low), number(interval.high)).into(),
            rises,
        ]);
    }
    table
}

/// Three digits that count.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "—".to_owned()
    } else if value == 0.0 {
        "0".to_owned()
    } else if size < 5e-4 {
        format!("{value:.1e}")
    } else if size < 10.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.1}")
    }
}
