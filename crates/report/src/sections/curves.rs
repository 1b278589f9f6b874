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

/// Several metrics in one panel, one panel for each arm.
struct Overlay {
    title: &'static str,
    /// What the vertical axis shows.
    unit: &'static str,
    /// Labels of the lines and their metrics. An arm that did not log the first has no panel.
    lines: &'static [(&'static str, Metric)],
    caption: &'static str,
}

/// Of overlays that stand for one another the first that any arm has is drawn.
const OVERLAYS: [&[Overlay]; 3] = [
    &[
        Overlay {
            title: "How the likelihood of the answers moves",
            unit: "nats per token, since step 0",
            lines: &[
                ("chosen", Metric::DynamicsChangeChosen),
                ("rejected", Metric::DynamicsChangeRejected),
                ("unseen", Metric::DynamicsChangeUnseen),
            ],
            caption: "Chosen, rejected and unseen answers, one panel for each arm.",
        },
        Overlay {
            title: "How the likelihood of the answers moves",
            unit: "nats per answer",
            lines: &[
                ("chosen", Metric::LogpsChosen),
                ("rejected", Metric::LogpsRejected),
                ("unseen", Metric::DynamicsLogpsUnseen),
            ],
            caption: "Chosen, rejected and unseen answers, one panel for each arm.",
        },
    ],
    &[Overlay {
        title: "Gradients by the likelihoods of the two sides",
        unit: "log |d loss / d likelihood|, nats",
        lines: &[
            ("chosen", Metric::DynamicsLogGradientChosen),
            ("rejected", Metric::DynamicsLogGradientRejected),
        ],
        caption: "Natural logs, so that equal distances are equal ratios: figure 6 of arXiv:2406.07327.",
    }],
    &[
        Overlay {
            title: "Accuracy on training and on held-out pairs",
            unit: "fraction",
            lines: &[
                ("training", Metric::AccuracyTrain),
                ("held out", Metric::AccuracyHeldOut),
            ],
            caption: "Share of pairs whose chosen reward is above the rejected one: figures 5 and 7 to 9 of arXiv:2406.07327.",
        },
        Overlay {
            title: "Accuracy on training and on held-out pairs",
            unit: "fraction",
            lines: &[
                ("training", Metric::RewardsAccuracies),
                ("held out", Metric::EvalRewardsAccuracies),
            ],
            caption: "Share of pairs whose chosen reward is above the rejected one; of the training pairs, those of the update.",
        },
    ],
];

pub(crate) fn section(context: &Context<'_>) -> Section {
    let mut blocks = Vec::new();
    for choices in OVERLAYS {
        let drawn = choices
            .iter()
            .map(|overlay| (overlay, overlaid(context, overlay)));
        if let Some((overlay, figure)) = { drawn }.find(|(_, figure)| !figure.is_empty()) {
            let caption = format!(
                "{} Line: mean over seeds; band: smallest to largest seed.",
                overlay.caption
            );
            blocks.push(Block::figure(figure, caption));
        }
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

fn overlaid(context: &Context<'_>, overlay: &Overlay) -> Figure {
    let mut figure = Figure::new(overlay.title).columns(3);
    let Some(&(_, first)) = overlay.lines.first() else {
        return figure;
    };
    for arm in &context.arms {
        if !context.curves.has(&arm.name, first) {
            continue;
        }
        let mut plot = Plot::new(Axis::linear("update"), Axis::linear(overlay.unit))
            .title(&arm.name)
            .size(250.0, 170.0);
        for (index, (label, metric)) in overlay.lines.iter().enumerate() {
            if let Some(gathered) = context.curves.gather(&arm.name, *metric) {
                plot = curve(plot, label, &gathered, Style::series(index));
            }
        }
        figure = figure.panel(plot);
    }
    figure
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
