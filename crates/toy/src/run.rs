//! `preflab toy` as a function: everything computed, everything written.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use preflab_config::ToySettings;
use preflab_dpo::detector::Thresholds;
use preflab_metrics::{Image, Metric, RunLog, Sink};
use preflab_report::claims::Verdict;
use preflab_stats::mean;
use serde::Serialize;

use crate::claims::{Check, check_claims};
use crate::constructions::{Construction, constructions};
use crate::detection::{CellDetection, detections};
use crate::error::ToyError;
use crate::figures::{self, NamedFigure};
use crate::outcome::{Outcome, Run};
use crate::page::{Contents, page};
use crate::simulate::simulate;
use crate::sweep::{MapCell, Swept, sweep};
use crate::tables;

/// Pixels of a PNG to a unit of its SVG.
const SCALE: f64 = 1.5;

/// What is computed besides the runs of the settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// The phase map.
    pub map: bool,
    /// The constructions under which unseen responses may rise.
    pub constructions: bool,
}

/// What is going on: the name of the part, how much of it is done, and of how much.
pub type Observer<'a> = &'a (dyn Fn(&str, usize, usize) + Sync);

/// What was computed, for machines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToyReport {
    /// Where everything was written.
    pub directory: PathBuf,
    /// The page.
    pub html: PathBuf,
    /// The page as Markdown.
    pub markdown: PathBuf,
    /// Arms times scenarios times seeds.
    pub runs: usize,
    /// Wall-clock seconds of the runs alone.
    pub seconds: f64,
    /// Each claim as a whole.
    pub claims: Vec<ClaimVerdict>,
    /// Every check.
    pub checks: Vec<Check>,
    /// The detector on every cell.
    pub detector: Vec<CellDetection>,
    /// The phase map, where it was asked for.
    pub map: Vec<MapCell>,
    /// The constructions, where they were asked for.
    pub constructions: Vec<Construction>,
}

/// A claim as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ClaimVerdict {
    /// Its letter.
    pub claim: char,
    /// FAIL if any check of it fails, else INCONCLUSIVE if any is, else PASS.
    pub verdict: Verdict,
}

/// Computes the toy model under `settings` and writes into `out`: `report.html`, `report.md`, `claims.json`, `curves.csv`,
/// `settings.toml`, `figures/*.svg` and `.png`, and TensorBoard logs under `tensorboard/scenario-N/ARM`.
///
/// What is already there under these names is replaced. `claims.json` has no wall-clock time: the same settings give the
/// same bytes.
///
/// # Errors
/// If settings do not go together, or something cannot be written.
pub fn run(
    settings: &ToySettings,
    out: &Path,
    extras: Extras,
    observer: Observer<'_>,
) -> Result<ToyReport, ToyError> {
    let began = Instant::now();
    let outcome = simulate(settings, &|done, of| observer("runs", done, of))?;
    let seconds = began.elapsed().as_secs_f64();
    let map = if extras.map {
        sweep(settings, &|done, of| observer("phase map", done, of))?
    } else {
        Vec::new()
    };
    let constructions = if extras.constructions {
        constructions(settings, &|done, of| observer("constructions", done, of))?
    } else {
        Vec::new()
    };
    let checks = check_claims(&outcome);
    let report = ToyReport {
        directory: out.to_owned(),
        html: out.join("report.html"),
        markdown: out.join("report.md"),
        runs: outcome.runs.len(),
        seconds,
        claims: ('a'..='g')
            .filter_map(|claim| {
                let verdict = tables::overall(&checks, claim)?;
                Some(ClaimVerdict { claim, verdict })
            })
            .collect(),
        checks,
        detector: detections(&outcome, &Thresholds::default()),
        map,
        constructions,
    };
    write_all(settings, &outcome, &report, observer)?;
    Ok(report)
}

/// What `claims.json` holds.
#[derive(Serialize)]
struct Results<'a> {
    claims: &'a [ClaimVerdict],
    checks: &'a [Check],
    detector: &'a [CellDetection],
    map: &'a [MapCell],
    constructions: &'a [Construction],
}

fn write_all(
    settings: &ToySettings,
    outcome: &Outcome,
    report: &ToyReport,
    observer: Observer<'_>,
) -> Result<(), ToyError> {
    let out = &report.directory;
    make(&out.join("figures"))?;
    let tagged = figures::all(outcome);
    let maps: Vec<NamedFigure> = if report.map.is_empty() {
        Vec::new()
    } else {
        Swept::ALL
            .into_iter()
            .map(|swept| figures::phase_map(&report.map, swept))
            .collect()
    };
    let every: Vec<&NamedFigure> = tagged.iter().map(|(named, _)| named).chain(&maps).collect();
    let mut pictures = Vec::with_capacity(every.len());
    for (done, named) in every.iter().enumerate() {
        observer("figures", done, every.len());
        let path = out.join("figures").join(&named.name);
        let png = named.figure.to_png(SCALE);
        write(
            &path.with_extension("svg"),
            named.figure.to_svg().as_bytes(),
        )?;
        write(&path.with_extension("png"), &png)?;
        pictures.push(png);
    }
    observer("figures", every.len(), every.len());
    let shown: Vec<NamedFigure> = tagged.iter().map(|(named, _)| named.clone()).collect();
    let page = page(&Contents {
        settings,
        outcome,
        checks: &report.checks,
        detections: &report.detector,
        figures: &shown,
        maps: &maps,
        constructions: &report.constructions,
        report,
    });
    write(&report.html, page.to_html().as_bytes())?;
    write(&report.markdown, page.to_markdown().as_bytes())?;
    let results = Results {
        claims: &report.claims,
        checks: &report.checks,
        detector: &report.detector,
        map: &report.map,
        constructions: &report.constructions,
    };
    let json = serde_json::to_string_pretty(&results).expect("plain data");
    write(&out.join("claims.json"), json.as_bytes())?;
    let text = toml::to_string(settings).expect("settings are plain data");
    write(&out.join("settings.toml"), text.as_bytes())?;
    write(&out.join("curves.csv"), curves(outcome).as_bytes())?;
    let images: Vec<(usize, Image, &[u8])> = tagged
        .iter()
        .zip(&pictures)
        .filter_map(|((_, tag), png)| tag.map(|(arm, image)| (arm, image, png.as_slice())))
        .collect();
    log(outcome, &images, out, observer)
}

/// Mean over seeds of every logged quantity: a row for each arm, scenario and observed epoch.
fn curves(outcome: &Outcome) -> String {
    let header = outcome
        .runs
        .first()
        .map_or(Vec::new(), |run| run.first().metrics().to_vec());
    let tags: Vec<&str> = header.iter().map(|(metric, _)| metric.tag()).collect();
    let mut text = format!("arm,scenario,epoch,{}\n", tags.join(","));
    for (arm, name) in outcome.arms.iter().enumerate() {
        for (place, scenario) in outcome.scenarios.iter().enumerate() {
            for (look, epoch) in outcome.epochs.iter().enumerate() {
                let values: Vec<String> = averages(outcome.cell(arm, place), look)
                    .map(|(_, value, _)| value.to_string())
                    .collect();
                let number = scenario.number();
                text.push_str(&format!("{name},{number},{epoch},{}\n", values.join(",")));
            }
        }
    }
    text
}

/// Each logged quantity at one look: the mean of its finite values, and all values.
fn averages(runs: &[Run], look: usize) -> impl Iterator<Item = (Metric, f64, Vec<f64>)> {
    let rows: Vec<_> = runs.iter().map(|run| run.curve[look].metrics()).collect();
    let metrics: Vec<Metric> = rows[0].iter().map(|(metric, _)| *metric).collect();
    metrics
        .into_iter()
        .enumerate()
        .map(move |(column, metric)| {
            let values: Vec<f64> = rows.iter().map(|row| row[column].1).collect();
            let finite: Vec<f64> = values
                .iter()
                .copied()
                .filter(|value| value.is_finite())
                .collect();
            (metric, mean(&finite), values)
        })
}

/// One TensorBoard run for each arm and scenario: means over seeds, histograms over seeds at both ends, pictures.
fn log(
    outcome: &Outcome,
    images: &[(usize, Image, &[u8])],
    out: &Path,
    observer: Observer<'_>,
) -> Result<(), ToyError> {
    let last = outcome.epochs.len() - 1;
    let cells = outcome.arms.len() * outcome.scenarios.len();
    for (arm, name) in outcome.arms.iter().enumerate() {
        let states = [
            (
                Image::ToyPolicyStart,
                0,
                figures::states(outcome, arm, |run| &run.start, "before").to_png(SCALE),
            ),
            (
                Image::ToyPolicyEnd,
                outcome.epochs[last],
                figures::states(outcome, arm, |run| &run.end, "after").to_png(SCALE),
            ),
        ];
        for (place, scenario) in outcome.scenarios.iter().enumerate() {
            observer("logs", arm * outcome.scenarios.len() + place, cells);
            let directory = out
                .join("tensorboard")
                .join(format!("scenario-{}", scenario.number()))
                .join(name);
            let mut log = RunLog::resume(&directory, 0)?;
            for (look, &epoch) in outcome.epochs.iter().enumerate() {
                for (metric, average, values) in averages(outcome.cell(arm, place), look) {
                    if average.is_finite() {
                        log.scalar(epoch, metric, average)?;
                    }
                    if look == 0 || look == last {
                        log.histogram(epoch, metric, &values)?;
                    }
                }
            }
            // The pictures show all scenarios: they are in the log of the first.
            if place == 0 {
                for &(_, image, png) in images.iter().filter(|(of, _, _)| *of == arm) {
                    log.image(outcome.epochs[last], image, png)?;
                }
                for (image, epoch, png) in &states {
                    log.image(*epoch, *image, png)?;
                }
            }
            log.flush()?;
        }
    }
    observer("logs", cells, cells);
    Ok(())
}

fn make(path: &Path) -> Result<(), ToyError> {
    fs::create_dir_all(path).map_err(|source| ToyError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file as a whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ToyError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|source| ToyError::Write {
            path: path.to_owned(),
            source,
        })
}
