//! Whether two settings of an ablation add up, or act on one another.

use preflab_stats::{bilinear_interaction, t_test};

use super::{Grid, Scale, name};
use crate::document::{Block, Column, Rich, Table};
use crate::format::{difference, p_value};
use crate::measures::Measure;
use crate::statistics;

/// Below this share of the largest figure an interaction is none.
const ROUNDING: f64 = 1e-12;

/// The interaction of both settings in each measure, as a table; nothing where the grid is not full.
pub(super) fn blocks(grid: &Grid<'_>, measures: &[Measure]) -> Vec<Block> {
    let mut table = Table::new(vec![
        Column::text("measure"),
        Column::number("seeds"),
        Column::number("interaction"),
        Column::number("p"),
        Column::text("reading"),
    ]);
    for measure in measures {
        let values = each_seed(grid, measure);
        let estimate = statistics::estimate(&values, grid.context.confidence);
        if estimate.n == 0 {
            continue;
        }
        let reading = match estimate.interval {
            Some((low, high)) if low > 0.0 || high < 0.0 => "they interact",
            Some((0.0, 0.0)) => "they add up",
            Some(_) => "not told apart from adding up",
            None => "too few seeds",
        };
        let p = t_test(&values).ok().map(|test| test.p.two_sided);
        table.row(vec![
            super::super::scores::heading(measure),
            estimate.n.to_string().into(),
            difference(estimate.mean, estimate.interval).into(),
            p.filter(|p| p.is_finite())
                .map_or_else(|| "n/a".to_owned(), p_value)
                .into(),
            reading.into(),
        ]);
    }
    if table.is_empty() {
        return Vec::new();
    }
    let keys = grid.short_keys();
    let caption = Rich::from("How much more ")
        .and_code(keys[1])
        .and(" does at the upper end of ")
        .and_code(keys[0])
        .and(&format!(
            " than at its lower end, over its whole range: the bilinear part of each seed's table (of 2 by 2 points the difference of differences), \
             geometric grids on a log scale; mean over seeds [{} interval], t test. 0 where the two add up.",
            grid.context.confidence_percent()
        ));
    vec![
        Block::Heading("Interaction".to_owned()),
        Block::Table(table.caption(caption)),
    ]
}

/// The interaction in each seed that has the whole grid.
fn each_seed(grid: &Grid<'_>, measure: &Measure) -> Vec<f64> {
    let [x_values, y_values] = grid.ablation.values.as_slice() else {
        return Vec::new();
    };
    let codes = |values: &[_]| Scale::of(values.iter().map(Some)).codes();
    let (x, y) = (codes(x_values), codes(y_values));
    let (values, seeds) = grid.paired(measure);
    let place = |first: &_, second: &_| {
        grid.points.iter().position(|arm| {
            matches!(arm.point.as_slice(), [x, y] if name(x) == name(first) && name(y) == name(second))
        })
    };
    let of_seed = |seed: usize| -> Option<f64> {
        let mut table = Vec::new();
        for first in x_values {
            let row = y_values
                .iter()
                .map(|second| Some(values[place(first, second)?][seed]));
            table.push(row.collect::<Option<Vec<f64>>>()?);
        }
        let found = bilinear_interaction(&x, &y, &table).ok()?;
        // What is left of sums that cancel is rounding, not an effect.
        let largest = table
            .iter()
            .flatten()
            .fold(0.0_f64, |most, value| most.max(value.abs()));
        Some(if found.abs() < ROUNDING * largest {
            0.0
        } else {
            found
        })
    };
    (0..seeds.len()).filter_map(of_seed).collect()
}
