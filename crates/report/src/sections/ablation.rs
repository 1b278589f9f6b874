//! The ablation: scores, distance and log-probs against the strength of one or two settings, and which setting is best.

mod best;
mod interaction;

use preflab_experiment::records::{AblationRecord, ArmOrigin, ArmRecord, GridValue};
use preflab_metrics::{Better, Metric};

use crate::document::{Block, Column, Rich, Section, Table};
use crate::figure::{Axis, Figure, HeatMap, Marker, Plot, Style, short_number};
use crate::format;
use crate::measures::Measure;
use crate::report::Context;
use crate::statistics::{self, Estimate};

/// Where the three kinds of answers end, against where they began.
const SIDES: [(&str, Metric); 3] = [
    ("chosen", Metric::DynamicsChangeChosen),
    ("rejected", Metric::DynamicsChangeRejected),
    ("unseen", Metric::DynamicsChangeUnseen),
];

/// The grid, and what was measured at its points.
struct Grid<'a> {
    context: &'a Context<'a>,
    ablation: &'a AblationRecord,
    points: Vec<&'a ArmRecord>,
}

pub(crate) fn section(context: &Context<'_>) -> Section {
    let section = Section::new("ablation", "Ablation");
    let Some(grid) = Grid::of(context) else {
        return section;
    };
    let measures = grid.measures();
    if measures.is_empty() {
        return section;
    }
    let text = Rich::from("The arm ")
        .and_code(&grid.ablation.arm)
        .and(" with other values of ")
        .and_rich(Rich::codes(grid.ablation.keys.iter().map(String::as_str)));
    let mut section = section.block(Block::Paragraph(text.and(", under the same seeds.")));
    section = section.blocks(best::blocks(&grid));
    section = match grid.ablation.keys.as_slice() {
        [key] => section.block(Block::figure(
            grid.lines(key, &measures),
            "Against the setting's strength. Small dots: one seed each. Diamonds and line: their mean; bars and band: its interval.",
        )),
        [_, _] => section
            .block(Block::figure(grid.maps(&measures), "Mean over seeds."))
            .blocks(interaction::blocks(&grid, &measures)),
        _ => section,
    };
    let caption = format!(
        "Mean over seeds [{} interval, Student's t].",
        context.confidence_percent()
    );
    section.block(Block::Folded(
        "Every measure at every point".to_owned(),
        vec![Block::Table(grid.table().caption(caption))],
    ))
}

/// The figures of the section, for other places that show them; none without an ablation.
pub(crate) fn figure(context: &Context<'_>) -> Option<Figure> {
    let grid = Grid::of(context)?;
    let measures = grid.measures();
    let figure = match grid.ablation.keys.as_slice() {
        [key] => grid.lines(key, &measures),
        [_, _] => grid.maps(&measures),
        _ => return None,
    };
    (!figure.is_empty()).then_some(figure)
}

impl<'a> Grid<'a> {
    /// None where nothing is ablated, or no point is known.
    fn of(context: &'a Context<'a>) -> Option<Self> {
        let experiment = &context.records.experiment;
        let arms = experiment.arms.iter();
        let points: Vec<&ArmRecord> = arms
            .filter(|arm| arm.origin == ArmOrigin::Ablation)
            .collect();
        let ablation = experiment.ablation.as_ref()?;
        (!points.is_empty()).then_some(Self {
            context,
            ablation,
            points,
        })
    }

    /// The measures that are drawn: gold score, distance, length.
    fn measures(&self) -> Vec<Measure> {
        let scores = self.context.measures.scores();
        let wanted = [
            self.context.measures.primary(),
            Some(Measure::Known(Metric::TaskKl)),
            Some(Measure::Known(Metric::TaskLength)),
        ];
        let mut measures: Vec<Measure> = Vec::new();
        for measure in wanted.into_iter().flatten() {
            if scores.contains(&measure) && !measures.contains(&measure) {
                measures.push(measure);
            }
        }
        measures
    }

    /// The measure by which a setting is the best, with its better side.
    fn primary(&self) -> Option<(Measure, preflab_stats::Goal)> {
        let primary = self.context.measures.primary()?;
        let goal = match primary.better() {
            Better::Higher => preflab_stats::Goal::Largest,
            Better::Lower => preflab_stats::Goal::Smallest,
            Better::Neither => return None,
        };
        Some((primary, goal))
    }

    /// The figure of each seed: the record's, or where it has none the last of the curve.
    fn seeds(&self, arm: &str, measure: &Measure) -> Vec<(u64, f64)> {
        let recorded = self.context.measures.seeds(arm, measure);
        match measure {
            Measure::Known(metric) if recorded.is_empty() => {
                let seeds = self.context.records.experiment.seeds.iter();
                seeds
                    .filter_map(|&seed| {
                        let curve = self.context.curves.series(arm, seed, *metric)?;
                        Some((seed, curve.last()?.1))
                    })
                    .collect()
            }
            Measure::Known(_) | Measure::Other(_) => recorded.to_vec(),
        }
    }

    /// `[point][seed]` of a measure, for the seeds that have a finite figure at every point; and these seeds.
    fn paired(&self, measure: &Measure) -> (Vec<Vec<f64>>, Vec<u64>) {
        let all: Vec<Vec<(u64, f64)>> = self
            .points
            .iter()
            .map(|arm| self.seeds(&arm.name, measure))
            .collect();
        let of = |figures: &[(u64, f64)], seed: u64| {
            let found = figures.iter().find(|&&(other, _)| other == seed);
            found
                .map(|&(_, value)| value)
                .filter(|value| value.is_finite())
        };
        let seeds: Vec<u64> = self
            .context
            .records
            .experiment
            .seeds
            .iter()
            .copied()
            .filter(|&seed| all.iter().all(|figures| of(figures, seed).is_some()))
            .collect();
        let values = all
            .iter()
            .map(|figures| seeds.iter().filter_map(|&seed| of(figures, seed)).collect())
            .collect();
        (values, seeds)
    }

    fn estimate(&self, arm: &str, measure: &Measure) -> Estimate {
        let values: Vec<f64> = self
            .seeds(arm, measure)
            .iter()
            .map(|&(_, value)| value)
            .collect();
        statistics::estimate(&values, self.context.confidence)
    }

    fn table(&self) -> Table {
        let scores = self.context.measures.scores();
        let mut columns = self.key_columns();
        columns.extend(
            scores
                .iter()
                .map(|measure| Column::number(super::scores::heading(measure))),
        );
        let mut table = Table::new(columns);
        for arm in &self.points {
            let mut row = self.point(arm);
            row.extend(
                scores
                    .iter()
                    .map(|measure| format::estimate(&self.estimate(&arm.name, measure))),
            );
            table.row(row);
        }
        table
    }

    fn key_columns(&self) -> Vec<Column> {
        let keys = self.short_keys().into_iter();
        keys.map(|key| Column::number(Rich::code(key))).collect()
    }

    fn point(&self, arm: &ArmRecord) -> Vec<Rich> {
        let mut row: Vec<Rich> = arm.point.iter().map(|value| name(value).into()).collect();
        row.resize(self.ablation.keys.len(), Rich::new());
        row
    }

    /// `beta = 0.1, gamma = 0.01`.
    fn point_in_words(&self, arm: &ArmRecord) -> String {
        let keys = self.short_keys().into_iter().zip(&arm.point);
        let words: Vec<String> = keys
            .map(|(key, value)| format!("{key} = {}", name(value)))
            .collect();
        words.join(", ")
    }

    /// The last part of each key, unless that would not tell them apart.
    fn short_keys(&self) -> Vec<&str> {
        let keys = &self.ablation.keys;
        let short: Vec<&str> = keys
            .iter()
            .map(|key| key.rsplit('.').next().unwrap_or(key))
            .collect();
        match short.as_slice() {
            [first, second] if first == second => keys.iter().map(String::as_str).collect(),
            _ => short,
        }
    }

    /// One panel for each measure, the setting along x, and one for the log-probs.
    fn lines(&self, key: &str, measures: &[Measure]) -> Figure {
        let scale = Scale::of(self.points.iter().map(|arm| arm.point.first()));
        let short_key = key.rsplit('.').next().unwrap_or(key);
        let mut figure = Figure::new(&format!("Scores against {key}")).columns(2);
        for measure in measures {
            let plot = Plot::new(scale.axis(short_key), Axis::linear(measure.unit()))
                .title(measure.tag())
                .size(330.0, 210.0);
            figure = figure.panel(self.line(plot, "", measure, &scale, Style::series(0)));
        }
        let mut plot = Plot::new(
            scale.axis(short_key),
            Axis::linear(Metric::DynamicsChangeChosen.unit()),
        )
        .title("change of log-probs since the start")
        .size(330.0, 210.0)
        .rule_y(0.0);
        let mut drawn = false;
        for (index, (label, metric)) in SIDES.into_iter().enumerate() {
            let measure = Measure::Known(metric);
            if self
                .points
                .iter()
                .any(|arm| !self.seeds(&arm.name, &measure).is_empty())
            {
                plot = self.line(plot, label, &measure, &scale, Style::series(index));
                drawn = true;
            }
        }
        if drawn { figure.panel(plot) } else { figure }
    }

    fn line(
        &self,
        mut plot: Plot,
        label: &str,
        measure: &Measure,
        scale: &Scale,
        style: Style,
    ) -> Plot {
        let mut means: Vec<(f64, f64)> = Vec::new();
        let mut band: Vec<(f64, f64, f64)> = Vec::new();
        for (arm, &x) in self.points.iter().zip(&scale.at) {
            let seeds = self.seeds(&arm.name, measure);
            let dots: Vec<(f64, f64)> = seeds.iter().map(|&(_, value)| (x, value)).collect();
            let estimate = self.estimate(&arm.name, measure);
            if let Some((low, high)) = estimate.interval {
                plot = plot.interval_y(x, low, high, style);
                band.push((x, low, high));
            }
            plot = plot.dots("", &dots, style.marker(Marker::Circle));
            if estimate.n > 0 {
                plot = plot.estimate("", (x, estimate.mean), style.marker(Marker::Diamond));
                means.push((x, estimate.mean));
            }
        }
        means.sort_by(|first, second| first.0.total_cmp(&second.0));
        band.sort_by(|first, second| first.0.total_cmp(&second.0));
        plot.band(&band, style).line(label, &means, style)
    }

    /// One map for each measure, the first key along x.
    fn maps(&self, measures: &[Measure]) -> Figure {
        let names: Vec<Vec<String>> = self
            .ablation
            .values
            .iter()
            .map(|values| values.iter().map(name).collect())
            .collect();
        let [x_names, y_names] = names.as_slice() else {
            return Figure::new("");
        };
        let (x_refs, y_refs): (Vec<&str>, Vec<&str>) = (
            x_names.iter().map(String::as_str).collect(),
            y_names.iter().map(String::as_str).collect(),
        );
        let keys = self.short_keys();
        let mut figure = Figure::new("Scores over both settings").columns(2);
        let sides = SIDES
            .into_iter()
            .take(2)
            .map(|(_, metric)| Measure::Known(metric));
        let measured = |measure: &Measure| {
            let mut points = self.points.iter();
            points.any(|arm| !self.seeds(&arm.name, measure).is_empty())
        };
        let sides: Vec<Measure> = sides.filter(measured).collect();
        for measure in measures.iter().chain(&sides) {
            let value = |x: &str, y: &str| -> f64 {
                let arm = self.points.iter().find(|arm| {
                    arm.point.len() == 2 && name(&arm.point[0]) == x && name(&arm.point[1]) == y
                });
                arm.map_or(f64::NAN, |arm| self.estimate(&arm.name, measure).mean)
            };
            let values: Vec<Vec<f64>> = y_refs
                .iter()
                .map(|y| x_refs.iter().map(|x| value(x, y)).collect())
                .collect();
            let map = HeatMap::new((keys[0], &x_refs), (keys[1], &y_refs), &values)
                .title(measure.tag())
                .value_label(measure.unit())
                .decimals(decimals(&values))
                .cell_size(56.0, 34.0);
            figure = figure.panel(map);
        }
        figure
    }
}

/// Digits after the point that show two digits of the values' range.
fn decimals(values: &[Vec<f64>]) -> usize {
    let finite = values
        .iter()
        .flatten()
        .copied()
        .filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if high > low {
        (1.0 - (high - low).log10().floor()).clamp(0.0, 4.0) as usize
    } else {
        2
    }
}

fn name(value: &GridValue) -> String {
    match value {
        GridValue::Number(number) => short_number(*number),
        GridValue::Label(label) => label.clone(),
    }
}

/// How the values of a setting are laid out along an axis, or coded as numbers.
struct Scale {
    kind: Kind,
    names: Vec<String>,
    /// Where each value is.
    at: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Numbers at equal distances, or near each other.
    Linear,
    /// Positive numbers at equal ratios, or far apart.
    Log,
    /// Words, or numbers that neither axis serves: 0 and others far apart.
    Ranks,
}

impl Scale {
    fn of<'a>(values: impl Iterator<Item = Option<&'a GridValue>>) -> Self {
        let values: Vec<&GridValue> = values.flatten().collect();
        let number = |value: &&GridValue| match value {
            GridValue::Number(number) => Some(*number),
            GridValue::Label(_) => None,
        };
        let numbers: Option<Vec<f64>> = values.iter().map(number).collect();
        let names: Vec<String> = values.iter().map(|value| name(value)).collect();
        let kind = numbers.as_deref().map_or(Kind::Ranks, Kind::of);
        let at = match (kind, numbers) {
            (Kind::Linear | Kind::Log, Some(numbers)) => numbers,
            (Kind::Ranks | Kind::Linear | Kind::Log, _) => {
                (0..values.len()).map(|place| place as f64).collect()
            }
        };
        Self { kind, names, at }
    }

    fn axis(&self, label: &str) -> Axis {
        match self.kind {
            Kind::Linear => Axis::linear(label),
            Kind::Log => Axis::log(label),
            Kind::Ranks => {
                let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
                Axis::categories(label, &names)
            }
        }
    }

    /// The values as they are told apart on the axis: logs on a logarithmic one.
    fn codes(&self) -> Vec<f64> {
        match self.kind {
            Kind::Linear | Kind::Ranks => self.at.clone(),
            Kind::Log => self.at.iter().map(|value| value.ln()).collect(),
        }
    }
}

impl Kind {
    fn of(numbers: &[f64]) -> Self {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.dedup();
        let positive: Vec<f64> = sorted
            .iter()
            .copied()
            .filter(|&value| value > 0.0)
            .collect();
        let (Some(low), Some(high)) = (positive.first(), positive.last()) else {
            return Self::Linear;
        };
        let far = high / low > 8.0 * (1.0 + 1e-9) || geometric(&positive);
        match (far, positive.len() == sorted.len()) {
            (true, true) => Self::Log,
            (true, false) => Self::Ranks,
            (false, _) => Self::Linear,
        }
    }
}

/// At least three positive numbers at equal ratios, and not at equal distances.
fn geometric(sorted: &[f64]) -> bool {
    let ratios: Vec<f64> = sorted.windows(2).map(|pair| pair[1] / pair[0]).collect();
    ratios.len() > 1
        && ratios
            .iter()
            .all(|ratio| (ratio / ratios[0] - 1.0).abs() < 1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_shows_two_digits_of_its_range() {
        assert_eq!(decimals(&[vec![0.641, 0.701, f64::NAN]]), 3);
        assert_eq!(decimals(&[vec![29.3], vec![34.2]]), 1);
        assert_eq!((decimals(&[vec![1.0]]), decimals(&[])), (2, 2));
    }

    #[test]
    fn a_geometric_grid_has_a_logarithmic_axis() {
        assert!(Kind::of(&[0.1, 0.2, 0.4]) == Kind::Log);
        assert!(Kind::of(&[0.005, 0.1, 0.02]) == Kind::Log);
        assert!(Kind::of(&[0.1, 0.2, 0.3]) == Kind::Linear);
        assert!(Kind::of(&[0.0, 1.0, 2.0]) == Kind::Linear);
        assert!(Kind::of(&[0.0, 0.01, 0.1, 1.0]) == Kind::Ranks);
        assert!(Kind::of(&[-1.0, 0.0]) == Kind::Linear);
    }
}
