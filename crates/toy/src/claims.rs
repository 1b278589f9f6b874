//! The paper's claims as checks: PASS, FAIL or INCONCLUSIVE, with effect size and 95 % interval over seeds.

use preflab_report::claims::{LEVEL, Verdict};
use preflab_stats::{Interval, cohen_dz, mean, t_interval};
use serde::Serialize;

use crate::outcome::{Outcome, Run};

/// How far autodiff may be from the closed form, relative.
const TOLERANCE: f64 = 1e-5;

/// One check of one claim.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The claim's letter.
    pub claim: char,
    /// What is claimed.
    pub statement: &'static str,
    /// Where: the scenario, or the arms compared.
    pub place: String,
    /// What the numbers say.
    pub verdict: Verdict,
    /// What the effect is; claimed to be above 0 (within the tolerance, for b and the first of g).
    pub effect_name: &'static str,
    /// Mean over seeds.
    pub effect: f64,
    /// 95 % interval of the mean: Student's t over seeds. Undefined for fewer than two.
    pub interval: Interval,
    /// Cohen's d_z: mean over standard deviation.
    pub effect_size: f64,
    /// Seeds.
    pub seeds: usize,
}

/// All checks that the arms at hand allow.
pub fn check_claims(outcome: &Outcome) -> Vec<Check> {
    let mut checks = Vec::new();
    let scenarios = 0..outcome.scenarios.len();
    let name = |scenario: usize| format!("scenario {}", outcome.scenarios[scenario].number());
    if let Some(dpo) = outcome.arm("dpo") {
        for scenario in scenarios.clone() {
            let each = |value: fn(&Run) -> f64| outcome.each(dpo, scenario, value);
            let place = name(scenario);
            checks.push(above(
                'a',
                "the rejected likelihood falls faster than the chosen one rises",
                &place,
                "fall of log rejected minus rise of log chosen, start to the chosen's peak, nats",
                &each(excess_fall),
            ));
            checks.push(within(
                'b',
                "the gradients' ratio is that of corollary 1, −π−/π+",
                &place,
                "largest relative distance over all epochs",
                &each(ratio_error),
            ));
            checks.push(above(
                'c',
                "the chosen gradient tends to 0",
                &place,
                "fall of log |∂l/∂π+| from start to end, nats",
                &each(|run| run.first().log_gradient_chosen - run.last().log_gradient_chosen),
            ));
            checks.push(above(
                'c',
                "the rejected gradient grows as π− → 0",
                &place,
                "rise of log |∂l/∂π−| from start to end, nats",
                &each(|run| run.last().log_gradient_rejected - run.first().log_gradient_rejected),
            ));
            checks.push(above(
                'd',
                "the chosen likelihood declines in the long run, by more than 1 %",
                &place,
                "fall of log chosen from its peak to the end, minus 0.01, nats",
                &each(|run| run.decline() - 0.01),
            ));
            checks.push(above(
                'd',
                "the decline's mass moves outside the pairs",
                &place,
                "rise of the mass outside from the chosen's peak to the end",
                &each(|run| outside(run, run.curve.len() - 1) - outside(run, run.peak())),
            ));
            checks.push(above(
                'd',
                "mass moves to unseen responses and stays there",
                &place,
                "rise of the unseen mass from start to end",
                &each(|run| run.last().mass_unseen - run.first().mass_unseen),
            ));
            checks.push(above(
                'd',
                "mass moves to unseen responses for a while, by more than 1 %",
                &place,
                "largest unseen mass minus that at the start, minus 0.01",
                &each(|run| unseen_rise(run) - 0.01),
            ));
        }
        milder(outcome, dpo, &mut checks);
        for arm in ["flex-dpo", "sft-dpo"] {
            if let Some(softer) = outcome.arm(arm) {
                for scenario in scenarios.clone() {
                    let place = format!("{arm} against dpo, {}", name(scenario));
                    let paired = |value: fn(&Run) -> f64| {
                        differences(
                            &outcome.each(dpo, scenario, value),
                            &outcome.each(softer, scenario, value),
                        )
                    };
                    checks.push(above(
                        'f',
                        "the regularised objective softens the drop",
                        &place,
                        "dpo's minus the arm's fall of mean log rejected, nats",
                        &paired(rejected_fall),
                    ));
                    checks.push(above(
                        'f',
                        "the regularised objective softens the degradation",
                        &place,
                        "dpo's minus the arm's decline of log chosen, nats",
                        &paired(Run::decline),
                    ));
                    checks.push(above(
                        'f',
                        "the regularised objective keeps more on the chosen response",
                        &place,
                        "the arm's minus dpo's chosen mass at the end",
                        &paired(|run| -run.last().mass_chosen),
                    ));
                }
            }
        }
    }
    reward(outcome, &mut checks);
    checks
}

fn milder(outcome: &Outcome, dpo: usize, checks: &mut Vec<Check>) {
    use preflab_config::ToyScenario;
    let Some(first) = outcome.scenario(ToyScenario::BothOn) else {
        return;
    };
    for scenario in (0..outcome.scenarios.len()).filter(|&scenario| scenario != first) {
        let place = format!(
            "scenario 1 against {}",
            outcome.scenarios[scenario].number()
        );
        let paired = |value: fn(&Run) -> f64| {
            differences(
                &outcome.each(dpo, scenario, value),
                &outcome.each(dpo, first, value),
            )
        };
        checks.push(above(
            'e',
            "scenario 1 has the mildest drop",
            &place,
            "difference of the fall of mean log rejected, nats",
            &paired(rejected_fall),
        ));
        checks.push(above(
            'e',
            "scenario 1 has the mildest degradation",
            &place,
            "difference of the decline of log chosen, nats",
            &paired(Run::decline),
        ));
        checks.push(above(
            'e',
            "scenario 1 ends with the most on the chosen response",
            &place,
            "difference of the chosen mass at the end",
            &paired(|run| -run.last().mass_chosen),
        ));
    }
}

fn reward(outcome: &Outcome, checks: &mut Vec<Check>) {
    let place = "reward model";
    let imbalance: Vec<f64> = outcome
        .rewards
        .iter()
        .map(|run| {
            run.curve
                .iter()
                .map(|look| look.imbalance)
                .fold(0.0, f64::max)
        })
        .collect();
    checks.push(within(
        'g',
        "the reward model's gradients by both scores stay in balance, −1",
        place,
        "largest distance of their ratio from −1 over all epochs",
        &imbalance,
    ));
    let shrinks: Vec<f64> = outcome
        .rewards
        .iter()
        .filter_map(|run| {
            Some(run.curve.first()?.log_gradient_rejected - run.curve.last()?.log_gradient_rejected)
        })
        .collect();
    checks.push(above(
        'g',
        "the rejected side's gradient does not grow but shrinks",
        place,
        "fall of log |∂l/∂r−| from start to end, nats",
        &shrinks,
    ));
    if let (Some(dpo), Some(route)) = (outcome.arm("dpo"), outcome.arm("reward-pg")) {
        for scenario in 0..outcome.scenarios.len() {
            let growth = |run: &Run| {
                let ratio =
                    run.series(|look| look.log_gradient_rejected - look.log_gradient_chosen);
                ratio[ratio.len() - 1] - ratio[0]
            };
            checks.push(above(
                'g',
                "the policy's gradients on the reward route stay nearer to balance than DPO's",
                &format!(
                    "reward-pg against dpo, scenario {}",
                    outcome.scenarios[scenario].number()
                ),
                "difference of the growth of log |∂l/∂π−| − log |∂l/∂π+|, nats",
                &differences(
                    &outcome.each(dpo, scenario, growth),
                    &outcome.each(route, scenario, growth),
                ),
            ));
        }
    }
}

/// Fall of log rejected minus rise of log chosen (means over prompts of likelihoods), from the start to the chosen's peak.
fn excess_fall(run: &Run) -> f64 {
    let (start, peak) = (run.first(), &run.curve[run.peak()]);
    (start.log_rejected_mean - peak.log_rejected_mean)
        - (peak.log_chosen_mean - start.log_chosen_mean)
}

fn ratio_error(run: &Run) -> f64 {
    run.series(|look| look.ratio_error)
        .into_iter()
        .fold(0.0, f64::max)
}

fn rejected_fall(run: &Run) -> f64 {
    run.first().logp_rejected - run.last().logp_rejected
}

fn outside(run: &Run, look: usize) -> f64 {
    run.curve[look].mass_other_chosen + run.curve[look].mass_unseen
}

/// By how much the largest unseen mass is above that of the start.
pub(crate) fn unseen_rise(run: &Run) -> f64 {
    run.series(|look| look.mass_unseen)
        .into_iter()
        .fold(0.0, f64::max)
        - run.first().mass_unseen
}

/// `a − b`, seed by seed.
fn differences(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// A claim that the mean effect is above 0.
fn above(
    claim: char,
    statement: &'static str,
    place: &str,
    effect_name: &'static str,
    effects: &[f64],
) -> Check {
    // Where an epoch has no gradient at all the effect is not defined: such seeds are left out, and the count says so.
    let effects: Vec<f64> = effects
        .iter()
        .copied()
        .filter(|effect| effect.is_finite())
        .collect();
    let interval = t_interval(&effects, LEVEL).unwrap_or(Interval::UNDEFINED);
    let verdict = Verdict::above(interval, 0.0);
    check(
        claim,
        statement,
        place,
        effect_name,
        &effects,
        interval,
        verdict,
    )
}

/// A claim that the largest effect over seeds is within [`TOLERANCE`].
fn within(
    claim: char,
    statement: &'static str,
    place: &str,
    effect_name: &'static str,
    effects: &[f64],
) -> Check {
    let interval = t_interval(effects, LEVEL).unwrap_or(Interval::UNDEFINED);
    let verdict = if effects.iter().all(|effect| effect.abs() <= TOLERANCE) {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    check(
        claim,
        statement,
        place,
        effect_name,
        effects,
        interval,
        verdict,
    )
}

fn check(
    claim: char,
    statement: &'static str,
    place: &str,
    effect_name: &'static str,
    effects: &[f64],
    interval: Interval,
    verdict: Verdict,
) -> Check {
    Check {
        claim,
        statement,
        place: place.to_owned(),
        verdict,
        effect_name,
        effect: mean(effects),
        interval,
        effect_size: cohen_dz(effects),
        seeds: effects.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_the_whole_interval() {
        let verdict = |effects: &[f64]| above('a', "", "", "", effects).verdict;
        assert_eq!(verdict(&[1.0, 1.1, 0.9]), Verdict::Pass);
        assert_eq!(verdict(&[-1.0, -1.1, -0.9]), Verdict::Fail);
        assert_eq!(verdict(&[0.0, 0.0, 0.0]), Verdict::Fail);
        assert_eq!(verdict(&[1.0, -1.1, 0.9]), Verdict::Inconclusive);
        assert_eq!(verdict(&[1.0]), Verdict::Inconclusive);
        assert_eq!(within('b', "", "", "", &[0.0, 2e-5]).verdict, Verdict::Fail);
    }
}
