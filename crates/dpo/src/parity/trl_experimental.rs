//! TRL 1.9: the CPO, ORPO and BCO trainers' losses on given log-probabilities.

use burn::tensor::DType;
use preflab_config::{
    Alphapo, Cdpo, Cpo, Divergence, Finite, Hinge, IpoMean, Link, NonNegative, Objective, Orpo,
    Positive, ReferenceFree, Simpo,
};
use preflab_data::Pair;
use preflab_training::parity::{Node, Parity, ParityError};

use super::rows::{
    Extra, Measured, Rows, compare_single, constant, each, each_side, leaf, mean, measure,
    measure_each, numbers, sides,
};
use super::trl::{LOGGED, logged, number_or, per_pair, ranged};
use super::{EXACT, SINGLE, subject};
use crate::objectives::bco::{RunningMean, bco_examples};
use crate::objectives::{alphapo, orpo as odds};

/// `cpo`: `CPOTrainer.cpo_loss`, SimPO and AlphaPO among its loss types, without the likelihood term.
pub(super) fn cpo(table: &mut Parity, section: &Node<'_>, rows: &Rows) -> Result<(), ParityError> {
    for case in section.items()? {
        case.only(&[
            "loss_type",
            "beta",
            "label_smoothing",
            "simpo_gamma",
            "alphapo_alpha",
            "uses_average_logps",
            "dtype",
            "per_pair",
        ])?;
        let loss_type = case.get("loss_type")?.text()?;
        let beta: Positive = ranged(&case, case.get("beta")?.number()?)?;
        let alpha = number_or(&case, "alphapo_alpha", 0.0)?;
        let smoothing = number_or(&case, "label_smoothing", 0.0)?;
        let link = Link::Logistic {
            label_smoothing: ranged(&case, smoothing)?,
        };
        // shaped rewards are the alpha divergence's scores up to a constant, with 1 − α
        let shape = Divergence::Alpha(Finite::of(1.0 - alpha));
        let free = |objective| {
            Objective::ReferenceFree(ReferenceFree {
                objective: Box::new(objective),
            })
        };
        let contrast = |link| {
            Objective::Cpo(Cpo {
                beta,
                nll_weight: NonNegative::of(0.0),
                link,
            })
        };
        let objective = match (loss_type, alpha == 0.0) {
            ("sigmoid", true) => contrast(link),
            ("sigmoid", false) => free(Objective::Cdpo(Cdpo {
                beta,
                label_smoothing: ranged(&case, smoothing)?,
                divergence: shape,
            })),
            ("hinge", true) => contrast(Link::Hinge),
            ("hinge", false) => free(Objective::Hinge(Hinge {
                beta,
                divergence: shape,
            })),
            ("ipo", _) => free(Objective::IpoMean(IpoMean {
                eta: beta,
                divergence: shape,
            })),
            ("simpo", plain) => {
                let gamma: NonNegative = ranged(&case, case.get("simpo_gamma")?.number()?)?;
                if plain {
                    Objective::Simpo(Simpo { beta, gamma, link })
                } else {
                    Objective::Alphapo(Alphapo {
                        beta,
                        gamma,
                        alpha: ranged(&case, alpha)?,
                        link,
                    })
                }
            }
            (other, _) => return Err(case.unknown(other)),
        };
        let averaged = case.get("uses_average_logps")?.truth()?;
        let given = if averaged {
            rows.averaged()
        } else {
            rows.clone()
        };
        let figures = case.get("per_pair")?;
        let name = match (loss_type, alpha == 0.0) {
            ("simpo", true) => "simpo".to_owned(),
            ("simpo", false) => "alphapo".to_owned(),
            (other, true) => format!("cpo {other}"),
            (other, false) => format!("cpo {other}, alpha"),
        };
        let whole = |rows: &Rows, dtype| {
            let mut measured = measure_each(|_| objective.clone(), rows, Extra::default(), dtype);
            // TRL's rewards are the (shaped) log-probability times beta, whatever the loss type
            measured.rewards = rows.policy.as_ref().map(|side| {
                let shaped = alphapo::shaped(constant(side, dtype), alpha);
                numbers(shaped * beta.get())
            });
            measured
        };
        let mut row = table.case(subject(&name, "TRL 1.9", EXACT), &case);
        let ours = whole(&given, DType::F64);
        per_pair(&mut row, &figures, &ours, &ours.zeroed())?;
        compare_single(table, &case, &name, whole, &given);
    }
    Ok(())
}

/// `orpo`: `ORPOTrainer.odds_ratio_loss`, given the likelihood term.
pub(super) fn orpo(table: &mut Parity, section: &Node<'_>, rows: &Rows) -> Result<(), ParityError> {
    let given = rows.averaged();
    for case in section.items()? {
        case.only(&[
            "beta",
            "dtype",
            "or_term_per_pair",
            "nll_loss_in",
            "total_loss",
            "grad_total_policy_chosen_avg_logps",
            "grad_total_policy_rejected_avg_logps",
            "metrics",
        ])?;
        let lambda = case.get("beta")?.number()?;
        let objective = Objective::Orpo(Orpo {
            lambda: ranged(&case, lambda)?,
            nll_weight: NonNegative::of(0.0),
        });
        let whole = |rows: &Rows, dtype| measure(&objective, rows, Extra::default(), dtype);
        let ours = whole(&given, DType::F64);
        // TRL casts to f32
        let mut row = table.case(subject("orpo", "TRL 1.9", SINGLE), &case);
        let terms: Vec<f64> = case
            .get("or_term_per_pair")?
            .vector()?
            .iter()
            .map(|term| -term)
            .collect();
        each(&mut row, "or_term_per_pair", &ours.loss, &terms);
        let nll = case.get("nll_loss_in")?.number()?;
        let total = case.get("total_loss")?.number()?;
        row.number("total_loss", nll + ours.mean_loss(), total);
        let gradients = sides(&case, |side| format!("grad_total_policy_{side}_avg_logps"))?;
        each_side(&mut row, "gradient", &ours.mean_gradient(), &gradients);
        let metrics = case.get("metrics")?;
        metrics.only(&[
            LOGGED[0],
            LOGGED[1],
            LOGGED[2],
            LOGGED[3],
            LOGGED[4],
            LOGGED[5],
            "logits/chosen",
            "logits/rejected",
            "nll_loss",
            "log_odds_ratio",
            "log_odds_chosen",
        ])?;
        logged(&mut row, &metrics, &ours.rewards, &given.policy)?;
        let margin =
            odds::log_odds_margin(&given.policy.as_ref().map(|side| constant(side, DType::F64)));
        for (key, ours) in [
            ("nll_loss", nll),
            ("log_odds_ratio", -ours.mean_loss() / lambda),
            ("log_odds_chosen", mean(&numbers(margin))),
            // the logits of the stand-in model
            ("logits/chosen", 0.0),
            ("logits/rejected", 0.0),
        ] {
            row.number(key, ours, metrics.get(key)?.number()?);
        }
        compare_single(table, &case, "orpo", whole, &given);
    }
    Ok(())
}

/// `bco`: `BCOTrainer.bco_loss` over several updates of its running mean.
pub(super) fn bco(table: &mut Parity, section: &Node<'_>, rows: &Rows) -> Result<(), ParityError> {
    for case in section.items()? {
        case.only(&["beta", "steps"])?;
        let beta = case.get("beta")?.number()?;
        let mut running = RunningMean::default();
        for step in case.get("steps")?.items()? {
            step.only(&[
                "policy_shift",
                "losses",
                "delta",
                "running",
                "mean_loss",
                "grad_c",
                "grad_r",
            ])?;
            let shifts = step.get("policy_shift")?.vector()?;
            let [chosen, rejected] = shifts[..] else {
                return Err(step.unusable("two policy shifts expected"));
            };
            let policy = Pair { chosen, rejected }
                .zip(rows.policy.as_ref())
                .map(|(shift, side)| side.iter().map(|x| x + shift).collect::<Vec<_>>());
            bco_step(
                table,
                &step,
                &Rows {
                    policy,
                    ..rows.clone()
                },
                beta,
                &mut running,
            )?;
        }
    }
    Ok(())
}

fn bco_step(
    table: &mut Parity,
    step: &Node<'_>,
    rows: &Rows,
    beta: f64,
    running: &mut RunningMean,
) -> Result<(), ParityError> {
    let ratios = |rows: &Rows| {
        rows.policy
            .as_ref()
            .zip(rows.reference.as_ref())
            .map(|(p, r)| p.iter().zip(r).map(|(p, r)| p - r).collect::<Vec<f64>>())
    };
    let given = ratios(rows);
    let rewards: Vec<f64> = [given.chosen.as_slice(), &given.rejected]
        .concat()
        .iter()
        .map(|r| r * beta)
        .collect();
    running.update(&rewards);
    let shift = running.mean;
    let whole = |rows: &Rows, dtype| {
        let sides = ratios(rows).map(|side| leaf(&side, dtype));
        let losses = bco_examples(&sides, constant(&[shift], dtype), beta);
        let gradients = (losses.chosen.clone().sum() + losses.rejected.clone().sum()).backward();
        let examples = [numbers(losses.chosen), numbers(losses.rejected)].concat();
        Measured {
            loss: examples,
            gradient: sides
                .map(|side| numbers(side.grad(&gradients).expect("both sides are in the loss"))),
            rewards: Pair::default(),
        }
    };
    let ours = whole(rows, DType::F64);
    let mut row = table.case(subject("bco", "TRL 1.9", EXACT), step);
    each(
        &mut row,
        "losses",
        &ours.loss,
        &step.get("losses")?.vector()?,
    );
    row.number(
        "mean_loss",
        ours.mean_loss(),
        step.get("mean_loss")?.number()?,
    );
    row.number("delta", shift, step.get("delta")?.number()?);
    let moments = step.get("running")?;
    // the spread of the rewards is kept by TRL, but no loss reads it
    moments.only(&["mean", "std", "var", "count"])?;
    row.number("running mean", shift, moments.get("mean")?.number()?);
    row.number(
        "count",
        running.count as f64,
        moments.get("count")?.number()?,
    );
    let gradients = Pair {
        chosen: step.get("grad_c")?.vector()?,
        rejected: step.get("grad_r")?.vector()?,
    };
    each_side(&mut row, "gradient", &ours.mean_gradient(), &gradients);
    compare_single(table, step, "bco", whole, rows);
    Ok(())
}
