//! TRL 1.9: the DPO trainer's losses on given log-probabilities.

use burn::tensor::DType;
use preflab_config::{
    Aot, AotUnpaired, ApoDown, ApoZero, Bco, Discopop, Divergence, Dpo, DpoMean, Exo,
    FlipProbability, Hinge, IpoMean, Nca, NonNegative, Objective, Positive,
    PositiveFlipProbability, RewardShift, Robust, Sft, SftAggregation, Sppo, Weighted,
};
use preflab_data::Pair;
use preflab_training::parity::{Comparison, Node, Parity, ParityError};

use super::rows::{
    Extra, Measured, Rows, compare_single, each_side, each_within, gradients_of, mean, measure,
    measure_each, rewards_of, rounding, settle_ties,
};
use super::{EXACT, SINGLE, subject, with_divergence};

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

pub(super) const LOGGED: [&str; 6] = [
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

pub(super) fn per_pair(
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
