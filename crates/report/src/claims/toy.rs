//! The toy model's checks, from the `claims.json` that `preflab toy` writes.

use std::fs;
use std::path::{Path, PathBuf};

use preflab_stats::distribution::t_two_sided;
use preflab_stats::{Correction, Interval, adjust};
use serde::Deserialize;

use super::ClaimsError;
use super::find::TOY_FILE;
use super::verdict::{Comparison, Verdict};

/// What is read of the file; it holds more.
#[derive(Debug, Deserialize)]
struct File {
    checks: Vec<Check>,
}

/// One check of the toy model, of one claim in one place. Numbers that are not defined are null.
#[derive(Debug, Deserialize)]
pub(super) struct Check {
    /// The toy page's letter of the claim.
    pub(super) claim: char,
    pub(super) statement: String,
    /// The scenario, or the arms compared.
    pub(super) place: String,
    verdict: Verdict,
    effect_name: String,
    effect: Option<f64>,
    interval: Ends,
    effect_size: Option<f64>,
    seeds: usize,
}

#[derive(Debug, Deserialize)]
struct Ends {
    low: Option<f64>,
    high: Option<f64>,
}

/// The toy model's run.
pub(super) struct Toy {
    pub(super) directory: PathBuf,
    checks: Vec<Check>,
}

impl Toy {
    pub(super) fn read(directory: &Path) -> Result<Self, ClaimsError> {
        let path = directory.join(TOY_FILE);
        let text = fs::read_to_string(&path).map_err(|source| ClaimsError::Read {
            path: path.clone(),
            source,
        })?;
        let file: File =
            serde_json::from_str(&text).map_err(|source| ClaimsError::Toy { path, source })?;
        Ok(Self {
            directory: directory.to_owned(),
            checks: file.checks,
        })
    }

    /// The checks of a claim as its comparisons, adjusted for their number.
    pub(super) fn comparisons(&self, select: fn(&Check) -> bool) -> Vec<Comparison> {
        let mut comparisons: Vec<Comparison> = self
            .checks
            .iter()
            .filter(|check| select(check))
            .map(Check::comparison)
            .collect();
        let tested: Vec<usize> = (0..comparisons.len())
            .filter(|&index| comparisons[index].p.is_some())
            .collect();
        let raw: Vec<f64> = tested
            .iter()
            .filter_map(|&index| comparisons[index].p)
            .collect();
        let adjusted = adjust(&raw, Correction::Holm).unwrap_or_else(|_| raw.clone());
        for (index, p) in tested.into_iter().zip(adjusted) {
            comparisons[index].adjust(p);
        }
        comparisons
    }
}

impl Check {
    fn comparison(&self) -> Comparison {
        let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let size = number(self.effect_size);
        let n = self.seeds as f64;
        let p = (size.is_finite() && self.seeds > 1)
            .then(|| t_two_sided(size * n.sqrt(), n - 1.0))
            .filter(|p| p.is_finite());
        let (name, unit) = match self.effect_name.rsplit_once(", ") {
            Some((name, "nats")) => (name, "nats"),
            Some(_) | None => (self.effect_name.as_str(), ""),
        };
        Comparison {
            effect_name: format!("{}: {name}", self.place),
            arms: vec![self.place.clone()],
            unit: unit.to_owned(),
            effect: number(self.effect),
            interval: Interval {
                low: number(self.interval.low),
                high: number(self.interval.high),
            },
            margin: 0.0,
            effect_size: size,
            p,
            adjusted_p: None,
            seeds: self.seeds,
            left_out: 0,
            verdict: self.verdict,
        }
    }
}
