//! Curves of the cells, thinned and gathered over seeds.

use std::collections::BTreeMap;
use std::path::Path;

use preflab_experiment::records::{Records, cell_directory};
use preflab_metrics::{Curves, Metric, SCALARS_FILE, SinkError, read_scalars};

/// A curve has at most so many points; longer ones are averaged in bins.
const MOST_POINTS: usize = 160;

/// The logged curves of an experiment: by arm, then by seed. Cells that logged nothing are not in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct CurveSet {
    arms: BTreeMap<String, Vec<(u64, Curves)>>,
}

/// One metric of one arm: at each step the mean, the smallest and the largest seed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gathered {
    pub(crate) mean: Vec<(f64, f64)>,
    pub(crate) range: Vec<(f64, f64, f64)>,
    /// Number of seeds behind the longest part.
    pub(crate) seeds: usize,
    /// Logged steps averaged into one point; 1 when the curve is shown as it is.
    pub(crate) bin: u64,
}

impl CurveSet {
    /// Reads what the cells have logged so far, also those that are not finished.
    pub(crate) fn read(records: &Records) -> Result<Self, SinkError> {
        let mut set = Self::default();
        for arm in &records.experiment.arms {
            for &seed in &records.experiment.seeds {
                let directory = cell_directory(&records.directory, &arm.name, seed);
                if let Some(curves) = read_directory(&directory)? {
                    set.arms
                        .entry(arm.name.clone())
                        .or_default()
                        .push((seed, curves));
                }
            }
        }
        Ok(set)
    }

    /// The metric of the arm, over its seeds; none if it was not logged twice by any.
    pub(crate) fn gather(&self, arm: &str, metric: Metric) -> Option<Gathered> {
        let runs = self.arms.get(arm)?;
        gather(runs.iter().map(|(_, curves)| curves.series(metric)))
    }

    /// The metric of the arm under one seed; none if the cell logged nothing.
    pub(crate) fn series(&self, arm: &str, seed: u64, metric: Metric) -> Option<&[(u64, f64)]> {
        let (_, curves) = self.arms.get(arm)?.iter().find(|(of, _)| *of == seed)?;
        Some(curves.series(metric))
    }

    /// Whether any arm logged the metric.
    pub(crate) fn has(&self, arm: &str, metric: Metric) -> bool {
        self.arms.get(arm).is_some_and(|runs| {
            runs.iter()
                .any(|(_, curves)| curves.series(metric).len() > 1)
        })
    }
}

/// The curves in a directory; none if nothing was logged there.
pub(crate) fn read_directory(directory: &Path) -> Result<Option<Curves>, SinkError> {
    let file = directory.join(SCALARS_FILE);
    if file.is_file() {
        read_scalars(&file).map(Some)
    } else {
        Ok(None)
    }
}

/// Gathers one metric over several runs.
pub(crate) fn gather<'a>(runs: impl Iterator<Item = &'a [(u64, f64)]>) -> Option<Gathered> {
    let runs: Vec<&[(u64, f64)]> = runs.filter(|run| run.len() > 1).collect();
    let last = runs
        .iter()
        .flat_map(|run| run.iter().map(|&(step, _)| step))
        .max()?;
    let longest = runs.iter().map(|run| run.len()).max()?;
    // Steps in a bin: enough that the longest run has few enough points.
    let width = if longest > MOST_POINTS {
        (last + 1).div_ceil(MOST_POINTS as u64)
    } else {
        1
    };
    let mut points: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for run in &runs {
        let mut bins: BTreeMap<u64, Vec<(u64, f64)>> = BTreeMap::new();
        for &(step, value) in *run {
            bins.entry(step / width).or_default().push((step, value));
        }
        for (bin, members) in bins {
            let count = members.len() as f64;
            let step = members.iter().map(|&(step, _)| step as f64).sum::<f64>() / count;
            let value = members.iter().map(|&(_, value)| value).sum::<f64>() / count;
            points.entry(bin).or_default().push((step, value));
        }
    }
    let mut gathered = Gathered {
        mean: Vec::new(),
        range: Vec::new(),
        seeds: runs.len(),
        bin: width,
    };
    for members in points.into_values() {
        let count = members.len() as f64;
        let step = members.iter().map(|&(step, _)| step).sum::<f64>() / count;
        let mean = members.iter().map(|&(_, value)| value).sum::<f64>() / count;
        gathered.mean.push((step, mean));
        if members.len() > 1 {
            let values = || members.iter().map(|&(_, value)| value);
            // A NaN among the seeds leaves a gap, as it does in the mean.
            let low = values().fold(mean, f64::min) + 0.0 * mean;
            let high = values().fold(mean, f64::max) + 0.0 * mean;
            gathered.range.push((step, low, high));
        }
    }
    Some(gathered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_and_the_range_are_over_the_seeds_at_each_step() {
        let gathered = gather(
            [
                &[(0, 1.0), (1, 2.0)][..],
                &[(0, 3.0), (1, 2.0), (2, 5.0)],
                &[],
            ]
            .into_iter(),
        )
        .unwrap();
        assert_eq!(gathered.mean, [(0.0, 2.0), (1.0, 2.0), (2.0, 5.0)]);
        assert_eq!(gathered.range, [(0.0, 1.0, 3.0), (1.0, 2.0, 2.0)]);
        assert_eq!((gathered.seeds, gathered.bin), (2, 1));
    }

    #[test]
    fn long_curves_are_averaged_in_bins_and_keep_their_mean() {
        let run: Vec<(u64, f64)> = (0..1600).map(|step| (step, step as f64)).collect();
        let gathered = gather([&run[..]].into_iter()).unwrap();
        assert_eq!(gathered.mean.len(), MOST_POINTS);
        assert_eq!(gathered.bin, 10);
        assert_eq!(gathered.mean[0], (4.5, 4.5));
        assert!(gathered.range.is_empty());
    }

    #[test]
    fn a_value_that_is_not_a_number_leaves_a_gap() {
        let gathered =
            gather([&[(0, f64::NAN), (1, 1.0)][..], &[(0, 1.0), (1, 3.0)]].into_iter()).unwrap();
        assert!(gathered.mean[0].1.is_nan() && gathered.range[0].1.is_nan());
        assert_eq!(gathered.range[1], (1.0, 1.0, 3.0));
        assert!(gather([&[(0, 1.0)][..]].into_iter()).is_none());
    }
}
