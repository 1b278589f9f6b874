//! The claims about training: which arms a run compares, and by which figures.

use preflab_config::{Divergence, Objective, Scenario};
use preflab_experiment::records::ArmOrigin;
use preflab_stats::{Goal, interior_optimum};

use super::run::{Arm, Run, paired, values};
use super::verdict::{Comparison, Effect, LEVEL, Verdict, judge};

const CHOSEN_CHANGE: &str = "dynamics/logps_change/chosen";
const REJECTED_CHANGE: &str = "dynamics/logps_change/rejected";
const MASS_OUTSIDE: &str = "dynamics/mass_outside";
const GRADIENT_RATIO: &str = "dynamics/log_gradient/ratio";
const GOLD: &str = "task/gold";
const SHIFTED_GOLD: &str = "ood/gold";
const FLUCTUATION: &str = "accuracy/fluctuation";
const GAP: &str = "accuracy/gap";
const GAP_FIRST_PASS: &str = "accuracy/gap_first_pass";
const GAP_SECOND_PASS: &str = "accuracy/gap_second_pass";
const SECOND_PASS_CHANGE: &str = "accuracy/second_pass_change";

const PER_TOKEN: &str = "nats per token";

/// What makes a drop drastic: every rejected token a tenth less likely, beyond what the chosen ones gain.
const DRASTIC: f64 = 0.1;

/// A decline of the chosen answers that counts: 1 % of each token's probability.
const DECLINE: f64 = 0.01;

/// A move of probability that counts, as a share of all.
const MOVED: f64 = 0.01;

/// The arms of the file that train on pairs made before.
fn offline(run: &Run) -> impl Iterator<Item = &Arm> {
    trained_by(run, "dpo")
}

fn trained_by<'a>(run: &'a Run, method: &'static str) -> impl Iterator<Item = &'a Arm> {
    let arms = run.arms.iter();
    arms.filter(move |arm| arm.origin == ArmOrigin::File && arm.method == method)
}

/// DPO as published.
fn is_plain(arm: &Arm) -> bool {
    matches!(&arm.objective, Some(Objective::Dpo(dpo)) if dpo.divergence == Divergence::ReverseKl)
}

/// A loss over pairs that is not DPO's.
fn is_variant(arm: &Arm) -> bool {
    match &arm.objective {
        Some(Objective::Dpo(_) | Objective::Sft(_)) | None => false,
        Some(_) => true,
    }
}

fn plain(run: &Run) -> impl Iterator<Item = &Arm> {
    offline(run).filter(|arm| is_plain(arm))
}

fn effect(
    name: String,
    arms: &[&Arm],
    unit: &'static str,
    margin: f64,
    values: Vec<f64>,
) -> Effect {
    Effect {
        name,
        arms: arms.iter().map(|arm| arm.name.clone()).collect(),
        unit,
        margin,
        values,
    }
}

/// Leaves out what has no seed, and judges the rest together.
fn judged(effects: impl IntoIterator<Item = Effect>) -> Vec<Comparison> {
    judge(
        effects
            .into_iter()
            .filter(|effect| !effect.values.is_empty())
            .collect(),
    )
}

/// `upper − lower` of a final figure, claimed to be above 0.
fn above(run: &Run, upper: &Arm, lower: &Arm, tag: &str, unit: &'static str) -> Effect {
    effect(
        format!("{} − {}, {tag}", upper.name, lower.name),
        &[upper, lower],
        unit,
        0.0,
        paired(&run.last(upper, tag), &run.last(lower, tag)),
    )
}

pub(super) fn drop(run: &Run) -> Vec<Comparison> {
    judged(plain(run).map(|arm| {
        let chosen = run.last(arm, CHOSEN_CHANGE);
        let gained: Vec<(u64, f64)> = chosen
            .iter()
            .map(|&(seed, change)| (seed, change.max(0.0)))
            .collect();
        let fall: Vec<(u64, f64)> = run
            .last(arm, REJECTED_CHANGE)
            .iter()
            .map(|&(seed, change)| (seed, -change))
            .collect();
        effect(
            format!("{}: fall of rejected minus rise of chosen", arm.name),
            &[arm],
            PER_TOKEN,
            DRASTIC,
            paired(&fall, &gained),
        )
    }))
}

pub(super) fn degradation(run: &Run) -> Vec<Comparison> {
    judged(plain(run).map(|arm| {
        let changes = run.last(arm, CHOSEN_CHANGE);
        effect(
            format!("{}: fall of chosen, start to end", arm.name),
            &[arm],
            PER_TOKEN,
            DECLINE,
            changes.iter().map(|(_, change)| -change).collect(),
        )
    }))
}

pub(super) fn dispersion(run: &Run) -> Vec<Comparison> {
    judged(plain(run).map(|arm| {
        effect(
            format!("{}: rise of {MASS_OUTSIDE}", arm.name),
            &[arm],
            "fraction",
            MOVED,
            values(&run.last(arm, MASS_OUTSIDE)),
        )
    }))
}

pub(super) fn gradients(run: &Run) -> Vec<Comparison> {
    judged(plain(run).map(|arm| {
        effect(
            format!(
                "{}: growth of {GRADIENT_RATIO}, first to last tenth",
                arm.name
            ),
            &[arm],
            "nats",
            0.0,
            values(&run.growth(arm, GRADIENT_RATIO)),
        )
    }))
}

/// Pairs of arms under one objective: on-policy pairs, and pairs of another scenario.
fn scenarios(run: &Run) -> Vec<(&Arm, &Arm)> {
    let on = |arm: &&Arm| arm.scenario() == Scenario::OnPolicy;
    plain(run)
        .filter(on)
        .flat_map(|first| {
            plain(run)
                .filter(move |other| !on(other) && first.alike_but_scenario(other))
                .map(move |other| (first, other))
        })
        .collect()
}

pub(super) fn on_policy_best(run: &Run) -> Vec<Comparison> {
    judged(scenarios(run).into_iter().flat_map(|(on, other)| {
        [GOLD, SHIFTED_GOLD].map(|tag| above(run, on, other, tag, "score"))
    }))
}

pub(super) fn on_policy_slowest(run: &Run) -> Vec<Comparison> {
    judged(scenarios(run).into_iter().flat_map(|(on, other)| {
        [CHOSEN_CHANGE, REJECTED_CHANGE].map(|tag| above(run, on, other, tag, PER_TOKEN))
    }))
}

/// The falls of both sides under DPO minus those under its softer relative of equal beta.
fn milder(run: &Run, softer: impl Fn(&Objective, f64) -> bool) -> Vec<Comparison> {
    let mut effects = Vec::new();
    for dpo in plain(run) {
        let Some(Objective::Dpo(settings)) = &dpo.objective else {
            continue;
        };
        let beta = settings.beta.get();
        let relatives = offline(run).filter(|arm| {
            let objective = arm.objective.as_ref();
            objective.is_some_and(|objective| softer(objective, beta))
                && arm.alike_but_objective(dpo)
        });
        for arm in relatives {
            effects.extend(
                [CHOSEN_CHANGE, REJECTED_CHANGE].map(|tag| above(run, arm, dpo, tag, PER_TOKEN)),
            );
        }
    }
    judged(effects)
}

pub(super) fn flex_dpo_milder(run: &Run) -> Vec<Comparison> {
    milder(run, |objective, beta| match objective {
        Objective::FlexDpo(flex) => {
            flex.beta_chosen.get() == beta && flex.beta_rejected.get() < beta
        }
        _ => false,
    })
}

pub(super) fn sft_dpo_milder(run: &Run) -> Vec<Comparison> {
    milder(run, |objective, beta| match objective {
        Objective::SftDpo(sft) => sft.beta.get() == beta && sft.gamma.get() > 0.0,
        _ => false,
    })
}

/// Arms that differ in beta- alone, by beta-, each value once. DPO is Flex-DPO with equal betas.
fn beta_minus(run: &Run) -> Vec<(f64, &Arm)> {
    let betas = |arm: &Arm| match &arm.objective {
        Some(Objective::FlexDpo(flex)) => Some((flex.beta_chosen.get(), flex.beta_rejected.get())),
        Some(Objective::Dpo(dpo)) if is_plain(arm) => Some((dpo.beta.get(), dpo.beta.get())),
        Some(_) | None => None,
    };
    let flexible = run.arms.iter().filter(|arm| arm.method == "dpo");
    let all: Vec<(f64, f64, &Arm)> = flexible
        .filter_map(|arm| {
            let (plus, minus) = betas(arm)?;
            Some((plus, minus, arm))
        })
        .collect();
    let mut best: Vec<(f64, &Arm)> = Vec::new();
    for &(plus, _, first) in &all {
        let mut family: Vec<(f64, &Arm)> = Vec::new();
        for &(other, minus, arm) in &all {
            let known = family.iter().any(|&(known, _)| known == minus);
            if other == plus && !known && arm.alike_but_objective(first) {
                family.push((minus, arm));
            }
        }
        if family.len() > best.len() {
            best = family;
        }
    }
    best.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    best
}

pub(super) fn beta_minus_interior(run: &Run) -> Vec<Comparison> {
    let family = beta_minus(run);
    let scores: Vec<Vec<(u64, f64)>> = family.iter().map(|(_, arm)| run.last(arm, GOLD)).collect();
    let Some(first) = scores.first() else {
        return Vec::new();
    };
    // Seeds that every value has.
    let seeds: Vec<u64> = first
        .iter()
        .map(|&(seed, _)| seed)
        .filter(|seed| {
            scores.iter().all(|scores| {
                scores
                    .iter()
                    .any(|(other, score)| other == seed && score.is_finite())
            })
        })
        .collect();
    let grid: Vec<Vec<f64>> = scores
        .iter()
        .map(|scores| {
            let of = |seed: &u64| scores.iter().find(|(other, _)| other == seed);
            seeds
                .iter()
                .filter_map(of)
                .map(|&(_, score)| score)
                .collect()
        })
        .collect();
    let Ok(optimum) = interior_optimum(&grid, Goal::Largest) else {
        return Vec::new();
    };
    let alpha = 0.5 * (1.0 - LEVEL);
    let verdict = if optimum.p_inside <= alpha {
        Verdict::Pass
    } else if optimum.p_at_an_end <= alpha {
        Verdict::Fail
    } else {
        Verdict::Inconclusive
    };
    let (beta, inside) = family[optimum.inside];
    let ends = [family[0], family[family.len() - 1]];
    let effects = ends.map(|(end, arm)| {
        effect(
            format!("beta- {beta} − beta- {end} (an end), {GOLD}"),
            &[inside, arm],
            "score",
            0.0,
            paired(&run.last(inside, GOLD), &run.last(arm, GOLD)),
        )
    });
    let mut comparisons = judge(effects.into());
    for comparison in &mut comparisons {
        // The best of the inner values was chosen by its score: the test accounts for that, the two intervals do not.
        comparison.adjusted_p = Some((2.0 * optimum.p_inside).min(1.0));
        comparison.verdict = verdict;
    }
    comparisons
}

/// A reward model and DPO on the same pairs.
fn reward_and_dpo(run: &Run) -> Vec<(&Arm, &Arm)> {
    trained_by(run, "reward")
        .flat_map(|reward| {
            plain(run)
                .filter(move |dpo| dpo.alike_but_method(reward))
                .map(move |dpo| (reward, dpo))
        })
        .collect()
}

pub(super) fn reward_steadier(run: &Run) -> Vec<Comparison> {
    let arms = reward_and_dpo(run).into_iter();
    judged(arms.map(|(reward, dpo)| above(run, dpo, reward, FLUCTUATION, "fraction")))
}

pub(super) fn reward_generalises(run: &Run) -> Vec<Comparison> {
    let arms = reward_and_dpo(run).into_iter();
    judged(arms.map(|(reward, dpo)| above(run, dpo, reward, GAP, "fraction")))
}

pub(super) fn dpo_overfits(run: &Run) -> Vec<Comparison> {
    judged(plain(run).flat_map(|dpo| {
        let changes = run.last(dpo, SECOND_PASS_CHANGE);
        [
            effect(
                format!("{}: gap in pass 2 − gap in pass 1", dpo.name),
                &[dpo],
                "fraction",
                0.0,
                paired(
                    &run.last(dpo, GAP_SECOND_PASS),
                    &run.last(dpo, GAP_FIRST_PASS),
                ),
            ),
            effect(
                format!("{}: fall of held-out accuracy, pass 1 to pass 2", dpo.name),
                &[dpo],
                "fraction",
                0.0,
                changes.iter().map(|(_, change)| -change).collect(),
            ),
        ]
    }))
}

/// PPO against the DPO family's arms of a kind, on a task.
fn ppo_above(run: &Run, task: Option<&str>, kind: fn(&Arm) -> bool) -> Vec<Comparison> {
    if task.is_some() && run.task() != task {
        return Vec::new();
    }
    judged(trained_by(run, "ppo").flat_map(|ppo| {
        offline(run)
            .filter(move |dpo| kind(dpo) && dpo.alike_but_method(ppo))
            .map(move |dpo| above(run, ppo, dpo, GOLD, "score"))
    }))
}

pub(super) fn ppo_above_dpo_on_verse(run: &Run) -> Vec<Comparison> {
    ppo_above(run, Some("verse"), is_plain)
}

pub(super) fn ppo_above_dpo_on_slogans(run: &Run) -> Vec<Comparison> {
    ppo_above(run, Some("slogan"), is_plain)
}

pub(super) fn variants_below_ppo(run: &Run) -> Vec<Comparison> {
    ppo_above(run, None, is_variant)
}

pub(super) fn variants_above_dpo(run: &Run) -> Vec<Comparison> {
    judged(plain(run).flat_map(|dpo| {
        offline(run)
            .filter(move |arm| is_variant(arm) && arm.alike_but_objective(dpo))
            .map(move |arm| above(run, arm, dpo, GOLD, "score"))
    }))
}

pub(super) fn iterative_above_one_shot(run: &Run) -> Vec<Comparison> {
    let rounds = |arm: &Arm| match arm.method_setting("rounds") {
        Some(toml::Value::Integer(rounds)) => *rounds,
        Some(_) | None => 4,
    };
    let judge_of = |arm: &Arm| arm.method_setting("labels").cloned();
    let many = trained_by(run, "iterative-dpo").filter(|arm| is_plain(arm) && rounds(arm) > 1);
    judged(many.flat_map(|many| {
        let one_round = trained_by(run, "iterative-dpo").filter(move |arm| {
            is_plain(arm)
                && rounds(arm) == 1
                && judge_of(arm) == judge_of(many)
                && arm.alike_but_method(many)
        });
        let offline = plain(run).filter(move |arm| arm.alike_but_method_and_scenario(many));
        one_round
            .chain(offline)
            .map(move |one| above(run, many, one, GOLD, "score"))
    }))
}
