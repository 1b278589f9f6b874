//! Curves while training: mean over seeds with the range of the seeds.

use preflab_metrics::Metric;

use crate::curves::Gathered;
use crate::document::{Block, Section};
use crate::figure::{Axis, Figure, Plot, Style};
use crate::report::Context;

/// Figures in their order: title and metrics, one panel each.
pub(crate) const GROUPS: [(&str, &[Metric]); 7] = [
    (
        "Log-probabilities of the answers",
        &[
            Metric::DynamicsChangeChosen,
            Metric::DynamicsChangeRejected,
            Metric::DynamicsChangeUnseen,
            Metric::LogpsChosen,
            Metric::LogpsRejected,
            Metric::DynamicsMassOutside,
        ],
    ),
    (
        "Rewards and gold score",
        &[
            Metric::DynamicsGold,
            Metric::ObjectiveGold,
            Metric::ObjectiveScores,
            Metric::ObjectiveRlhfReward,
            Metric::RewardsChosen,
            Metric::RewardsRejected,
            Metric::RewardsMargins,
            Metric::RewardsAccuracies,
            Metric::EvalRewardsAccuracies,
        ],
    ),
    (
        "Accuracy on pairs",
        &[
            Metric::AccuracyHeldOut,
            Metric::AccuracyTrain,
            Metric::AccuracyGap,
            Metric::AccuracyHeldOutLoss,
            Metric::AccuracyTrainLoss,
        ],
    ),
    (
        "Distance from the reference",
        &[
            Metric::DynamicsKl,
            Metric::ObjectiveKlExact,
            Metric::ObjectiveKl,
            Metric::ObjectiveKlK3,
            Metric::ObjectiveKlCoef,
        ],
    ),
    (
        "Gradients of the two sides",
        &[
            Metric::DynamicsLogGradientChosen,
            Metric::DynamicsLogGradientRejected,
            Metric::DynamicsLogGradientRatio,
            Metric::DynamicsGradientNormChosen,
            Metric::DynamicsGradientNormRejected,
            Metric::DynamicsGradientCosine,
        ],
    ),
    (
        "Form of the answers",
        &[
            Metric::DynamicsLength,
            Metric::RolloutLength,
            Metric::DynamicsEosRate,
            Metric::DynamicsEntropy,
            Metric::DynamicsDistinct2,
            Metric::DynamicsRepetition,
        ],
    ),
    (
        "Optimisation",
        &[
            Metric::Loss,
            Metric::EvalLoss,
            Metric::GradNorm,
            Metric::LossPolicy,
            Metric::LossValue,
            Metric::PolicyClipfrac,
            Metric::PolicyEntropy,
            Metric::ValExplainedVariance,
        ],
    ),
];

/// The three kinds of answers in one panel: a label and the metrics to take it from, best first.
const SIDES: [(&str, [Metric; 2]); 3] = [
    (
        "chosen",
        [Metric::DynamicsChangeChosen, Metric::LogpsChosen],
    ),
    (
        "rejected",
        [Metric::DynamicsChangeRejected, Metric::LogpsRejected],
    ),
    (
        "unseen",
        [Metric::DynamicsChangeUnseen, Metric::DynamicsLogpsUnseen],
    ),
];

pub(crate) fn section(context: &Context<'_>) -> Section {
    let mut blocks = Vec::new();
    if let Some(figure) = sides(context) {
        let caption = "Chosen, rejected and unseen answers, one panel for each arm. Line: mean over seeds; band: smallest to largest seed.";
        blocks.push(Block::figure(figure, caption));
    }
    for (title, metrics) in GROUPS {
        let figure = group(context, title, metrics);
        if !figure.is_empty() {
            let tags: Vec<&str> = shown(context, metrics).map(Metric::tag).collect();
            let caption = format!(
                "Line: mean over seeds; band: smallest to largest seed. {}",
                thinning(context, metrics)
            );
            let caption = crate::document::Rich::from(caption)
                .and(" Tags: ")
                .and_rich(crate::document::Rich::codes(tags))
                .and(".");
            blocks.push(Block::figure(figure, caption));
        }
    }
    Section::new("curves", "Curves").blocks(blocks)
}

/// The metrics of a group that any compared arm logged.
pub(crate) fn shown<'a>(
    context: &'a Context<'_>,
    metrics: &'a [Metric],
) -> impl Iterator<Item = Metric> + 'a {
    let logged = |metric: &Metric| {
        context
            .arms
            .iter()
            .any(|arm| context.curves.has(&arm.name, *metric))
    };
    metrics.iter().copied().filter(logged)
}

fn group(context: &Context<'_>, title: &str, metrics: &[Metric]) -> Figure {
    let mut figure = Figure::new(title).columns(3);
    for metric in shown(context, metrics) {
        let mut plot = Plot::new(Axis::linear("update"), Axis::linear(metric.unit()))
            .title(metric.tag())
            .size(250.0, 170.0);
        for arm in &context.arms {
            if let Some(gathered) = context.curves.gather(&arm.name, metric) {
                plot = curve(plot, &arm.name, &gathered, context.style(&arm.name));
            }
        }
        figure = figure.panel(plot);
    }
    figure
}

/// Draws a curve with its band.
pub(crate) fn curve(plot: Plot, label: &str, gathered: &Gathered, style: Style) -> Plot {
    plot.band(&gathered.range, style)
        .line(label, &gathered.mean, style)
}

fn sides(context: &Context<'_>) -> Option<Figure> {
    let mut figure = Figure::new("How the likelihood of the answers moves").columns(3);
    for (choice, unit) in [(0, "nats per token, since step 0"), (1, "nats per answer")] {
        let with_sides = context
            .arms
            .iter()
            .filter(|arm| context.curves.has(&arm.name, SIDES[0].1[choice]));
        for arm in with_sides {
            let mut plot = Plot::new(Axis::linear("update"), Axis::linear(unit))
                .title(&arm.name)
                .size(250.0, 170.0);
            for (index, (label, metrics)) in SIDES.iter().enumerate() {
                if let Some(gathered) = context.curves.gather(&arm.name, metrics[choice]) {
                    plot = curve(plot, label, &gathered, Style::series(index));
                }
            }
            figure = figure.panel(plot);
        }
        if !figure.is_empty() {
            return Some(figure);
        }
    }
    None
}

/// Says when points are averages over several steps.
fn thinning(context: &Context<'_>, metrics: &[Metric]) -> String {
    let bins = shown(context, metrics).flat_map(|metric| {
        let arms = context.arms.iter();
        arms.filter_map(move |arm| context.curves.gather(&arm.name, metric))
            .map(|gathered| gathered.bin)
    });
    match bins.max() {
        Some(bin) if bin > 1 => format!("Long curves are averaged over up to {bin} steps."),
        Some(_) | None => String::new(),
    }
}
