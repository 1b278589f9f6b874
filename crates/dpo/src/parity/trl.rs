//! TRL 1.9: the DPO, CPO, ORPO and BCO trainers' losses on given log-probabilities.

use burn::tensor::DType;
use preflab_config::{
    Aot, AotUnpaired, ApoDown, ApoZero, Bco, Cdpo, Cpo, Discopop, Divergence, Dpo, DpoMean, Exo,
    Finite, FlipProbability, Hinge, IpoMean, Link, Nca, NonNegative, Objective, Orpo, Positive,
    PositiveFlipProbability, ReferenceFree, RewardShift, Robust, Sft, SftAggregation, Simpo, Sppo,
    Weighted,
};
use preflab_data::Pair;
use preflab_training::parity::{Comparison, Node, Parity, ParityError};

use super::rows::{
    Extra, Measured, Rows, compare_single, constant, each, each_side, each_within, gradients_of,
    mean, measure, measure_each, numbers, rewards_of, rounding, settle_ties,
};
use super::{EXACT, SINGLE, subject, with_divergence};
use crate::objectives::bco::{RunningMean, bco_examples};
use crate::objectives::{alphapo, orpo as odds};

/// A number in the range of a setting, or an error that names the case.
pub(super) fn ranged<T>(case: &Node<'_>, value: f64) -> Result<T, ParityError>
where
    T: TryFrom<f64>,
    T::Error: std::fmt::Display,
{
    T::try_from(value).map_err(|error| case.unusable(error))
}

/// The number under `key`, or `default` where there is none.
pub(super) fn number_or(case: &Node<'_>, key: &str, default: f64) -> Result<f64, ParityError> {
    case.find(key)?.map_or(Ok(default), |node| node.number())
}

/// TRL's `f_divergence_type`.
pub(super) fn divergence(case: &Node<'_>) -> Result<Divergence, ParityError> {
    let Some(kind) = case.find("f_divergence_type")? else {
        return Ok(Divergence::ReverseKl);
    };
    match kind.text()? {
        "reverse_kl" => Ok(Divergence::ReverseKl),
        "forward_kl" => Ok(Divergence::ForwardKl),
        "js_divergence" => Ok(Divergence::JensenShannon),
        "alpha_divergence" => {
            let alpha = case.get("f_alpha")?.number()?;
            Ok(Divergence::Alpha(ranged(case, alpha)?))
        }
        other => Err(kind.unknown(other)),
    }
}

/// The objective that TRL 1.9's DPO trainer calls `loss_type`.
pub(super) fn objective(
    case: &Node<'_>,
    loss_type: &str,
    divergence: Divergence,
) -> Result<Objective, ParityError> {
    let beta: Positive = ranged(case, case.get("beta")?.number()?)?;
    let smoothing = number_or(case, "label_smoothing", 0.0)?;
    let label_smoothing: FlipProbability = ranged(case, smoothing)?;
    Ok(match loss_type {
        // TRL 1.9 does not read `label_smoothing` here
        "sigmoid" => Objective::Dpo(Dpo { beta, divergence }),
        "sigmoid_norm" => Objective::DpoMean(DpoMean {
            beta,
            divergence,
            ..DpoMean::default()
        }),
        "hinge" => Objective::Hinge(Hinge { beta, divergence }),
        "ipo" => Objective::IpoMean(IpoMean {
            eta: beta,
            divergence,
        }),
        "exo_pair" => Objective::Exo(Exo {
            beta,
            label_smoothing: ranged::<PositiveFlipProbability>(case, smoothing)?,
            divergence,
        }),
        "nca_pair" => Objective::Nca(Nca { beta, divergence }),
        "robust" => Objective::Robust(Robust {
            beta,
            label_smoothing,
            divergence,
        }),
        "bco_pair" => Objective::Bco(Bco {
            beta,
            shift: RewardShift::Zero,
            divergence,
        }),
        "sppo_hard" => Objective::Sppo(Sppo { beta, divergence }),
        "aot" => Objective::Aot(Aot {
            beta,
            label_smoothing,
        }),
        "aot_unpaired" => Objective::AotUnpaired(AotUnpaired {
            beta,
            label_smoothing,
        }),
        "apo_zero" => Objective::ApoZero(ApoZero { beta }),
        "apo_down" => Objective::ApoDown(ApoDown { beta, divergence }),
        "discopop" => Objective::Discopop(Discopop {
            beta,
            tau: ranged(case, number_or(case, "discopop_tau", 0.05)?)?,
            divergence,
        }),
        "sft" => Objective::Sft(Sft {
            likelihood: SftAggregation::BatchMean,
        }),
        other => return Err(case.unknown(other)),
    })
}

/// `loss_type` and `loss_weights`, which may be lists.
fn weighted(case: &Node<'_>) -> Result<(String, Objective), ParityError> {
    let divergence = divergence(case)?;
    let kind = case.get("loss_type")?;
    if let Ok(name) = kind.text() {
        return Ok((name.to_owned(), objective(case, name, divergence)?));
    }
    let names: Vec<&str> = kind
        .items()?
        .iter()
        .map(Node::text)
        .collect::<Result<_, _>>()?;
    let weights = match case.find("loss_weights")? {
        Some(weights) => weights.vector()?,
        None => vec![1.0; names.len()],
    };
    if weights.len() != names.len() {
        return Err(case.unusable("as many weights as losses expected"));
    }
    let terms = names
        .iter()
        .zip(&weights)
        .map(|(name, &weight)| {
            Ok(Weighted {
                weight: ranged::<NonNegative>(case, weight)?,
                objective: objective(case, name, divergence)?,
            })
        })
        .collect::<Result<_, ParityError>>()?;
    Ok((names.join(" + "), Objective::Sum(terms)))
}

/// The metrics that TRL logs of rewards and log-probabilities.
pub(super) fn logged(
    row: &mut Comparison<'_>,
    metrics: &Node<'_>,
    rewards: &Pair<Vec<f64>>,
    logps: &Pair<Vec<f64>>,
) -> Result<(), ParityError> {
    let margins: Vec<f64> = rewards
        .chosen
        .iter()
        .zip(&rewards.rejected)
        .map(|(c, r)| c - r)
        .collect();
    let theirs = metrics.get("rewards/accuracies")?.number()?;
    for (key, ours) in [
        ("rewards/chosen", mean(&rewards.chosen)),
        ("rewards/rejected", mean(&rewards.rejected)),
        ("rewards/accuracies", accuracy(&margins, theirs)),
        ("rewards/margins", mean(&margins)),
        ("logps/chosen", mean(&logps.chosen)),
        ("logps/rejected", mean(&logps.rejected)),
    ] {
        row.number(key, ours, metrics.get(key)?.number()?);
    }
    Ok(())
}

/// The share of margins above 0. Margins that are 0 up to rounding are ties, which the summation of tokens in the
/// reference broke one way or the other: as many of them count as wins as bring the share closest to `theirs`.
fn accuracy(margins: &[f64], theirs: f64) -> f64 {
    let ties = margins.iter().filter(|m| m.abs() <= 1e-12).count();
    let wins = margins.iter().filter(|m| **m > 1e-12).count();
    let share = |won: usize| (wins + won) as f64 / margins.len() as f64;
    (0..=ties)
        .map(share)
        .min_by(|a, b| (a - theirs).abs().total_cmp(&(b - theirs).abs()))
        .expect("at least no tie")
}

/// `gradient` with the ties of what the objective sorts settled, see [`settle_ties`].
fn settled(objective: &Objective, rows: &Rows, mut gradient: Pair<Vec<f64>>) -> Pair<Vec<f64>> {
    let difference = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
    match objective {
        Objective::Aot(_) => {
            let margins = difference(&rows.policy.chosen, &rows.policy.rejected);
            settle_ties(&margins, &mut gradient.chosen);
            settle_ties(&margins, &mut gradient.rejected);
        }
        Objective::AotUnpaired(_) => {
            let chosen = difference(&rows.policy.chosen, &rows.reference.chosen);
            let rejected = difference(&rows.policy.rejected, &rows.reference.rejected);
            settle_ties(&chosen, &mut gradient.chosen);
            settle_ties(&rejected, &mut gradient.rejected);
        }
        _ => {}
    }
    gradient
}

const LOGGED: [&str; 6] = [
    "rewards/chosen",
    "rewards/rejected",
    "rewards/accuracies",
    "rewards/margins",
    "logps/chosen",
    "logps/rejected",
];

/// `dpo`: `DPOTrainer._compute_loss`, on single pairs and on the batch.
pub(super) fn dpo(table: &mut Parity, section: &Node<'_>, rows: &Rows) -> Result<(), ParityError> {
    for case in section.items()? {
        case.only(&[
            "loss_type",
            "loss_weights",
            "beta",
            "dtype",
            "label_smoothing",
            "discopop_tau",
            "f_divergence_type",
            "f_alpha",
            "per_pair",
            "batch16",
        ])?;
        let (name, objective) = weighted(&case)?;
        let kind = match case.find("f_divergence_type")? {
            Some(kind) => Some(kind.text()?),
            None => None,
        };
        let name = with_divergence(&name, kind);
        // TRL forms the alpha divergence in f32 only,
        let double = match case.get("dtype")?.text()? {
            "float64" => true,
            "float32" => false,
            other => return Err(case.unknown(other)),
        };
        // and the logarithms of EXO's target
        let tolerance = if double && !name.contains("exo_pair") {
            EXACT
        } else {
            SINGLE
        };
        let whole = |rows: &Rows, dtype| {
            let measured = measure(&objective, rows, Extra::default(), dtype);
            Measured {
                gradient: settled(&objective, rows, measured.gradient),
                ..measured
            }
        };
        let ours = whole(rows, DType::F64);
        let spread = |at: &dyn Fn(&Rows) -> Measured| {
            if double {
                ours.zeroed()
            } else {
                rounding(at, rows)
            }
        };
        let mut row = table.case(subject(&name, "TRL 1.9", tolerance), &case);
        let batch = case.get("batch16")?;
        batch.only(&[
            "mean_loss",
            "grad_policy_chosen_logps",
            "grad_policy_rejected_logps",
            "metrics",
        ])?;
        row.number(
            "mean_loss",
            ours.mean_loss(),
            batch.get("mean_loss")?.number()?,
        );
        let theirs = settled(&objective, rows, gradients_of(&batch)?);
        let within = spread(&|rows| whole(rows, DType::F64)).mean_gradient();
        each_side_within(&mut row, &ours.mean_gradient(), &theirs, &within);
        let metrics = batch.get("metrics")?;
        metrics.only(&LOGGED)?;
        logged(&mut row, &metrics, &ours.rewards, &rows.policy)?;
        if let Some(single) = case.find("per_pair")? {
            let at = |rows: &Rows| {
                measure_each(|_| objective.clone(), rows, Extra::default(), DType::F64)
            };
            per_pair(&mut row, &single, &at(rows), &spread(&at))?;
        }
        compare_single(table, &case, &name, whole, rows);
    }
    Ok(())
}

fn each_side_within(
    row: &mut Comparison<'_>,
    ours: &Pair<Vec<f64>>,
    theirs: &Pair<Vec<f64>>,
    spread: &Pair<Vec<f64>>,
) {
    for (what, ours, theirs, spread) in [
        (
            "gradient chosen",
            &ours.chosen,
            &theirs.chosen,
            &spread.chosen,
        ),
        (
            "gradient rejected",
            &ours.rejected,
            &theirs.rejected,
            &spread.rejected,
        ),
    ] {
        each_within(row, what, ours, theirs, spread);
    }
}

fn per_pair(
    row: &mut Comparison<'_>,
    figures: &Node<'_>,
    ours: &Measured,
    spread: &Measured,
) -> Result<(), ParityError> {
    figures.only(&[
        "loss",
        "grad_policy_chosen_logps",
        "grad_policy_rejected_logps",
        "chosen_rewards",
        "rejected_rewards",
    ])?;
    let losses = figures.get("loss")?.vector()?;
    each_within(row, "loss", &ours.loss, &losses, &spread.loss);
    let gradients = gradients_of(figures)?;
    each_side_within(row, &ours.gradient, &gradients, &spread.gradient);
    if figures.find("chosen_rewards")?.is_some() {
        each_side(row, "rewards", &ours.rewards, &rewards_of(figures)?);
    }
    Ok(())
}

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
                    Objective::Alphapo(preflab_config::Alphapo {
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
        let gradients =
            super::rows::sides(&case, |side| format!("grad_total_policy_{side}_avg_logps"))?;
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
        let sides = ratios(rows).map(|side| super::rows::leaf(&side, dtype));
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
