//! The 3D detector on the toy model's runs, and how often it is right.

use preflab_dpo::detector::{Curves, Detection, Thresholds, detect};
use preflab_stats::{Interval, ProportionInterval, Tally, proportion_interval};
use serde::Serialize;

use crate::outcome::{Outcome, Run};

/// The detector on one run: mean log-likelihoods over prompts, and the mass on responses that are neither the prompt's
/// chosen one nor among dimensions 5 to 8.
pub fn detect_run(epochs: &[u64], run: &Run, thresholds: &Thresholds) -> Detection {
    let ratio = run.series(|look| look.log_gradient_rejected - look.log_gradient_chosen);
    detect(
        &Curves {
            steps: epochs,
            chosen: &run.series(|look| look.logp_chosen),
            rejected: &run.series(|look| look.logp_rejected),
            outside: &run.series(|look| look.mass_other_chosen + look.mass_unseen),
            log_gradient_ratio: Some(&ratio),
        },
        thresholds,
    )
}

/// How often something was seen, over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Runs in which it was.
    pub runs: u64,
    /// All runs.
    pub of: u64,
    /// Wilson's 95 % interval of the share.
    pub interval: Interval,
}

/// A finding over the seeds of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PropertyRate {
    /// How often it was found.
    pub rate: Rate,
    /// Median epoch of onset among the runs in which it was; NaN where it never was.
    pub median_onset: f64,
    /// Smallest, median and largest strength over all runs.
    pub strength: [f64; 3],
}

/// What the detector says of an arm in a scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellDetection {
    /// The arm.
    pub arm: String,
    /// The scenario's number.
    pub scenario: usize,
    /// Drop with degradation or dispersion.
    pub flagged: Rate,
    /// Drastic drop.
    pub drop: PropertyRate,
    /// Degradation.
    pub degradation: PropertyRate,
    /// Dispersion.
    pub dispersion: PropertyRate,
}

/// The detector on every cell.
pub fn detections(outcome: &Outcome, thresholds: &Thresholds) -> Vec<CellDetection> {
    let mut cells = Vec::new();
    for (place, arm) in outcome.arms.iter().enumerate() {
        for (scenario, &name) in outcome.scenarios.iter().enumerate() {
            let found: Vec<Detection> = outcome
                .cell(place, scenario)
                .iter()
                .map(|run| detect_run(&outcome.epochs, run, thresholds))
                .collect();
            cells.push(CellDetection {
                arm: arm.clone(),
                scenario: name.number(),
                flagged: rate(
                    found.iter().filter(|found| found.flagged()).count(),
                    found.len(),
                ),
                drop: property(found.iter().map(|found| found.drop)),
                degradation: property(found.iter().map(|found| found.degradation)),
                dispersion: property(found.iter().map(|found| found.dispersion)),
            });
        }
    }
    cells
}

/// `runs` of `of`, with its interval.
///
/// # Panics
/// If there are no runs at all.
pub(crate) fn rate(runs: usize, of: usize) -> Rate {
    let tally = Tally::new(runs as u64, of as u64).expect("at least one seed");
    let interval = proportion_interval(tally, 0.05, ProportionInterval::Wilson);
    Rate {
        runs: runs as u64,
        of: of as u64,
        interval: interval.expect("a level within its range"),
    }
}

fn property(findings: impl Iterator<Item = preflab_dpo::detector::Finding>) -> PropertyRate {
    let findings: Vec<_> = findings.collect();
    let onsets: Vec<f64> = findings
        .iter()
        .filter_map(|finding| finding.onset.map(|onset| onset as f64))
        .collect();
    let strengths: Vec<f64> = findings.iter().map(|finding| finding.strength).collect();
    PropertyRate {
        rate: rate(onsets.len(), findings.len()),
        median_onset: preflab_stats::median(&onsets),
        strength: [
            strengths.iter().copied().fold(f64::INFINITY, f64::min),
            preflab_stats::median(&strengths),
            strengths.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        ],
    }
}
