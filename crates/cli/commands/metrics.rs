//! `preflab metrics`: what is logged.

use std::process::ExitCode;

use preflab_experiment::nearest;
use preflab_metrics::{Better, Metric, Section};
use serde::Serialize;

use crate::args::MetricsArguments;
use crate::failure::Failure;
use crate::output;

/// A row of the catalogue, for machines.
#[derive(Debug, Serialize)]
struct Row {
    tag: &'static str,
    unit: &'static str,
    better: &'static str,
    meaning: &'static str,
    section: &'static str,
}

/// Shows the catalogue, or one row of it.
pub fn metrics(arguments: &MetricsArguments) -> Result<ExitCode, Failure> {
    match &arguments.tag {
        Some(tag) => {
            let metric = Metric::from_tag(tag).ok_or_else(|| unknown(tag))?;
            if arguments.json {
                output::json(&row(metric))?
            } else {
                output::line(details(metric))?
            }
        }
        None if arguments.json => {
            output::json(
                &Metric::ALL
                    .iter()
                    .map(|&metric| row(metric))
                    .collect::<Vec<_>>(),
            )?;
        }
        None => output::line(table())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn unknown(tag: &str) -> Failure {
    let hint = match nearest(tag, Metric::ALL.iter().map(|metric| metric.tag())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`preflab metrics` lists every tag".to_owned(),
    };
    Failure::request(format!("nothing is logged as `{tag}`\n\nhint: {hint}"))
}

fn better(metric: Metric) -> &'static str {
    match metric.better() {
        Better::Lower => "lower",
        Better::Higher => "higher",
        Better::Neither => "neither",
    }
}

fn row(metric: Metric) -> Row {
    Row {
        tag: metric.tag(),
        unit: metric.unit(),
        better: better(metric),
        meaning: metric.meaning(),
        section: metric.section().title(),
    }
}

fn details(metric: Metric) -> String {
    format!(
        "{}\n  unit    {}\n  better  {}\n  {}",
        metric.tag(),
        metric.unit(),
        better(metric),
        metric.meaning()
    )
}

fn table() -> String {
    let width = |text: fn(Metric) -> &'static str| {
        Metric::ALL
            .iter()
            .map(|&metric| text(metric).chars().count())
            .max()
    };
    let tag = width(Metric::tag).unwrap_or(0);
    let unit = width(Metric::unit).unwrap_or(0);
    let mut lines = Vec::new();
    for section in Section::ALL {
        lines.push(format!("{}\n", section.title()));
        for &metric in section.metrics() {
            lines.push(format!(
                "  {:tag$}  {:unit$}  {:7}  {}",
                metric.tag(),
                metric.unit(),
                better(metric),
                metric.meaning()
            ));
        }
        lines.push(String::new());
    }
    lines.join("\n").trim_end().to_owned()
}
