//! The best setting of an ablation, how sure that is, and whether it lies inside the range.

use preflab_experiment::records::GridValue;
use preflab_stats::{Best, Goal, best_setting, interior_optimum};

use super::{Grid, name};
use crate::document::{Block, Column, Rich, Table};
use crate::format::{self, count, p_value};
use crate::measures::Measure;

/// Bootstrap samples behind the probability of being the best.
const SAMPLES: usize = 10_000;

/// Their seed.
const SEED: u64 = 0;

/// The level at which settings are told apart from the best.
const ALPHA: f64 = 0.05;

/// A sentence on the best, one on where it lies, and the table behind them; nothing without a figure to judge by.
pub(super) fn blocks(grid: &Grid<'_>) -> Vec<Block> {
    let Some((measure, goal)) = grid.primary() else {
        return Vec::new();
    };
    let (values, seeds) = grid.paired(&measure);
    let Ok(best) = best_setting(&values, goal, SAMPLES, SEED) else {
        return vec![Block::paragraph(
            "No seed has been finished at every point of the grid yet: there is no best setting.",
        )];
    };
    let mut blocks = vec![Block::Paragraph(sentence(
        grid,
        &measure,
        &best,
        seeds.len(),
    ))];
    blocks.extend(inside(grid, &measure, &values, goal));
    blocks.push(Block::Table(table(grid, &measure, &best)));
    blocks
}

fn sentence(grid: &Grid<'_>, measure: &Measure, best: &Best, seeds: usize) -> Rich {
    let tied = best.not_told_apart(ALPHA);
    let text = Rich::strong("Best")
        .and(", by ")
        .and_code(measure.tag())
        .and(": ");
    let text = text
        .and_code(&grid.point_in_words(grid.points[best.index]))
        .and(&format!(
            ", the best in {} of bootstrap samples of {}. ",
            percent(best.probability[best.index]),
            count(seeds, "seed"),
        ));
    match tied.len() {
        1 => text.and("Every other point is told apart from it."),
        all if all == grid.points.len() => text.and("No other point is told apart from it."),
        some => text.and(&format!(
            "{} not told apart from it.",
            if some == 2 {
                "1 other point is".to_owned()
            } else {
                format!("{} other points are", some - 1)
            }
        )),
    }
}

/// Whether the optimum is strictly inside the range: of one numeric key with three values and more.
fn inside(grid: &Grid<'_>, measure: &Measure, values: &[Vec<f64>], goal: Goal) -> Option<Block> {
    let [key] = grid.ablation.keys.as_slice() else {
        return None;
    };
    let number = |value: Option<&GridValue>| match value {
        Some(GridValue::Number(number)) => Some(*number),
        Some(GridValue::Label(_)) | None => None,
    };
    let mut order: Vec<(f64, usize)> = Vec::new();
    for (place, arm) in grid.points.iter().enumerate() {
        order.push((number(arm.point.first())?, place));
    }
    order.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let sorted: Vec<Vec<f64>> = order
        .iter()
        .map(|&(_, place)| values[place].clone())
        .collect();
    let optimum = interior_optimum(&sorted, goal).ok()?;
    let value = |place: usize| name(&GridValue::Number(order[place].0));
    let ends = format!("{} and {}", value(0), value(order.len() - 1));
    // One-sided tests at half the level: what 95 % intervals on both sides would say.
    let alpha = 0.5 * ALPHA;
    let reading = if optimum.p_inside <= alpha {
        format!(
            "The optimum is strictly inside the range: a value between {ends} is better than both"
        )
    } else if optimum.p_at_an_end <= alpha {
        format!(
            "The optimum is at an end of the range, {ends}: one of them is better than every value between"
        )
    } else {
        format!("Whether the optimum lies inside the range or at an end ({ends}) is not decided")
    };
    let text = Rich::strong("Inside the range?").and(" ").and(&reading);
    Some(Block::Paragraph(text.and(" (").and_code(key).and(" by ").and_code(measure.tag()).and(&format!(
        "; paired one-sided t tests, adjusted for the choice among the values: inside p = {}, at an end p = {}, decided at {alpha}).",
        p_value(optimum.p_inside),
        p_value(optimum.p_at_an_end),
    ))))
}

fn table(grid: &Grid<'_>, measure: &Measure, best: &Best) -> Table {
    let mut columns = grid.key_columns();
    columns.extend([
        Column::number(super::super::scores::heading(measure)),
        Column::number("best in"),
        Column::number("p against the best"),
        Column::text("reading"),
    ]);
    let mut table = Table::new(columns).caption(
        "Best in: share of bootstrap samples of the seeds, the same seeds at every point, in which the point has the best mean; \
         with few seeds these shares are too sure of themselves. p: paired t test against the point with the best mean, Holm.",
    );
    let tied = best.not_told_apart(ALPHA);
    for (place, arm) in grid.points.iter().enumerate() {
        let mut row = grid.point(arm);
        let p = if place == best.index {
            "—".to_owned()
        } else {
            p_value(best.p[place])
        };
        let reading = if place == best.index {
            Rich::strong("best mean")
        } else if tied.contains(&place) {
            "not told apart".into()
        } else {
            "worse".into()
        };
        row.extend([
            format::estimate(&grid.estimate(&arm.name, measure)),
            percent(best.probability[place]).into(),
            p.into(),
            reading,
        ]);
        table.row(row);
    }
    table
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}
