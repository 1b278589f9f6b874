//! TensorBoard's Custom Scalars tab: curves that belong together in one chart.

use protobuf::{Message, RepeatedField};
use tensorboard_proto::layout::{Category, Chart, Layout, MultilineChartContent};
use tensorboard_proto::summary::Summary_Value;

use crate::{Metric, summaries};

/// A chart's title and its curves.
type ChartOf = (&'static str, &'static [Metric]);

const CATEGORIES: [(&str, &[ChartOf]); 3] = [
    (
        "Preference training",
        &[
            (
                "Log-prob of the answers, nats",
                &[Metric::LogpsChosen, Metric::LogpsRejected],
            ),
            (
                "Implicit reward",
                &[
                    Metric::RewardsChosen,
                    Metric::RewardsRejected,
                    Metric::RewardsMargins,
                ],
            ),
        ],
    ),
    (
        "Dynamics",
        &[
            (
                "Change of the log-prob since step 0, nats per token",
                &[
                    Metric::DynamicsChangeChosen,
                    Metric::DynamicsChangeRejected,
                    Metric::DynamicsChangeUnseen,
                ],
            ),
            (
                "Log gradient by likelihood",
                &[
                    Metric::DynamicsLogGradientChosen,
                    Metric::DynamicsLogGradientRejected,
                ],
            ),
            (
                "Norm of the gradient parts",
                &[
                    Metric::DynamicsGradientNormChosen,
                    Metric::DynamicsGradientNormRejected,
                ],
            ),
        ],
    ),
    (
        "PPO",
        &[
            (
                "KL to the reference, nats per answer",
                &[Metric::ObjectiveKl, Metric::ObjectiveKlExact],
            ),
            (
                "Reward",
                &[
                    Metric::ObjectiveScores,
                    Metric::ObjectiveRlhfReward,
                    Metric::ObjectiveNonScoreReward,
                ],
            ),
            ("Loss", &[Metric::LossPolicy, Metric::LossValue]),
        ],
    ),
];

/// The value that declares the charts.
pub(crate) fn summary() -> Summary_Value {
    let categories = CATEGORIES.iter().map(|&(title, charts)| {
        let mut category = Category::new();
        category.set_title(title.to_owned());
        category.set_chart(RepeatedField::from_vec(charts.iter().map(chart).collect()));
        category
    });
    let mut layout = Layout::new();
    layout.set_category(RepeatedField::from_vec(categories.collect()));
    let layout = layout
        .write_to_bytes()
        .expect("a message of our own making is complete");
    summaries::bytes("custom_scalars__config__", "custom_scalars", layout)
}

fn chart(&(title, metrics): &ChartOf) -> Chart {
    let mut lines = MultilineChartContent::new();
    // The tab reads a tag as a regular expression.
    let tags = metrics.iter().map(|metric| format!("^{}$", metric.tag()));
    lines.set_tag(RepeatedField::from_vec(tags.collect()));
    let mut chart = Chart::new();
    chart.set_title(title.to_owned());
    chart.set_multiline(lines);
    chart
}
