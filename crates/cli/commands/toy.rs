//! `preflab toy`: the paper's toy model.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use preflab_config::ToySettings;
use preflab_toy::{Extras, ToyError, ToyReport, with_overrides};

use crate::args::ToyArguments;
use crate::failure::Failure;
use crate::output;

/// Computes the toy model and writes figures, tables and logs.
pub fn toy(arguments: &ToyArguments) -> Result<ExitCode, Failure> {
    let counts = [("seeds", arguments.seeds), ("epochs", arguments.epochs)];
    let set: Vec<String> = counts
        .into_iter()
        .filter_map(|(key, count)| Some(format!("{key}={}", count?)))
        .chain(arguments.set.iter().cloned())
        .collect();
    let settings = with_overrides(&ToySettings::default(), &set).map_err(Failure::request)?;
    preflab_toy::check(&settings).map_err(Failure::request)?;
    if arguments.settings {
        let text = toml::to_string(&settings).map_err(Failure::work)?;
        output::line(text.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let extras = Extras {
        map: arguments.map,
        constructions: arguments.constructions,
    };
    let bar = bar(arguments.quiet);
    let report = preflab_toy::run(&settings, &arguments.out, extras, &|part, done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        bar.set_message(part.to_owned());
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| match error {
        ToyError::Override { .. } | ToyError::Settings { .. } | ToyError::Conflict { .. } => {
            Failure::request(error)
        }
        ToyError::Write { .. } | ToyError::Log(_) => Failure::work(error),
    })?;
    if arguments.json {
        output::json(&report)?;
    } else {
        output::line(words(&report))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A bar on a terminal, nothing elsewhere.
fn bar(quiet: bool) -> ProgressBar {
    let bar = if quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(0)
    };
    // A constant template: if it were wrong, the default look is as good.
    if let Ok(style) =
        ProgressStyle::with_template("{msg:>14}  {bar:30}  {pos}/{len}  {elapsed} gone")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// What a person reads on the terminal.
fn words(report: &ToyReport) -> String {
    let mut lines = vec![format!("{} runs in {:.1} s", report.runs, report.seconds)];
    for claim in &report.claims {
        let of = report
            .checks
            .iter()
            .filter(|check| check.claim == claim.claim);
        let (passed, all) = of.fold((0, 0), |(passed, all), check| {
            let pass = check.verdict == preflab_toy::Verdict::Pass;
            (passed + usize::from(pass), all + 1)
        });
        let first = report
            .checks
            .iter()
            .find(|check| check.claim == claim.claim);
        let statement = first.map_or("", |check| check.statement);
        lines.push(format!(
            "({}) {:<12} {passed} of {all} checks pass: {statement}{}",
            claim.claim,
            claim.verdict.to_string(),
            if all > 1 { ", ..." } else { "" },
        ));
    }
    lines.push("flagged by the 3D detector, by scenario:".to_owned());
    let mut arms: Vec<&str> = report
        .detector
        .iter()
        .map(|cell| cell.arm.as_str())
        .collect();
    arms.dedup();
    for arm in arms {
        let cells = report.detector.iter().filter(|cell| cell.arm == arm);
        let rates: Vec<String> = cells
            .map(|cell| {
                format!(
                    "{}: {}/{}",
                    cell.scenario, cell.flagged.runs, cell.flagged.of
                )
            })
            .collect();
        lines.push(format!("  {arm:<12} {}", rates.join("  ")));
    }
    lines.push(report.html.display().to_string());
    lines.join("\n")
}
