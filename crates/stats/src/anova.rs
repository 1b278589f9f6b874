//! Two-way analysis of variance with interaction, balanced or not.
//!
//! Searle 1987, Linear Models for Unbalanced Data, ch. 4 and 12. Both factors are coded by deviations from the mean of their levels, and a sum of
//! squares is what a block of columns explains beyond the blocks before it.

use crate::distribution::{f_sf, t_critical, t_two_sided};
use crate::error::{StatsError, check_finite, check_open_fraction, check_pairs};
use crate::interval::Interval;
use crate::summary::mean;

/// What the sum of squares of a main effect is adjusted for. The interaction is adjusted for both main effects in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumsOfSquares {
    /// I: `a` for nothing, `b` for `a`.
    Sequential,
    /// II: each for the other main effect.
    Hierarchical,
    /// III: each for the other and for the interaction.
    Marginal,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// Sum of squares.
    pub sum_of_squares: f64,
    /// Degrees of freedom.
    pub df: f64,
    /// Its mean square over that of the residual.
    pub f: f64,
    /// `P(F >= f)`.
    pub p: f64,
}

/// The rows above the residual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnovaTable {
    /// The mean over cells, tested against zero and adjusted for everything else: only of marginal sums of squares.
    pub intercept: Option<Effect>,
    /// First factor.
    pub a: Effect,
    /// Second factor.
    pub b: Effect,
    /// What the factors do together beyond their sum.
    pub interaction: Effect,
}

/// Observations in the cells of two crossed factors.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoWay {
    a: Vec<usize>,
    b: Vec<usize>,
    y: Vec<f64>,
    cells: Vec<Vec<Vec<f64>>>,
}

/// A contrast of cell means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrast {
    /// Its value.
    pub estimate: f64,
    /// Standard error.
    pub se: f64,
    /// `estimate / se`.
    pub t: f64,
    /// Two-sided p.
    pub p: f64,
    /// Interval at the level asked for.
    pub interval: Interval,
}

/// Interaction of every cell, and its common standard error.
#[derive(Clone, Debug, PartialEq)]
pub struct InteractionEffects {
    /// `[a][b]`: cell mean - row mean - column mean + grand mean.
    pub effects: Vec<Vec<f64>>,
    /// Standard error of each.
    pub se: f64,
    /// Interval of each, not adjusted for their number.
    pub intervals: Vec<Vec<Interval>>,
}

impl TwoWay {
    /// `a[i]` and `b[i]` are the levels, from 0, of observation `y[i]`. At least two levels of each, no empty cell, and more observations than cells.
    pub fn new(a: &[usize], b: &[usize], y: &[f64]) -> Result<Self, StatsError> {
        check_pairs(a, y)?;
        check_pairs(b, y)?;
        check_finite(y)?;
        let levels = |factor: &[usize]| factor.iter().max().map_or(0, |&last| last + 1);
        let (rows, columns) = (levels(a), levels(b));
        if rows.min(columns) < 2 {
            return Err(StatsError::TooFew {
                what: "a two-way analysis (levels of a factor)",
                needed: 2,
                found: rows.min(columns),
            });
        }
        let mut cells = vec![vec![Vec::new(); columns]; rows];
        for ((&a, &b), &y) in a.iter().zip(b).zip(y) {
            cells[a][b].push(y);
        }
        if cells.iter().flatten().any(Vec::is_empty) {
            return Err(StatsError::TooFew {
                what: "a two-way analysis (observations of a cell)",
                needed: 1,
                found: 0,
            });
        }
        if y.len() <= rows * columns {
            return Err(StatsError::TooFew {
                what: "a two-way analysis",
                needed: rows * columns + 1,
                found: y.len(),
            });
        }
        Ok(Self {
            a: a.to_vec(),
            b: b.to_vec(),
            y: y.to_vec(),
            cells,
        })
    }

    fn levels(&self) -> (usize, usize) {
        (self.cells.len(), self.cells[0].len())
    }

    /// `[a][b]`: mean of each cell.
    pub fn cell_means(&self) -> Vec<Vec<f64>> {
        let row = |row: &Vec<Vec<f64>>| row.iter().map(|cell| mean(cell)).collect();
        self.cells.iter().map(row).collect()
    }

    /// `[a][b]`: observations of each cell.
    pub fn cell_counts(&self) -> Vec<Vec<usize>> {
        let row = |row: &Vec<Vec<f64>>| row.iter().map(Vec::len).collect();
        self.cells.iter().map(row).collect()
    }

    /// Degrees of freedom of the residual.
    pub fn residual_df(&self) -> f64 {
        let (rows, columns) = self.levels();
        (self.y.len() - rows * columns) as f64
    }

    /// Sum of squares around the cell means.
    pub fn residual_sum_of_squares(&self) -> f64 {
        let cells = self.cells.iter().flatten();
        cells.map(|cell| crate::summary::sum_of_squares(cell)).sum()
    }

    /// Mean square of the residual.
    pub fn mse(&self) -> f64 {
        self.residual_sum_of_squares() / self.residual_df()
    }

    /// Sums of squares, F and p.
    pub fn table(&self, kind: SumsOfSquares) -> AnovaTable {
        let (rows, columns) = self.levels();
        let one = vec![vec![1.0; self.y.len()]];
        let a = deviation_columns(&self.a, rows);
        let b = deviation_columns(&self.b, columns);
        let both: Vec<Vec<f64>> = (a.iter())
            .flat_map(|a| {
                b.iter()
                    .map(move |b| a.iter().zip(b).map(|(a, b)| a * b).collect())
            })
            .collect();
        let effect = |before: &[&[Vec<f64>]], block: &[Vec<f64>]| {
            let sum_of_squares = explained(before, block, &self.y);
            let df = block.len() as f64;
            let f = sum_of_squares / df / self.mse();
            Effect {
                sum_of_squares,
                df,
                f,
                p: f_sf(f, df, self.residual_df()),
            }
        };
        let interaction = effect(&[&one, &a, &b], &both);
        match kind {
            SumsOfSquares::Sequential => AnovaTable {
                intercept: None,
                a: effect(&[&one], &a),
                b: effect(&[&one, &a], &b),
                interaction,
            },
            SumsOfSquares::Hierarchical => AnovaTable {
                intercept: None,
                a: effect(&[&one, &b], &a),
                b: effect(&[&one, &a], &b),
                interaction,
            },
            SumsOfSquares::Marginal => AnovaTable {
                intercept: Some(effect(&[&a, &b, &both], &one)),
                a: effect(&[&one, &b, &both], &a),
                b: effect(&[&one, &a, &both], &b),
                interaction,
            },
        }
    }

    /// Partial η² of the interaction: its sum of squares over itself plus the residual's.
    pub fn interaction_partial_eta2(&self) -> f64 {
        let effect = self.table(SumsOfSquares::Hierarchical).interaction;
        effect.sum_of_squares / (effect.sum_of_squares + self.residual_sum_of_squares())
    }

    /// Partial ω² of the interaction, `df (F - 1) / (df (F - 1) + n)`: η² without its upward bias (Olejnik and Algina 2003, Psychol. Methods 8(4)).
    pub fn interaction_partial_omega2(&self) -> f64 {
        let effect = self.table(SumsOfSquares::Hierarchical).interaction;
        let excess = effect.df * (effect.f - 1.0);
        excess / (excess + self.y.len() as f64)
    }

    /// `y11 - y10 - y01 + y00` of the cell means of a 2 by 2 design; `None` for another.
    pub fn interaction_2x2(&self, level: f64) -> Result<Option<Contrast>, StatsError> {
        check_open_fraction("level", level)?;
        if self.levels() != (2, 2) {
            return Ok(None);
        }
        let means = self.cell_means();
        let estimate = means[1][1] - means[1][0] - means[0][1] + means[0][0];
        let cells = self.cells.iter().flatten();
        let se = (self.mse() * cells.map(|cell| 1.0 / cell.len() as f64).sum::<f64>()).sqrt();
        let df = self.residual_df();
        Ok(Some(Contrast {
            estimate,
            se,
            t: estimate / se,
            p: t_two_sided(estimate / se, df),
            interval: Interval::around(estimate, t_critical(1.0 - level, df) * se),
        }))
    }

    /// Interaction of every cell of a balanced design, standard error `sqrt(mse / r · (I-1)(J-1) / (I J))`; `None` for an unbalanced one.
    pub fn interaction_effects(
        &self,
        level: f64,
    ) -> Result<Option<InteractionEffects>, StatsError> {
        check_open_fraction("level", level)?;
        let repeats = self.cells[0][0].len();
        if self
            .cells
            .iter()
            .flatten()
            .any(|cell| cell.len() != repeats)
        {
            return Ok(None);
        }
        let means = self.cell_means();
        let (rows, columns) = self.levels();
        let row_means: Vec<f64> = means.iter().map(|row| mean(row)).collect();
        let column_mean = |b: usize| mean(&means.iter().map(|row| row[b]).collect::<Vec<_>>());
        let column_means: Vec<f64> = (0..columns).map(column_mean).collect();
        let grand = mean(&row_means);
        let effects: Vec<Vec<f64>> = (0..rows)
            .map(|a| {
                let effect = |b: usize| means[a][b] - row_means[a] - column_means[b] + grand;
                (0..columns).map(effect).collect()
            })
            .collect();
        let share = ((rows - 1) * (columns - 1)) as f64 / (rows * columns) as f64;
        let se = (self.mse() / repeats as f64 * share).sqrt();
        let half = t_critical(1.0 - level, self.residual_df()) * se;
        let around = |row: &Vec<f64>| row.iter().map(|&x| Interval::around(x, half)).collect();
        Ok(Some(InteractionEffects {
            intervals: effects.iter().map(around).collect(),
            effects,
            se,
        }))
    }
}

/// One column per level but the last: 1 on the level, -1 on the last, 0 elsewhere.
fn deviation_columns(factor: &[usize], levels: usize) -> Vec<Vec<f64>> {
    let code = |level: usize| {
        let value = move |&own: &usize| {
            if own == level {
                1.0
            } else if own == levels - 1 {
                -1.0
            } else {
                0.0
            }
        };
        factor.iter().map(value).collect()
    };
    (0..levels - 1).map(code).collect()
}

/// Sum of squares that `block` explains beyond the columns before it.
fn explained(before: &[&[Vec<f64>]], block: &[Vec<f64>], y: &[f64]) -> f64 {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for column in before.iter().copied().flatten() {
        basis.push(orthonormal(column, &basis));
    }
    let mut total = 0.0;
    for column in block {
        let direction = orthonormal(column, &basis);
        total += dot(&direction, y).powi(2);
        basis.push(direction);
    }
    total
}

/// The part of `column` orthogonal to the basis, of length 1: modified Gram-Schmidt, twice so that rounding does not tilt it.
fn orthonormal(column: &[f64], basis: &[Vec<f64>]) -> Vec<f64> {
    let mut rest = column.to_vec();
    for _ in 0..2 {
        for direction in basis {
            let along = dot(direction, &rest);
            for (rest, direction) in rest.iter_mut().zip(direction) {
                *rest -= along * direction;
            }
        }
    }
    let length = dot(&rest, &rest).sqrt();
    rest.iter().map(|value| value / length).collect()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn designs_without_replication_or_with_holes_are_errors() {
        let new = |a: &[usize], b: &[usize], y: &[f64]| TwoWay::new(a, b, y);
        assert!(new(&[], &[], &[]).is_err());
        assert!(new(&[0, 0, 1, 1], &[0, 1, 0, 1], &[1.0, 2.0, 3.0, 4.0]).is_err());
        assert!(new(&[0, 0, 1], &[0, 1, 0], &[1.0, 2.0, 3.0]).is_err());
        assert!(new(&[0, 0], &[0, 1], &[1.0, f64::NAN]).is_err());
    }

    #[test]
    fn balanced_designs_have_one_table() {
        let a = [0, 0, 0, 0, 1, 1, 1, 1];
        let b = [0, 0, 1, 1, 0, 0, 1, 1];
        let y = [1.0, 1.5, 2.0, 2.5, 0.0, 1.0, 4.0, 4.5];
        let design = TwoWay::new(&a, &b, &y).unwrap();
        let one = design.table(SumsOfSquares::Sequential);
        for kind in [SumsOfSquares::Hierarchical, SumsOfSquares::Marginal] {
            let other = design.table(kind);
            assert!((one.a.sum_of_squares - other.a.sum_of_squares).abs() < 1e-12);
            assert!((one.b.sum_of_squares - other.b.sum_of_squares).abs() < 1e-12);
        }
        let total = crate::summary::sum_of_squares(&y);
        let parts = [one.a, one.b, one.interaction].map(|effect| effect.sum_of_squares);
        let sum = parts.iter().sum::<f64>() + design.residual_sum_of_squares();
        assert!((total - sum).abs() < 1e-12);
    }
}
