//! The reference implementations of DPO and SimPO, and what OpenRLHF and oat made of them.

use burn::tensor::DType;
use preflab_config::{
    Cdpo, Divergence, Dpo, Ipo, Link, NonNegative, Objective, Positive, ReferenceFree, Simpo,
};
use preflab_training::parity::{Node, Parity, ParityError};

use super::rows::{
    Extra, Measured, Rows, compare_single, each, each_side, gradients_of, measure, rewards_of,
};
use super::trl::{number_or, ranged};
use super::{EXACT, subject};

const FIGURES: [&str; 7] = [
    "settings",
    "logps",
    "loss",
    "grad_policy_chosen_logps",
    "grad_policy_rejected_logps",
    "chosen_rewards",
    "rejected_rewards",
];

/// The log-probabilities that a case was given.
fn given(case: &Node<'_>, rows: &Rows) -> Result<Rows, ParityError> {
    match case.get("logps")?.text()? {
        "sum" => Ok(rows.clone()),
        "mean" => Ok(rows.averaged()),
        other => Err(case.unknown(other)),
    }
}

fn compare(
    table: &mut Parity,
    case: &Node<'_>,
    [name, source]: [&str; 2],
    rows: &Rows,
    at: impl Fn(&Rows, DType) -> Measured,
) -> Result<(), ParityError> {
    let ours = at(rows, DType::F64);
    let mut row = table.case(subject(name, source, EXACT), case);
    each(&mut row, "loss", &ours.loss, &case.get("loss")?.vector()?);
    each_side(&mut row, "gradient", &ours.gradient, &gradients_of(case)?);
    if case.find("chosen_rewards")?.is_some() {
        each_side(&mut row, "rewards", &ours.rewards, &rewards_of(case)?);
    }
    compare_single(table, case, name, at, rows);
    Ok(())
}

/// `dpo_original` (`preference_loss`) and `openrlhf_dpo` (`DPOLoss`): DPO, conservative DPO and IPO on given sums.
pub(super) fn dpo(
    table: &mut Parity,
    section: &Node<'_>,
    rows: &Rows,
    source: &str,
) -> Result<(), ParityError> {
    for case in section.items()? {
        case.only(&FIGURES)?;
        let settings = case.get("settings")?;
        settings.only(&["beta", "label_smoothing", "ipo", "reference_free"])?;
        let beta: Positive = ranged(&settings, settings.get("beta")?.number()?)?;
        let smoothing = number_or(&settings, "label_smoothing", 0.0)?;
        let flag = |key: &str| settings.find(key)?.map_or(Ok(false), |node| node.truth());
        let divergence = Divergence::ReverseKl;
        // the original's IPO does not read `label_smoothing`
        let (name, objective) = if flag("ipo")? {
            let ipo = Ipo {
                eta: beta,
                divergence,
            };
            ("ipo, summed", Objective::Ipo(ipo))
        } else if smoothing == 0.0 {
            ("dpo", Objective::Dpo(Dpo { beta, divergence }))
        } else {
            let cdpo = Cdpo {
                beta,
                label_smoothing: ranged(&settings, smoothing)?,
                divergence,
            };
            ("cdpo", Objective::Cdpo(cdpo))
        };
        let free = flag("reference_free")?;
        let at = |rows: &Rows, dtype| {
            let anchored = measure(&objective, rows, Extra::default(), dtype);
            if !free {
                return anchored;
            }
            let outer = Objective::ReferenceFree(ReferenceFree {
                objective: Box::new(objective.clone()),
            });
            // rewards subtract the reference even where the loss does not
            Measured {
                rewards: anchored.rewards,
                ..measure(&outer, rows, Extra::default(), dtype)
            }
        };
        let name = if free {
            format!("{name}, reference-free")
        } else {
            name.to_owned()
        };
        compare(table, &case, [&name, source], &given(&case, rows)?, at)?;
    }
    Ok(())
}

/// `simpo` (`SimPOTrainer.simpo_loss`) and `oat_simpo` (`SimPOLoss`) on given means.
pub(super) fn simpo(
    table: &mut Parity,
    section: &Node<'_>,
    rows: &Rows,
    source: &str,
) -> Result<(), ParityError> {
    for case in section.items()? {
        case.only(&FIGURES)?;
        let settings = case.get("settings")?;
        settings.only(&["beta", "gamma_beta_ratio", "loss_type", "label_smoothing"])?;
        let objective = simpo_objective(&settings)?;
        let rows = given(&case, rows)?;
        let at = |rows: &Rows, dtype| measure(&objective, rows, Extra::default(), dtype);
        compare(table, &case, ["simpo", source], &rows, at)?;
    }
    Ok(())
}

pub(super) fn simpo_objective(settings: &Node<'_>) -> Result<Objective, ParityError> {
    let beta = settings.get("beta")?.number()?;
    let ratio = settings.get("gamma_beta_ratio")?.number()?;
    let kind = match settings.find("loss_type")? {
        Some(kind) => kind.text()?,
        None => "sigmoid",
    };
    let link = match kind {
        "sigmoid" => Link::Logistic {
            label_smoothing: ranged(settings, number_or(settings, "label_smoothing", 0.0)?)?,
        },
        // the authors' hinge does not read `label_smoothing`
        "hinge" => Link::Hinge,
        other => return Err(settings.unknown(other)),
    };
    Ok(Objective::Simpo(Simpo {
        beta: ranged::<Positive>(settings, beta)?,
        gamma: ranged::<NonNegative>(settings, ratio * beta)?,
        link,
    }))
}
