//! The final figures of every cell, by arm, measure and seed.

use std::collections::{BTreeMap, BTreeSet};

use preflab_experiment::records::{ArmOrigin, ArmRecord, CellStatus, Records};
use preflab_metrics::{Better, Metric, Section};

/// What was measured: a metric of the catalogue, or a name that only the record knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    Known(Metric),
    Other(String),
}

impl Measure {
    pub(crate) fn new(tag: &str) -> Self {
        Metric::from_tag(tag).map_or_else(|| Measure::Other(tag.to_owned()), Measure::Known)
    }

    pub(crate) fn tag(&self) -> &str {
        match self {
            Measure::Known(metric) => metric.tag(),
            Measure::Other(tag) => tag,
        }
    }

    pub(crate) fn unit(&self) -> &str {
        match self {
            Measure::Known(metric) => metric.unit(),
            Measure::Other(_) => "",
        }
    }

    pub(crate) fn better(&self) -> Better {
        match self {
            Measure::Known(metric) => metric.better(),
            Measure::Other(_) => Better::Neither,
        }
    }

    fn is_score(&self, by_accuracy: bool) -> bool {
        let Measure::Known(metric) = self else {
            return false;
        };
        metric.section() == Section::Task
            || (by_accuracy && metric.section() == Section::PairAccuracy)
    }
}

/// The finished cells' figures.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measures {
    /// By arm and measure, in the experiment's order of seeds.
    values: BTreeMap<(String, Measure), Vec<(u64, f64)>>,
    all: BTreeSet<Measure>,
    /// Whether accuracy on pairs is what arms are compared by: one of them is a reward model, or there is no gold score.
    by_accuracy: bool,
}

impl Measures {
    /// The figures of the cells that are done; those of failed ones are no result.
    pub(crate) fn of(records: &Records) -> Self {
        let mut measures = Self::default();
        let done = records
            .cells
            .iter()
            .filter(|cell| cell.status == CellStatus::Done);
        for cell in done {
            for (tag, &value) in &cell.measures {
                let measure = Measure::new(tag);
                measures.all.insert(measure.clone());
                measures
                    .values
                    .entry((cell.arm.clone(), measure))
                    .or_default()
                    .push((cell.seed, value));
            }
        }
        let gold = Measure::Known(Metric::TaskGold);
        let arms = &records.experiment.arms;
        measures.by_accuracy =
            !measures.all.contains(&gold) || arms.iter().any(|arm| arm.method == "reward");
        measures
    }

    /// The figure of each seed.
    pub(crate) fn seeds(&self, arm: &str, measure: &Measure) -> &[(u64, f64)] {
        self.values
            .get(&(arm.to_owned(), measure.clone()))
            .map_or(&[], Vec::as_slice)
    }

    /// The figures of the evaluation, in the catalogue's order; if there are none, those of held-out data during training.
    pub(crate) fn scores(&self) -> Vec<Measure> {
        let scores: Vec<Measure> = self
            .all
            .iter()
            .filter(|measure| measure.is_score(self.by_accuracy))
            .cloned()
            .collect();
        if !scores.is_empty() {
            return scores;
        }
        self.all
            .iter()
            .filter(|measure| measure.tag().starts_with("eval_"))
            .cloned()
            .collect()
    }

    /// All other figures.
    pub(crate) fn others(&self) -> Vec<Measure> {
        let scores = self.scores();
        self.all
            .iter()
            .filter(|measure| !scores.contains(measure))
            .cloned()
            .collect()
    }

    /// The figure by which arms are judged first: accuracy on held-out pairs where arms are compared by it, the gold score
    /// where there is one, else the first that has a better direction.
    pub(crate) fn primary(&self) -> Option<Measure> {
        let scores = self.scores();
        let accuracy = Measure::Known(Metric::AccuracyHeldOut);
        if self.by_accuracy && scores.contains(&accuracy) {
            return Some(accuracy);
        }
        let gold = Measure::Known(Metric::TaskGold);
        if scores.contains(&gold) {
            return Some(gold);
        }
        scores
            .into_iter()
            .find(|measure| measure.better() != Better::Neither)
    }
}

/// The arms that are compared: starts and the file's own, without the ablation's grid.
pub(crate) fn main_arms(records: &Records) -> Vec<&ArmRecord> {
    let arms = records.experiment.arms.iter();
    arms.filter(|arm| match arm.origin {
        ArmOrigin::Start | ArmOrigin::File => true,
        ArmOrigin::Ablation => false,
    })
    .collect()
}
