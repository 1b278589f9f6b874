//! The figures: the paper's 1 to 3 for every arm, the arms side by side, the reward model, the phase map.

use preflab_metrics::Image;
use preflab_report::figure::{Axis, ColourMap, Dash, Figure, HeatMap, Plot, Style};
use preflab_stats::{QuantileRule, mean, quantile};

use crate::observation::{Observation, Policy};
use crate::outcome::{Outcome, Run};
use crate::sweep::{LEARNING_RATES, MapCell, Swept};
use crate::world::{PROMPTS, RESPONSES};

/// A figure with its file name and caption.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedFigure {
    /// Name of its files, without extension.
    pub name: String,
    /// What it shows.
    pub caption: String,
    /// The figure.
    pub figure: Figure,
}

/// A curve: its name, its look, and the value it follows.
type CurveOf = (&'static str, Style, fn(&Observation) -> f64);

/// The paper's five likelihood curves.
const LIKELIHOODS: [CurveOf; 5] = [
    ("chosen, mean", Style::series(0), |look| {
        look.log_chosen_mean
    }),
    (
        "chosen, minimum",
        Style::series(5).dash(Dash::Dashed),
        |look| look.log_chosen_min,
    ),
    ("rejected, mean", Style::series(1), |look| {
        look.log_rejected_mean
    }),
    (
        "rejected, maximum",
        Style::series(4).dash(Dash::Dashed),
        |look| look.log_rejected_max,
    ),
    ("unseen, mean", Style::series(3), |look| {
        look.log_unseen_mean
    }),
];

/// Where the probability is.
const MASSES: [CurveOf; 4] = [
    ("own chosen", Style::series(0), |look| look.mass_chosen),
    (
        "other prompts' chosen",
        Style::series(2).dash(Dash::Dashed),
        |look| look.mass_other_chosen,
    ),
    ("rejected (5-8)", Style::series(1), |look| {
        look.mass_rejected
    }),
    (
        "unseen (9-10)",
        Style::series(3).dash(Dash::DashDot),
        |look| look.mass_unseen,
    ),
];

const GRADIENTS: [CurveOf; 2] = [
    ("chosen", Style::series(0), |look| look.log_gradient_chosen),
    ("rejected", Style::series(1).dash(Dash::Dashed), |look| {
        look.log_gradient_rejected
    }),
];

/// Mean over runs of one value at each observed epoch; values that are not finite are left out.
fn means(epochs: &[u64], runs: &[Run], value: fn(&Observation) -> f64) -> Vec<(f64, f64)> {
    over_runs(epochs, runs, value, mean)
}

fn over_runs<T>(
    epochs: &[u64],
    runs: &[Run],
    value: fn(&Observation) -> f64,
    reduce: impl Fn(&[f64]) -> T,
) -> Vec<(f64, T)> {
    epochs
        .iter()
        .enumerate()
        .map(|(place, &epoch)| {
            let values: Vec<f64> = runs
                .iter()
                .map(|run| value(&run.curve[place]))
                .filter(|value| value.is_finite())
                .collect();
            (epoch as f64, reduce(&values))
        })
        .collect()
}

/// Curves with bands from the 10th to the 90th percentile of the seeds.
fn with_curves(mut plot: Plot, outcome: &Outcome, runs: &[Run], curves: &[CurveOf]) -> Plot {
    for &(label, style, value) in curves {
        let band = over_runs(&outcome.epochs, runs, value, |values| {
            [0.1, 0.9].map(|p| quantile(values, p, QuantileRule::MedianUnbiased))
        });
        let band: Vec<_> = band
            .into_iter()
            .map(|(x, [low, high])| (x, low, high))
            .collect();
        plot = plot
            .band(&band, style)
            .line(label, &means(&outcome.epochs, runs, value), style);
    }
    plot
}

/// One panel for each scenario.
fn by_scenario(title: &str, outcome: &Outcome, arm: usize, y: &Axis, curves: &[CurveOf]) -> Figure {
    let mut figure = Figure::new(title).columns(2);
    for (place, scenario) in outcome.scenarios.iter().enumerate() {
        let title = format!("scenario {}: {}", scenario.number(), scenario.words());
        let plot = Plot::new(Axis::linear("epoch"), y.clone())
            .title(&title)
            .size(330.0, 200.0);
        figure = figure.panel(with_curves(plot, outcome, outcome.cell(arm, place), curves));
    }
    figure
}

/// The paper's figure 2, left: the five likelihood curves of an arm, as logs.
pub fn likelihoods(outcome: &Outcome, arm: usize) -> NamedFigure {
    let name = &outcome.arms[arm];
    NamedFigure {
        name: format!("likelihoods-{name}"),
        caption: format!(
            "Log-likelihoods of {name} (figure 2): mean over seeds, band from the 10th to the 90th percentile."
        ),
        figure: by_scenario(
            &format!("{name}: likelihoods"),
            outcome,
            arm,
            &Axis::linear("log likelihood, nats"),
            &LIKELIHOODS,
        ),
    }
}

/// The paper's figure 2, right: the gradients by both likelihoods.
pub fn gradients(outcome: &Outcome, arm: usize) -> NamedFigure {
    let name = &outcome.arms[arm];
    NamedFigure {
        name: format!("gradients-{name}"),
        caption: format!(
            "Gradients of {name} by the likelihoods of the pairs' responses (figure 2), as logs. A side without any gradient has no curve. Reward arms: the advantage."
        ),
        figure: by_scenario(
            &format!("{name}: gradients"),
            outcome,
            arm,
            &Axis::linear("log |∂loss/∂π|, nats"),
            &GRADIENTS,
        ),
    }
}

/// Where the probability of an arm goes.
pub fn masses(outcome: &Outcome, arm: usize) -> NamedFigure {
    let name = &outcome.arms[arm];
    NamedFigure {
        name: format!("masses-{name}"),
        caption: format!(
            "Where {name}'s probability is: mean over prompts and seeds, band from the 10th to the 90th percentile of the seeds."
        ),
        figure: by_scenario(
            &format!("{name}: probability mass"),
            outcome,
            arm,
            &Axis::linear("probability").range(0.0, 1.0),
            &MASSES,
        ),
    }
}

/// Mean over runs of a policy as a map.
fn policy_map(title: &str, runs: &[Run], policy: fn(&Run) -> &Policy) -> HeatMap {
    let responses: Vec<String> = (1..=RESPONSES)
        .map(|response| response.to_string())
        .collect();
    let prompts: Vec<String> = (1..=PROMPTS).map(|prompt| prompt.to_string()).collect();
    let rows: Vec<Vec<f64>> = (0..PROMPTS)
        .map(|prompt| {
            (0..RESPONSES)
                .map(|response| {
                    let cell = prompt * RESPONSES + response;
                    mean(
                        &runs
                            .iter()
                            .map(|run| policy(run)[cell].exp())
                            .collect::<Vec<_>>(),
                    )
                })
                .collect()
        })
        .collect();
    HeatMap::new(
        ("response", &names(&responses)),
        ("prompt", &names(&prompts)),
        &rows,
    )
    .title(title)
    .value_label("probability")
    .range(0.0, 1.0)
    .decimals(2)
    .cell_size(36.0, 26.0)
}

fn names(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// The paper's figure 1: the policy of an arm before and after, prompts by responses, mean over seeds.
pub fn matrices(outcome: &Outcome, arm: usize) -> NamedFigure {
    let name = &outcome.arms[arm];
    let mut figure = Figure::new(&format!("{name}: the policy before and after")).columns(2);
    for (place, scenario) in outcome.scenarios.iter().enumerate() {
        let runs = outcome.cell(arm, place);
        let number = scenario.number();
        figure = figure
            .panel(policy_map(
                &format!("scenario {number}, before"),
                runs,
                |run| &run.start,
            ))
            .panel(policy_map(
                &format!("scenario {number}, after"),
                runs,
                |run| &run.end,
            ));
    }
    NamedFigure {
        name: format!("matrices-{name}"),
        caption: format!(
            "The policy of {name} before and after preference training (figure 1), mean over seeds. Responses 1-4 are chosen (the diagonal is the prompt's own), 5-8 rejected, 9-10 unseen."
        ),
        figure,
    }
}

/// The policy of an arm at one end of training, one map for each scenario.
pub fn states(outcome: &Outcome, arm: usize, policy: fn(&Run) -> &Policy, what: &str) -> Figure {
    let mut figure = Figure::new(&format!("{}: the policy {what}", outcome.arms[arm])).columns(2);
    for (place, scenario) in outcome.scenarios.iter().enumerate() {
        let title = format!("scenario {}", scenario.number());
        figure = figure.panel(policy_map(&title, outcome.cell(arm, place), policy));
    }
    figure
}

/// The paper's figure 3: initial states of the scenarios above the likelihoods that come of them.
pub fn scenarios(outcome: &Outcome, arm: usize) -> NamedFigure {
    let name = &outcome.arms[arm];
    let mut figure =
        Figure::new(&format!("{name}: four scenarios")).columns(outcome.scenarios.len());
    for (place, scenario) in outcome.scenarios.iter().enumerate() {
        let title = format!("{}: {}", scenario.number(), scenario.words());
        figure = figure.panel(policy_map(&title, outcome.cell(arm, place), |run| {
            &run.start
        }));
    }
    for (place, _) in outcome.scenarios.iter().enumerate() {
        let axis = Axis::linear("probability").range(0.0, 1.0);
        let plot = Plot::new(Axis::linear("epoch"), axis).size(340.0, 200.0);
        figure = figure.panel(with_curves(
            plot,
            outcome,
            outcome.cell(arm, place),
            &MASSES,
        ));
    }
    for (place, _) in outcome.scenarios.iter().enumerate() {
        let plot = Plot::new(Axis::linear("epoch"), Axis::linear("log likelihood, nats"))
            .size(340.0, 200.0);
        figure = figure.panel(with_curves(
            plot,
            outcome,
            outcome.cell(arm, place),
            &LIKELIHOODS,
        ));
    }
    NamedFigure {
        name: format!("scenarios-{name}"),
        caption: format!(
            "The four scenarios under {name} (figure 3): initial states, probability masses, log-likelihoods."
        ),
        figure,
    }
}

/// All arms in one picture: chosen mass, log rejected, distance from the optimum.
pub fn arms(outcome: &Outcome) -> NamedFigure {
    #[expect(clippy::type_complexity, reason = "a table, one row a panel")]
    let rows: [(&str, Axis, fn(&Observation) -> f64); 4] = [
        (
            "own chosen",
            Axis::linear("probability of own chosen").range(0.0, 1.0),
            |look| look.mass_chosen,
        ),
        (
            "rejected",
            Axis::linear("log likelihood of rejected, nats"),
            |look| look.log_rejected_mean,
        ),
        (
            "unseen",
            Axis::linear("probability of unseen").range(0.0, 1.0),
            |look| look.mass_unseen,
        ),
        (
            "total variation",
            Axis::linear("total variation to optimum").range(0.0, 1.0),
            |look| look.total_variation,
        ),
    ];
    let mut figure = Figure::new("All arms").columns(outcome.scenarios.len());
    for (_, axis, value) in &rows {
        for (place, scenario) in outcome.scenarios.iter().enumerate() {
            let mut plot = Plot::new(Axis::linear("epoch"), axis.clone())
                .title(&format!("scenario {}", scenario.number()))
                .size(270.0, 170.0);
            for (arm, name) in outcome.arms.iter().enumerate() {
                let points = means(&outcome.epochs, outcome.cell(arm, place), *value);
                plot = plot.line(name, &points, Style::series(arm));
            }
            figure = figure.panel(plot);
        }
    }
    NamedFigure {
        name: "arms".to_owned(),
        caption: "All arms, mean over seeds. The optimum is that of the learned reward under the KL penalty.".to_owned(),
        figure,
    }
}

/// How the reward model trains.
pub fn reward(outcome: &Outcome) -> NamedFigure {
    let looks = outcome.rewards.first().map_or(0, |run| run.curve.len());
    let line = |value: &dyn Fn(&crate::reward::RewardLook) -> f64| -> Vec<(f64, f64)> {
        (0..looks)
            .map(|place| {
                let values: Vec<f64> = outcome
                    .rewards
                    .iter()
                    .map(|run| value(&run.curve[place]))
                    .filter(|value| value.is_finite())
                    .collect();
                (place as f64, mean(&values))
            })
            .collect()
    };
    let margin = Plot::new(Axis::linear("update"), Axis::linear("score"))
        .title("margin of chosen over rejected")
        .line("margin", &line(&|look| look.margin), Style::series(2));
    let gradient = Plot::new(
        Axis::linear("update"),
        Axis::linear("log |∂loss/∂score|, nats"),
    )
    .title("gradients")
    .line(
        "chosen",
        &line(&|look| look.log_gradient_chosen),
        Style::series(0),
    )
    .line(
        "rejected",
        &line(&|look| look.log_gradient_rejected),
        Style::series(1).dash(Dash::Dashed),
    );
    NamedFigure {
        name: "reward-model".to_owned(),
        caption: "The reward model, mean over seeds. The two gradients are equal in size: one curve covers the other.".to_owned(),
        figure: Figure::new("Reward model").panel(margin).panel(gradient).columns(2),
    }
}

/// The phase map of one swept setting: a column for each scenario, a row for each quantity.
pub fn phase_map(cells: &[MapCell], swept: Swept) -> NamedFigure {
    #[expect(clippy::type_complexity, reason = "a table, one row a panel")]
    let rows: [(&str, fn(&MapCell) -> f64, ColourMap, (f64, f64)); 5] = [
        (
            "drop: share of runs",
            |cell| cell.drop,
            ColourMap::Sequential,
            (0.0, 1.0),
        ),
        (
            "degradation: share of runs",
            |cell| cell.degradation,
            ColourMap::Sequential,
            (0.0, 1.0),
        ),
        (
            "dispersion: share of runs",
            |cell| cell.dispersion,
            ColourMap::Sequential,
            (0.0, 1.0),
        ),
        (
            "chosen probability at the end",
            |cell| cell.chosen,
            ColourMap::Sequential,
            (0.0, 1.0),
        ),
        (
            "unseen mass, end minus start",
            |cell| cell.unseen,
            ColourMap::Diverging,
            (-1.0, 1.0),
        ),
    ];
    let mut scenarios: Vec<usize> = cells.iter().map(|cell| cell.scenario).collect();
    scenarios.sort_unstable();
    scenarios.dedup();
    let rates = LEARNING_RATES.map(|rate| format!("{rate:.0e}"));
    let values = swept.values().map(|value| value.to_string());
    let mut figure = Figure::new(&format!("Phase map, {}", swept.label())).columns(scenarios.len());
    for (title, quantity, colours, (low, high)) in rows {
        for &scenario in &scenarios {
            let grid: Vec<Vec<f64>> = swept
                .values()
                .iter()
                .rev()
                .map(|&value| {
                    LEARNING_RATES
                        .iter()
                        .map(|&rate| {
                            let here = cells.iter().find(|cell| {
                                cell.swept == swept
                                    && cell.scenario == scenario
                                    && cell.value == value
                                    && cell.learning_rate == rate
                            });
                            here.map_or(f64::NAN, quantity)
                        })
                        .collect()
                })
                .collect();
            let down: Vec<&str> = values.iter().rev().map(String::as_str).collect();
            figure = figure.panel(
                HeatMap::new(
                    ("learning rate", &names(&rates)),
                    (swept.label(), &down),
                    &grid,
                )
                .title(&format!("scenario {scenario}: {title}"))
                .colours(colours)
                .range(low, high)
                .decimals(2)
                .cell_size(38.0, 24.0),
            );
        }
    }
    let kind = match swept {
        Swept::Beta => "dpo",
        Swept::BetaRejected => "flex-dpo",
        Swept::Gamma => "sft-dpo",
    };
    NamedFigure {
        name: format!("map-{kind}"),
        caption: format!(
            "Where each property appears, and where the chosen response ends, over learning rate and {}.",
            swept.label()
        ),
        figure,
    }
}

/// All figures of an outcome, and the tag under which an arm's log shows it.
pub fn all(outcome: &Outcome) -> Vec<(NamedFigure, Option<(usize, Image)>)> {
    let mut figures = vec![(arms(outcome), None), (reward(outcome), None)];
    for arm in 0..outcome.arms.len() {
        let tagged = |image| Some((arm, image));
        figures.push((likelihoods(outcome, arm), tagged(Image::ToyLikelihoods)));
        figures.push((gradients(outcome, arm), tagged(Image::ToyGradients)));
        figures.push((masses(outcome, arm), None));
        figures.push((scenarios(outcome, arm), tagged(Image::ToyScenarios)));
        figures.push((matrices(outcome, arm), None));
    }
    figures
}
