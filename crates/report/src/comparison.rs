//! Paired differences of arms to a baseline.

use preflab_metrics::Better;

use crate::measures::{Measure, Measures};
use crate::statistics::{self, Paired};

/// One arm against a baseline on one measure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) arm: String,
    pub(crate) baseline: String,
    pub(crate) measure: Measure,
    pub(crate) paired: Paired,
    /// The p-value after Holm's adjustment over the arms of the same baseline and measure.
    pub(crate) holm: Option<f64>,
    /// The same of the paired t test.
    pub(crate) t_holm: Option<f64>,
}

/// What a comparison shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    Better,
    Worse,
    /// The interval excludes zero, on a measure without a better direction.
    Higher,
    /// The same, downwards.
    Lower,
    /// The interval includes zero.
    Undecided,
    /// Every seed gave exactly the same difference, zero.
    Equal,
    /// Too few seeds for an interval.
    NoInterval,
}

/// Every arm of `arms` but the baseline itself against it, on one measure.
pub(crate) fn against(
    measures: &Measures,
    arms: &[&str],
    baseline: &str,
    measure: &Measure,
    confidence: f64,
) -> Vec<Comparison> {
    let base = measures.seeds(baseline, measure);
    let others = arms.iter().filter(|&&arm| arm != baseline);
    let mut comparisons: Vec<Comparison> = others
        .filter_map(|&arm| {
            let paired = statistics::paired(measures.seeds(arm, measure), base, confidence)?;
            Some(Comparison {
                arm: arm.to_owned(),
                baseline: baseline.to_owned(),
                measure: measure.clone(),
                paired,
                holm: None,
                t_holm: None,
            })
        })
        .collect();
    for (index, p) in adjusted(&comparisons, |paired| paired.p) {
        comparisons[index].holm = Some(p);
    }
    for (index, p) in adjusted(&comparisons, |paired| paired.t_p) {
        comparisons[index].t_holm = Some(p);
    }
    comparisons
}

/// The p-values there are, adjusted together, with the comparisons they belong to.
fn adjusted(comparisons: &[Comparison], p: fn(&Paired) -> Option<f64>) -> Vec<(usize, f64)> {
    let raw = comparisons.iter().map(|comparison| p(&comparison.paired));
    let (tested, raw): (Vec<usize>, Vec<f64>) = raw
        .enumerate()
        .filter_map(|(index, p)| Some((index, p?)))
        .unzip();
    tested.into_iter().zip(statistics::holm(&raw)).collect()
}

impl Comparison {
    /// Whether the difference is told from 0 among all arms together: Holm's adjustment of the paired t test.
    pub(crate) fn survives(&self, confidence: f64) -> bool {
        self.t_holm.is_some_and(|p| p <= 1.0 - confidence)
    }

    pub(crate) fn reading(&self) -> Reading {
        let Some((low, high)) = self.paired.interval else {
            return Reading::NoInterval;
        };
        if low == 0.0 && high == 0.0 {
            Reading::Equal
        } else if low > 0.0 {
            match self.measure.better() {
                Better::Higher => Reading::Better,
                Better::Lower => Reading::Worse,
                Better::Neither => Reading::Higher,
            }
        } else if high < 0.0 {
            match self.measure.better() {
                Better::Higher => Reading::Worse,
                Better::Lower => Reading::Better,
                Better::Neither => Reading::Lower,
            }
        } else {
            Reading::Undecided
        }
    }
}

impl Reading {
    /// The reading in a table's cell.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Reading::Better => "better",
            Reading::Worse => "worse",
            Reading::Higher => "higher",
            Reading::Lower => "lower",
            Reading::Undecided => "not told apart",
            Reading::Equal => "equal",
            Reading::NoInterval => "too few seeds",
        }
    }
}
