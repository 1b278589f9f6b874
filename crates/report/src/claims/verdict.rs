//! The rule by which numbers decide a claim: the one place of it.
//!
//! A claim says that the mean over seeds of an effect is above a stated margin (0 unless said otherwise). With the 95 %
//! interval of the mean, Student's t over the seeds:
//!
//! - **PASS** when the whole interval is above the margin;
//! - **FAIL** when the whole interval is at or below it;
//! - **INCONCLUSIVE** when it has both sides, or there are fewer than two seeds.
//!
//! A claim about several comparisons at once (each arm of a family, each test set) holds if each of them does. Each must
//! then also survive Holm's adjustment of the t tests' p over the family at 5 %; with one comparison this is the same as
//! the interval. The whole passes if all pass, fails if any fails, and is inconclusive otherwise. Where several runs speak
//! to a claim, those with two and more seeds must agree.

use std::fmt;

use preflab_stats::{Correction, Interval, adjust, cohen_dz, mean, t_interval, t_test};
use serde::{Deserialize, Serialize};

/// Coverage of the intervals.
pub const LEVEL: f64 = 0.95;

/// What the numbers say of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// The whole interval is on the claimed side.
    Pass,
    /// The whole interval is on the other side, or at no effect.
    Fail,
    /// The interval has both sides, or there are too few seeds for one.
    Inconclusive,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        })
    }
}

impl Verdict {
    /// What the interval of an effect says of the claim that it is above `margin`. An undefined interval says nothing.
    pub fn above(interval: Interval, margin: f64) -> Self {
        if interval.low > margin {
            Self::Pass
        } else if interval.high <= margin {
            Self::Fail
        } else {
            Self::Inconclusive
        }
    }

    /// All of several must hold. None without any.
    pub fn all(verdicts: impl IntoIterator<Item = Self>) -> Option<Self> {
        verdicts
            .into_iter()
            .reduce(|one, other| match (one, other) {
                (Self::Fail, _) | (_, Self::Fail) => Self::Fail,
                (Self::Inconclusive, _) | (_, Self::Inconclusive) => Self::Inconclusive,
                (Self::Pass, Self::Pass) => Self::Pass,
            })
    }

    /// Several witnesses of one claim must agree. None without any.
    pub fn agreed(verdicts: impl IntoIterator<Item = Self>) -> Option<Self> {
        verdicts.into_iter().reduce(|one, other| {
            if one == other {
                one
            } else {
                Self::Inconclusive
            }
        })
    }
}

/// One comparison behind a claim.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What the effect is: `dpo − flex-dpo, fall of the rejected log-prob`. Claimed to be above the margin.
    pub effect_name: String,
    /// Names of the arms it is read from.
    pub arms: Vec<String>,
    /// Unit of effect, interval and margin.
    pub unit: String,
    /// Mean over seeds.
    pub effect: f64,
    /// 95 % interval of the mean.
    #[serde(with = "interval")]
    pub interval: Interval,
    /// What the effect must exceed.
    pub margin: f64,
    /// Cohen's d_z of effect minus margin: mean over standard deviation.
    #[serde(with = "number")]
    pub effect_size: f64,
    /// Two-sided p of the t test against the margin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// The same, adjusted over the comparisons of the claim in this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjusted_p: Option<f64>,
    /// Seeds with a finite effect.
    pub seeds: usize,
    /// Seeds left out because the effect is not finite.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// What it says.
    pub verdict: Verdict,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// JSON has no NaN: an undefined number is null.
mod number {
    use serde::{Serialize, Serializer};
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }
}

/// An interval as `[low, high]`, or null where it is not defined.
pub(super) mod interval {
    use preflab_stats::Interval;
    use serde::{Serialize, Serializer};
    pub(in crate::claims) fn serialize<S: Serializer>(
        value: &Interval,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let defined = value.low.is_finite() && value.high.is_finite();
        defined
            .then_some([value.low, value.high])
            .serialize(serializer)
    }
}

/// An effect with one value for each seed, before it is judged.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    pub(super) name: String,
    pub(super) arms: Vec<String>,
    pub(super) unit: &'static str,
    pub(super) margin: f64,
    pub(super) values: Vec<f64>,
}

/// Judges the effects of one claim in one run together.
pub(super) fn judge(effects: Vec<Effect>) -> Vec<Comparison> {
    let mut comparisons: Vec<Comparison> = effects.into_iter().map(Comparison::new).collect();
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

impl Comparison {
    fn new(effect: Effect) -> Self {
        let given = effect.values.len();
        let values: Vec<f64> = effect
            .values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        let beyond: Vec<f64> = values.iter().map(|value| value - effect.margin).collect();
        let interval = t_interval(&values, LEVEL).unwrap_or(Interval::UNDEFINED);
        let p = t_test(&beyond).ok().map(|test| test.p.two_sided);
        Self {
            effect_name: effect.name,
            arms: effect.arms,
            unit: effect.unit.to_owned(),
            effect: mean(&values),
            interval,
            margin: effect.margin,
            effect_size: cohen_dz(&beyond),
            // Without any spread around the margin there is no statistic; the interval, a point, has the verdict.
            p: p.filter(|p| p.is_finite()),
            adjusted_p: None,
            seeds: values.len(),
            left_out: given - values.len(),
            verdict: Verdict::above(interval, effect.margin),
        }
    }

    /// Takes a verdict back that does not survive the adjustment.
    pub(super) fn adjust(&mut self, p: f64) {
        self.adjusted_p = Some(p);
        if p > 1.0 - LEVEL {
            self.verdict = Verdict::Inconclusive;
        }
    }

    /// How far the effect is on the claimed side: the least of a family decides it.
    pub(super) fn standing(&self) -> f64 {
        if self.effect_size.is_nan() {
            (self.effect - self.margin).signum() * f64::MAX
        } else {
            self.effect_size
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(values: &[f64], margin: f64) -> Effect {
        Effect {
            name: String::new(),
            arms: Vec::new(),
            unit: "",
            margin,
            values: values.to_vec(),
        }
    }

    fn verdict(values: &[f64], margin: f64) -> Verdict {
        judge(vec![effect(values, margin)])[0].verdict
    }

    #[test]
    fn a_verdict_needs_the_whole_interval() {
        assert_eq!(verdict(&[1.0, 1.1, 0.9], 0.0), Verdict::Pass);
        assert_eq!(verdict(&[-1.0, -1.1, -0.9], 0.0), Verdict::Fail);
        assert_eq!(verdict(&[1.0, -1.1, 0.9], 0.0), Verdict::Inconclusive);
        assert_eq!(verdict(&[1.0], 0.0), Verdict::Inconclusive);
        assert_eq!(verdict(&[], 0.0), Verdict::Inconclusive);
    }

    #[test]
    fn a_margin_moves_the_line() {
        let values = [1.0, 1.1, 0.9];
        assert_eq!(verdict(&values, 0.5), Verdict::Pass);
        assert_eq!(verdict(&values, 1.0), Verdict::Inconclusive);
        assert_eq!(verdict(&values, 1.5), Verdict::Fail);
    }

    #[test]
    fn no_effect_at_all_fails_and_an_effect_without_spread_passes() {
        assert_eq!(verdict(&[0.0; 3], 0.0), Verdict::Fail);
        assert_eq!(verdict(&[0.2; 3], 0.0), Verdict::Pass);
        assert_eq!(verdict(&[0.2; 3], 0.3), Verdict::Fail);
    }

    #[test]
    fn seeds_without_a_finite_effect_are_counted_and_left_out() {
        let judged = judge(vec![effect(&[1.0, f64::NAN, 1.1, f64::INFINITY, 0.9], 0.0)]);
        assert_eq!((judged[0].seeds, judged[0].left_out), (3, 2));
        assert_eq!(judged[0].verdict, Verdict::Pass);
    }

    #[test]
    fn what_passes_alone_may_not_survive_among_many() {
        // p is 0.02 alone; times 8 it is no longer below 0.05.
        let weak = [0.3, 0.9, 0.5, 1.2, 0.4];
        assert_eq!(verdict(&weak, 0.0), Verdict::Pass);
        let judged = judge(vec![effect(&weak, 0.0); 8]);
        assert!(judged[0].adjusted_p.unwrap() > 0.05);
        assert_eq!(judged[0].verdict, Verdict::Inconclusive);
        assert!(judged[0].interval.low > 0.0, "the interval is not adjusted");
    }

    #[test]
    fn all_must_hold_and_witnesses_must_agree() {
        use Verdict::{Fail, Inconclusive, Pass};
        assert_eq!(Verdict::all([Pass, Pass]), Some(Pass));
        assert_eq!(Verdict::all([Pass, Inconclusive]), Some(Inconclusive));
        assert_eq!(Verdict::all([Inconclusive, Fail, Pass]), Some(Fail));
        assert_eq!(Verdict::all([]), None);
        assert_eq!(Verdict::agreed([Fail, Fail]), Some(Fail));
        assert_eq!(Verdict::agreed([Pass, Fail]), Some(Inconclusive));
    }
}
