//! Stages that several cells build on: the start, the pairs, the reward model.

use std::collections::BTreeMap;

use preflab_experiment::StageKind;
use preflab_experiment::records::SharedRecord;
use preflab_metrics::{Curves, Metric};

use crate::curves::{gather, read_directory};
use crate::document::{Block, Column, Rich, Section, Table};
use crate::figure::{Axis, Figure, Plot, Style, short_number};
use crate::format::amount;
use crate::report::{Context, ReportError};

/// Curves shown of a stage: title of the panel, training and held-out metric.
type PanelOf = (&'static str, Metric, Metric);

const REWARD_MODEL: [PanelOf; 3] = [
    ("accuracy", Metric::Accuracy, Metric::EvalAccuracy),
    ("margin", Metric::Margin, Metric::EvalMargin),
    ("loss", Metric::Loss, Metric::EvalLoss),
];

const SUPERVISED: [PanelOf; 2] = [
    ("loss", Metric::Loss, Metric::EvalLoss),
    (
        "accuracy of tokens",
        Metric::MeanTokenAccuracy,
        Metric::EvalMeanTokenAccuracy,
    ),
];

pub(crate) fn section(context: &Context<'_>) -> Result<Section, ReportError> {
    let shared = &context.records.experiment.shared;
    let mut section = Section::new("shared", "Shared stages");
    if shared.is_empty() {
        return Ok(section);
    }
    section = section.block(Block::paragraph(
        "Computed once, and used by every arm that needs them.",
    ));
    let stages: [(StageKind, &str, &[PanelOf]); 2] = [
        (
            StageKind::RewardModel,
            "Reward model while training",
            &REWARD_MODEL,
        ),
        (
            StageKind::Sft,
            "Supervised start while training",
            &SUPERVISED,
        ),
    ];
    for (kind, title, panels) in stages {
        let figure = figure(context, kind, title, panels)?;
        if !figure.is_empty() {
            section = section.block(Block::figure(
                figure,
                "Line: mean over seeds; band: smallest to largest seed.",
            ));
        }
    }
    Ok(section.block(Block::Folded(
        "Every shared stage".to_owned(),
        vec![Block::Table(table(shared))],
    )))
}

fn figure(
    context: &Context<'_>,
    kind: StageKind,
    title: &str,
    panels: &[PanelOf],
) -> Result<Figure, ReportError> {
    let mut runs: BTreeMap<Option<u64>, Curves> = BTreeMap::new();
    for stage in context
        .records
        .experiment
        .shared
        .iter()
        .filter(|stage| stage.kind == kind)
    {
        if let Some(curves) = read_directory(&context.records.directory.join(&stage.directory))? {
            runs.insert(stage.seed, curves);
        }
    }
    let mut figure = Figure::new(title).columns(3);
    for &(name, training, held_out) in panels {
        let mut plot = Plot::new(Axis::linear("update"), Axis::linear(training.unit()))
            .title(name)
            .size(250.0, 170.0);
        let mut drawn = false;
        for (label, metric, style) in [
            ("training", training, Style::series(0)),
            ("held out", held_out, Style::series(1)),
        ] {
            if let Some(gathered) = gather(runs.values().map(|curves| curves.series(metric))) {
                plot = super::curves::curve(plot, label, &gathered, style);
                drawn = true;
            }
        }
        if drawn {
            figure = figure.panel(plot);
        }
    }
    Ok(figure)
}

fn table(shared: &[SharedRecord]) -> Table {
    let mut table = Table::new(vec![
        Column::text("stage"),
        Column::number("seed"),
        Column::number("cells"),
        Column::number("seconds"),
        Column::text("figures"),
        Column::text("key"),
    ]);
    for stage in shared {
        let figures: Vec<String> = stage
            .measures
            .iter()
            .map(|(tag, &value)| format!("{tag} = {}", short_number(value)))
            .collect();
        table.row(vec![
            stage.kind.title().into(),
            stage
                .seed
                .map_or_else(|| "all".to_owned(), |seed| seed.to_string())
                .into(),
            stage.shared_by.to_string().into(),
            amount(stage.ledger.seconds.round()).into(),
            figures.join(", ").into(),
            Rich::code(&stage.key.chars().take(12).collect::<String>()),
        ]);
    }
    table
}
