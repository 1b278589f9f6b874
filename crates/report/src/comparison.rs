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
            })
        })
        .collect();
    let tested: Vec<usize> = (0..comparisons.len())
        .filter(|&index| comparisons[index].paired.p.is_some())
        .collect();
    let raw: Vec<f64> = tested
        .iter()
        .filter_map(|&index| comparisons[index].paired.p)
        .collect();
    for (index, adjusted) in tested.into_iter().zip(statistics::holm(&raw)) {
        comparisons[index].holm = Some(adjusted);
    }
    comparisons
}

impl Comparison {
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
