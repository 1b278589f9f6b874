//! Scores of several runs on several tasks, and their aggregates.
//!
//! Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice, [arXiv:2108.13264](https://arxiv.org/abs/2108.13264).

use crate::error::{StatsError, check_count, check_finite};
use crate::paired::probability_of_superiority;
use crate::summary::{iqm, mean, median};

/// One sample of finite scores per task. The tasks may have different numbers of runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    tasks: Vec<Vec<f64>>,
}

impl Scores {
    /// From the runs of each task: at least one task, each with at least one run.
    pub fn by_task(tasks: Vec<Vec<f64>>) -> Result<Self, StatsError> {
        if tasks.is_empty() {
            return Err(StatsError::TooFew {
                what: "an aggregate over tasks",
                needed: 1,
                found: 0,
            });
        }
        for task in &tasks {
            check_count("a task", task, 1)?;
            check_finite(task)?;
        }
        Ok(Self { tasks })
    }

    /// From `runs[run][task]`, every run with one score per task.
    pub fn by_run(runs: &[Vec<f64>]) -> Result<Self, StatsError> {
        let width = runs.first().map_or(0, Vec::len);
        if let Some(run) = runs.iter().find(|run| run.len() != width) {
            return Err(StatsError::LengthsDiffer {
                left: width,
                right: run.len(),
            });
        }
        let column = |task: usize| runs.iter().map(|run| run[task]).collect();
        Self::by_task((0..width).map(column).collect())
    }

    /// Scores of each task.
    pub fn tasks(&self) -> &[Vec<f64>] {
        &self.tasks
    }

    /// Mean of each task.
    pub fn task_means(&self) -> Vec<f64> {
        // One after the other, as NumPy adds up rows.
        let plain = |task: &Vec<f64>| task.iter().sum::<f64>() / task.len() as f64;
        self.tasks.iter().map(plain).collect()
    }

    /// All scores: run by run while every task has that run.
    pub fn pooled(&self) -> Vec<f64> {
        let longest = self.tasks.iter().map(Vec::len).max().unwrap_or(0);
        (0..longest)
            .flat_map(|run| self.tasks.iter().filter_map(move |task| task.get(run)))
            .copied()
            .collect()
    }

    /// The same scores without one run of one task; `None` where none would be left.
    pub fn without(&self, task: usize, run: usize) -> Option<Self> {
        let mut tasks = self.tasks.clone();
        tasks[task].remove(run);
        (!tasks[task].is_empty()).then_some(Self { tasks })
    }

    /// The same scores without one run of every task; `None` where none would be left.
    pub fn without_run(&self, run: usize) -> Option<Self> {
        let mut tasks = self.tasks.clone();
        for task in &mut tasks {
            task.remove(run);
        }
        tasks
            .iter()
            .all(|task| !task.is_empty())
            .then_some(Self { tasks })
    }

    /// Runs drawn for each task on its own: `draws[i][task]` is the run that becomes run `i` of `task`. Panics on a run that is not there.
    pub fn resampled(&self, draws: &[Vec<usize>]) -> Self {
        let same: Vec<usize> = (0..self.tasks.len()).collect();
        self.resampled_tasks(draws, &same)
    }

    /// As [`Scores::resampled`] with tasks drawn too: task `j` takes its runs from task `drawn[j]`.
    pub fn resampled_tasks(&self, draws: &[Vec<usize>], drawn: &[usize]) -> Self {
        let task = |(j, &task): (usize, &usize)| {
            let runs = draws.iter().map(|run| self.tasks[task][run[j]]);
            runs.collect()
        };
        Self {
            tasks: drawn.iter().enumerate().map(task).collect(),
        }
    }

    /// Share of all scores above `threshold`: one point of the run-score distribution (sec. 4.2, eq. 2).
    pub fn share_above(&self, threshold: f64) -> f64 {
        share(&self.pooled(), |score| score > threshold)
    }

    /// Share of all scores at or above `threshold`.
    pub fn share_at_least(&self, threshold: f64) -> f64 {
        share(&self.pooled(), |score| score >= threshold)
    }

    /// Share of the tasks whose mean is above `threshold`: one point of the average-score distribution.
    pub fn share_of_tasks_above(&self, threshold: f64) -> f64 {
        share(&self.task_means(), |score| score > threshold)
    }
}

fn share(values: &[f64], wanted: impl Fn(f64) -> bool) -> f64 {
    values.iter().filter(|&&value| wanted(value)).count() as f64 / values.len() as f64
}

/// One number for all runs and tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    /// Mean of the task means.
    Mean,
    /// Median of the task means.
    Median,
    /// Interquartile mean of all scores ([`iqm`]).
    Iqm,
    /// `gamma - mean(min(score, gamma))` over all scores: how far they stay below a wanted score; 0 when none does. Lower is better.
    OptimalityGap {
        /// The score beyond which more does not count.
        gamma: f64,
    },
}

impl Aggregate {
    /// The aggregate of some scores.
    pub fn of(&self, scores: &Scores) -> f64 {
        match self {
            Self::Mean => mean(&scores.task_means()),
            Self::Median => median(&scores.task_means()),
            Self::Iqm => iqm(&scores.pooled()),
            Self::OptimalityGap { gamma } => {
                let pooled = scores.pooled();
                let capped: Vec<f64> = pooled.iter().map(|score| score.min(*gamma)).collect();
                gamma - mean(&capped)
            }
        }
    }
}

/// Probability of improvement of `x` over `y` on each task: `P(X > Y) + P(X = Y) / 2` over all pairs of a run of each (sec. 4.3).
///
/// Its mean is the aggregate. The scores must have the same tasks.
pub fn probability_of_improvement(x: &Scores, y: &Scores) -> Result<Vec<f64>, StatsError> {
    crate::error::check_pairs(&x.tasks, &y.tasks)?;
    let pairs = x.tasks.iter().zip(&y.tasks);
    Ok(pairs
        .map(|(x, y)| probability_of_superiority(x, y))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_ragged_and_nan_scores_are_errors() {
        assert!(Scores::by_run(&[]).is_err());
        assert!(Scores::by_run(&[vec![1.0], vec![1.0, 2.0]]).is_err());
        assert!(Scores::by_run(&[vec![f64::NAN]]).is_err());
        assert!(Scores::by_task(vec![vec![1.0], vec![]]).is_err());
    }

    #[test]
    fn one_score_is_its_own_aggregate() {
        let scores = Scores::by_run(&[vec![0.25]]).unwrap();
        for aggregate in [Aggregate::Mean, Aggregate::Median, Aggregate::Iqm] {
            assert_eq!(aggregate.of(&scores), 0.25);
        }
        assert_eq!(Aggregate::OptimalityGap { gamma: 0.2 }.of(&scores), 0.0);
        assert!(scores.without(0, 0).is_none() && scores.without_run(0).is_none());
    }

    #[test]
    fn improvement_needs_the_same_tasks() {
        let one = Scores::by_run(&[vec![0.5]]).unwrap();
        let two = Scores::by_run(&[vec![0.5, 0.5]]).unwrap();
        assert!(probability_of_improvement(&one, &two).is_err());
        assert_eq!(probability_of_improvement(&one, &one).unwrap(), [0.5]);
    }
}
