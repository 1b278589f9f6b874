//! Finds the paper's three properties in the curves of a run: when they set in, and how strong they are.
//!
//! Yan et al. 2025, [arXiv:2406.07327](https://arxiv.org/abs/2406.07327), section 3: a **d**rastic drop of the rejected
//! likelihood, a **d**egradation into response suppression, a **d**ispersion of probability over responses that are in no
//! pair. The detector is a function of curves alone, so that the toy model and trainers of real models use the same one.
//!
//! # Adding a property
//! A field in [`Curves`] if it needs another curve, one in [`Thresholds`] and [`Detection`], and a line in [`detect`].

use serde::{Deserialize, Serialize};

/// Curves of one run, one value for each step.
///
/// Of a real model: `dynamics/logps/...` or the means over tokens of chosen and rejected probes, `dynamics/mass_outside`,
/// and the difference of the two logged gradients. Values may have any constant added: only changes count.
#[derive(Debug, Clone, Copy)]
pub struct Curves<'a> {
    /// Steps, ascending.
    pub steps: &'a [u64],
    /// Mean log-likelihood of chosen responses, nats.
    pub chosen: &'a [f64],
    /// Mean log-likelihood of rejected responses, nats.
    pub rejected: &'a [f64],
    /// Probability outside the pairs' responses, from 0 to 1.
    pub outside: &'a [f64],
    /// `log |∂l/∂π(y_l)| − log |∂l/∂π(y_w)|`, nats, where it is known; NaN where a step has no gradient on one side.
    pub log_gradient_ratio: Option<&'a [f64]>,
}

/// What counts as one of the properties.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// By how much the rejected likelihood must have fallen, beyond what the chosen one has gained, nats.
    pub drop: f64,
    /// By how much the gradients' ratio must have grown for a fall of the chosen likelihood to count, nats.
    pub gradient_ratio: f64,
    /// By how much the chosen likelihood must be below its peak, nats.
    pub decline: f64,
    /// By how much the mass outside must be above its lowest value so far.
    pub dispersion: f64,
    /// For how many looks, up to the last one, it must have been so.
    pub looks: usize,
}

impl Default for Thresholds {
    /// Those of the toy model, whose responses are one token long.
    ///
    /// Supervised fine-tuning and policy gradients on a learned reward lower the rejected likelihood too, through the
    /// normaliser: by 8 to 36 nats in 500 epochs (64 seeds in each of four scenarios), vanilla DPO by 96 to 175; 60 is the
    /// geometric middle. On the reward route the gradients' ratio grows by 7 to 9 nats on average, under DPO by more than
    /// 115; 30 is the geometric middle. A fall of the chosen likelihood by 2 %, and a hundredth of the mass, are above the
    /// noise of mini-batches. `docs/results/toy.md` has the distributions. For log-likelihoods summed over long responses
    /// scale the first two.
    fn default() -> Self {
        Self {
            drop: 60.0,
            gradient_ratio: 30.0,
            decline: 0.02,
            dispersion: 0.01,
            looks: 3,
        }
    }
}

impl Thresholds {
    /// Those of real models, on log-likelihoods per token of chosen and rejected answers and on next-token probability.
    ///
    /// Calibrated on seeds that no result is reported from: 100 to 101 on arithmetic, 100 to 101 on verse, a model of 0.3
    /// million parameters, 96 updates, with supervised fine-tuning on the chosen answers as the control. Per token, so that
    /// they do not depend on the length of answers.
    ///
    /// - `drop`: fine-tuning lowers the rejected answers too, through the normaliser: by 0.03 to 0.45 nats per token in 7
    ///   runs at three learning rates. DPO that gained gold score did so by 0.35 to 0.39, DPO at five times the rate, which
    ///   gained none on average, by 2.8 to 3.0; on verse DPO by 0.54 and 1.1. Half a nat is above every control: an answer of 30 tokens has lost a factor of e^15.
    /// - `decline`: below its peak the chosen log-likelihood was by 0.000 in every control, by 0.001 in DPO that gained, by
    ///   0.015 to 0.11 in DPO that did not. Two hundredths: a factor of 0.55 over 30 tokens.
    /// - `dispersion`: the mass outside rose by at most 0.0003 in the controls and 0.001 in DPO that gained, by 0.019 and
    ///   0.058 at five times the rate. A hundredth, as in the toy model.
    /// - `looks`: real runs are looked at a few times only.
    /// - `gradient_ratio` is not used: at the level of answers it is the likelihood ratio, which `drop` reads already.
    pub const fn per_token() -> Self {
        Self {
            drop: 0.5,
            gradient_ratio: 0.0,
            decline: 0.02,
            dispersion: 0.01,
            looks: 2,
        }
    }
}

/// Whether and how a property shows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Finding {
    /// The step from which it holds to the end, if it does.
    pub onset: Option<u64>,
    /// What the threshold is on, at the end; in the unit of the threshold.
    pub strength: f64,
}

/// The three properties in one run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Detection {
    /// Drastic drop of the rejected likelihood.
    pub drop: Finding,
    /// The chosen likelihood falls after its peak, while the gradient is all on the rejected side.
    pub degradation: Finding,
    /// Probability moves outside the pairs.
    pub dispersion: Finding,
}

impl Detection {
    /// Whether the run has the paper's syndrome: the drop, and with it degradation or dispersion.
    ///
    /// The drop alone is what every objective over pairs aims at; mass that moves to responses which are in no pair, alone,
    /// may be what a reward asks for.
    pub fn flagged(&self) -> bool {
        self.drop.onset.is_some()
            && (self.degradation.onset.is_some() || self.dispersion.onset.is_some())
    }

    /// The properties by name.
    pub fn properties(&self) -> [(Property, Finding); 3] {
        [
            (Property::Drop, self.drop),
            (Property::Degradation, self.degradation),
            (Property::Dispersion, self.dispersion),
        ]
    }

    /// What to try against the properties that set in.
    pub fn remedies(&self) -> Vec<&'static str> {
        let found = self.properties().into_iter();
        found
            .filter(|(_, finding)| finding.onset.is_some())
            .map(|(property, _)| property.remedy())
            .collect()
    }

    /// The verdict, the onsets and the remedies, in Markdown.
    pub fn verdict(&self) -> String {
        let headline = if self.flagged() {
            "**Flagged**: the rejected likelihood drops, and with it the chosen likelihood falls or probability leaves the pairs."
        } else if self.drop.onset.is_some() {
            "**Not flagged**: the rejected likelihood drops, the chosen likelihood and the probability inside the pairs hold."
        } else {
            "**Not flagged**: no drastic drop of the rejected likelihood."
        };
        let rows: String = self
            .properties()
            .iter()
            .map(|(property, finding)| {
                let onset = finding
                    .onset
                    .map_or_else(|| "never".to_owned(), |step| format!("step {step}"));
                format!(
                    "| {} | {onset} | {:.3} {} |\n",
                    property.name(),
                    finding.strength,
                    property.unit()
                )
            })
            .collect();
        let remedies = self.remedies();
        let advice = if self.flagged() {
            format!("\nTry: {}.\n", remedies.join("; "))
        } else {
            String::new()
        };
        format!(
            "{headline}\n\n| property | onset | strength at the end |\n|---|---|---|\n{rows}{advice}"
        )
    }
}

/// One of the paper's three properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    /// Drastic drop of the rejected likelihood.
    Drop,
    /// Degradation into response suppression.
    Degradation,
    /// Dispersion over unseen responses.
    Dispersion,
}

impl Property {
    /// The three in the paper's order.
    pub const ALL: [Self; 3] = [Self::Drop, Self::Degradation, Self::Dispersion];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Degradation => "degradation",
            Self::Dispersion => "dispersion",
        }
    }

    /// Unit of its strength in real models.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Drop | Self::Degradation => "nats per token",
            Self::Dispersion => "of next-token probability",
        }
    }

    /// What the paper and its successors do against it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Drop => {
                "Flex-DPO with a smaller `beta_rejected` (arXiv:2406.07327, section 3.3), which slows the fall of the rejected side"
            }
            Self::Degradation => {
                "SFT-DPO (a supervised weight `gamma` on the chosen side) or DPOP (a penalty where the chosen likelihood is below the reference's)"
            }
            Self::Dispersion => {
                "on-policy pairs (`preferences.scenario = \"on-policy\"`, or rounds of `method.iterative-dpo`) and fewer updates"
            }
        }
    }
}

/// Looks for the three properties.
///
/// With `c`, `l` the log-likelihoods of chosen and rejected responses, `o` the mass outside, `g` the log of the gradients'
/// ratio, and index 0 the first step:
///
/// - drop: `(l_0 − l_t) − max(0, c_t − c_0)`; the rejected likelihood falls further than the chosen one rises;
/// - degradation: `max_{s ≤ t} c_s − c_t`, where `g_t − g_0` has grown beyond its threshold (everywhere, if `g` is not known);
/// - dispersion: `o_t − min_{s ≤ t} o_s`.
///
/// A value that is not finite is not above a threshold.
///
/// # Panics
/// If the curves differ in length.
pub fn detect(curves: &Curves<'_>, thresholds: &Thresholds) -> Detection {
    let n = curves.steps.len();
    let ratio = curves.log_gradient_ratio;
    assert!(
        [curves.chosen, curves.rejected, curves.outside]
            .iter()
            .chain(&ratio)
            .all(|curve| curve.len() == n),
        "one value of each curve for each step"
    );
    let changes = |curve: &'_ [f64]| -> Vec<f64> {
        let start = curve.iter().copied().find(|value| value.is_finite());
        curve
            .iter()
            .map(|value| value - start.unwrap_or(f64::NAN))
            .collect()
    };
    let (chosen, rejected) = (changes(curves.chosen), changes(curves.rejected));
    let drop: Vec<f64> = rejected
        .iter()
        .zip(&chosen)
        .map(|(l, c)| -l - c.max(0.0))
        .collect();
    let below_peak = below_extreme(curves.chosen.iter().map(|value| -value));
    let one_sided: Vec<bool> = match ratio.map(changes) {
        Some(ratio) => ratio
            .iter()
            .map(|&growth| growth > thresholds.gradient_ratio)
            .collect(),
        None => vec![true; n],
    };
    let decline: Vec<f64> = below_peak
        .into_iter()
        .zip(one_sided)
        .map(|(decline, counts)| if counts { decline } else { 0.0 })
        .collect();
    let spread = below_extreme(curves.outside.iter().copied());
    let find =
        |values: &[f64], threshold| finding(curves.steps, values, threshold, thresholds.looks);
    Detection {
        drop: find(&drop, thresholds.drop),
        degradation: find(&decline, thresholds.decline),
        dispersion: find(&spread, thresholds.dispersion),
    }
}

/// How far each value is above the lowest so far.
fn below_extreme(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut lowest = f64::INFINITY;
    values
        .map(|value| {
            lowest = lowest.min(value);
            value - lowest
        })
        .collect()
}

/// The property holds from its onset to the end, or not at all: a dent that heals is none.
fn finding(steps: &[u64], values: &[f64], threshold: f64, looks: usize) -> Finding {
    let holding = values
        .iter()
        .rev()
        .take_while(|&&value| value > threshold)
        .count();
    let lasts = holding >= looks.max(1);
    let last = values.iter().rev().copied().find(|value| value.is_finite());
    Finding {
        onset: lasts.then(|| steps[values.len() - holding]),
        strength: last.unwrap_or(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [u64; 6] = [0, 10, 20, 30, 40, 50];

    fn run(
        chosen: [f64; 6],
        rejected: [f64; 6],
        outside: [f64; 6],
        ratio: Option<[f64; 6]>,
    ) -> Detection {
        let curves = Curves {
            steps: &STEPS,
            chosen: &chosen,
            rejected: &rejected,
            outside: &outside,
            log_gradient_ratio: ratio.as_ref().map(|ratio| ratio.as_slice()),
        };
        detect(&curves, &Thresholds::default())
    }

    #[test]
    fn a_run_with_all_three_is_flagged_with_the_steps_at_which_they_set_in() {
        let found = run(
            [-2.0, -1.0, -0.5, -0.6, -0.9, -1.5],
            [-2.0, -30.0, -80.0, -100.0, -120.0, -130.0],
            [0.4, 0.3, 0.2, 0.3, 0.5, 0.6],
            Some([0.0, 20.0, 60.0, 90.0, 110.0, 120.0]),
        );
        assert_eq!(found.drop.onset, Some(20));
        assert_eq!(found.degradation.onset, Some(30));
        assert_eq!(found.dispersion.onset, Some(30));
        assert!((found.drop.strength - 127.5).abs() < 1e-12);
        assert!((found.degradation.strength - 1.0).abs() < 1e-12);
        assert!((found.dispersion.strength - 0.4).abs() < 1e-12);
        assert!(found.flagged());
    }

    #[test]
    fn a_run_that_converges_has_none_of_them() {
        let found = run(
            [-2.0, -1.0, -0.5, -0.2, -0.1, -0.1],
            [-2.0, -4.0, -8.0, -12.0, -16.0, -20.0],
            [0.4, 0.3, 0.2, 0.1, 0.05, 0.05],
            None,
        );
        assert_eq!(
            [found.drop, found.degradation, found.dispersion].map(|f| f.onset),
            [None; 3]
        );
        assert!(!found.flagged());
    }

    #[test]
    fn a_fall_of_the_chosen_likelihood_needs_a_one_sided_gradient() {
        let chosen = [-2.0, -1.0, -1.5, -1.6, -1.7, -1.8];
        let rejected = [-2.0, -80.0, -80.0, -80.0, -80.0, -80.0];
        let balanced = run(chosen, rejected, [0.1; 6], Some([0.0; 6]));
        assert_eq!(balanced.degradation.onset, None);
        assert!(!balanced.flagged());
        assert_eq!(
            run(chosen, rejected, [0.1; 6], Some([f64::NAN; 6]))
                .degradation
                .onset,
            None
        );
        assert_eq!(
            run(chosen, rejected, [0.1; 6], None).degradation.onset,
            Some(20)
        );
    }

    #[test]
    fn the_verdict_names_onsets_and_remedies() {
        let found = run(
            [-2.0, -1.0, -0.5, -0.6, -0.9, -1.5],
            [-2.0, -30.0, -80.0, -100.0, -120.0, -130.0],
            [0.4; 6],
            Some([0.0, 20.0, 60.0, 90.0, 110.0, 120.0]),
        );
        let verdict = found.verdict();
        for part in [
            "**Flagged**",
            "| drop | step 20 |",
            "| degradation | step 30 |",
            "| dispersion | never |",
            "beta_rejected",
            "DPOP",
        ] {
            assert!(verdict.contains(part), "{part}: {verdict}");
        }
        assert!(!verdict.contains("on-policy"), "{verdict}");
        let nothing = run([-2.0; 6], [-2.0; 6], [0.4; 6], None);
        assert!(nothing.remedies().is_empty());
        assert!(nothing.verdict().starts_with("**Not flagged**"));
    }

    #[test]
    fn a_passing_dent_is_not_an_onset() {
        let found = run(
            [-2.0, -1.0, -1.5, -0.9, -0.8, -0.7],
            [-2.0; 6],
            [0.1; 6],
            None,
        );
        assert_eq!(found.degradation.onset, None);
        assert_eq!(found.degradation.strength, 0.0);
    }

    #[test]
    fn constants_do_not_matter_and_nothing_is_no_finding() {
        let shifted = |by: f64| {
            run(
                [-2.0, -1.0, -1.5, -1.6, -1.7, -1.8].map(|value| value + by),
                [-2.0, -70.0, -80.0, -90.0, -95.0, -99.0].map(|value| value + by),
                [0.1, 0.1, 0.2, 0.3, 0.3, 0.3].map(|value| value + by),
                None,
            )
        };
        let steps =
            |found: Detection| [found.drop, found.degradation, found.dispersion].map(|f| f.onset);
        assert_eq!(steps(shifted(0.0)), steps(shifted(64.0)));
        let none = Curves {
            steps: &[],
            chosen: &[],
            rejected: &[],
            outside: &[],
            log_gradient_ratio: None,
        };
        assert!(!detect(&none, &Thresholds::default()).flagged());
    }
}
