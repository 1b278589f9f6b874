//! What the looks of a training run saw, look after look: the curves that the 3D detector reads.

use preflab_metrics::{Metric, Sink, SinkError, Text};
use preflab_stats::detector::{Curves, Detection, Property, Thresholds, detect};
use serde::{Deserialize, Serialize};

use super::{Group, Look};

/// Curves of the looks of one run, one value for each look.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    steps: Vec<u64>,
    chosen: Vec<f64>,
    rejected: Vec<f64>,
    outside: Vec<f64>,
    /// Figures of the last look.
    last: Vec<(Metric, f64)>,
}

impl Trace {
    /// Adds the look after `step` updates.
    pub(crate) fn push(&mut self, step: u64, look: &Look) {
        self.steps.push(step);
        self.chosen.push(look.per_token(Group::Chosen));
        self.rejected.push(look.per_token(Group::Rejected));
        self.outside.push(look.mass_outside);
        self.last = look.figures();
        self.last.retain(|(_, value)| value.is_finite());
    }

    /// The three properties in the run: log-likelihoods per token of chosen and rejected answers, and the next-token
    /// probability that left them.
    pub fn detect(&self, thresholds: &Thresholds) -> Detection {
        let curves = Curves {
            steps: &self.steps,
            chosen: &self.chosen,
            rejected: &self.rejected,
            outside: &self.outside,
            log_gradient_ratio: None,
        };
        detect(&curves, thresholds)
    }

    /// Logs the detector's verdict, onsets and strengths at the last look, and gives them with the figures of that look.
    /// Nothing, if nobody looked.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn conclude(
        &self,
        thresholds: &Thresholds,
        log: &mut dyn Sink,
    ) -> Result<Vec<(Metric, f64)>, SinkError> {
        let Some(&step) = self.steps.last() else {
            return Ok(Vec::new());
        };
        let detection = self.detect(thresholds);
        let mut verdict = Vec::new();
        for (property, finding) in detection.properties() {
            let (strength, onset) = metrics(property);
            verdict.push((strength, finding.strength));
            verdict.extend(finding.onset.map(|step| (onset, step as f64)));
        }
        let flagged = f64::from(u8::from(detection.flagged()));
        verdict.push((Metric::DetectorFlagged, flagged));
        log.scalars(step, &verdict)?;
        log.text(step, Text::Verdict, &detection.verdict())?;
        log.flush()?;
        Ok([self.last.as_slice(), &verdict].concat())
    }
}

/// Where a property's strength and onset are logged.
const fn metrics(property: Property) -> (Metric, Metric) {
    match property {
        Property::Drop => (Metric::DetectorDrop, Metric::DetectorDropOnset),
        Property::Degradation => (
            Metric::DetectorDegradation,
            Metric::DetectorDegradationOnset,
        ),
        Property::Dispersion => (Metric::DetectorDispersion, Metric::DetectorDispersionOnset),
    }
}
