//! TRL 0.24: `DPOTrainer.dpo_loss`, whose conventions partly differ from 1.9's.

use burn::tensor::DType;
use preflab_config::{
    AotUnpaired, Bco, Cdpo, Divergence, FlipProbability, Objective, Positive, ReferenceFree,
    RewardShift,
};
use preflab_training::parity::{Node, Parity, ParityError};

use super::rows::{Extra, Rows, compare_single, each, each_side, mean, measure, rewards_of, sides};
use super::trl::{number_or, objective as current, ranged};
use super::{EXACT, subject, with_divergence};

/// `trl_0_24_dpo_loss`.
pub(super) fn compare(
    table: &mut Parity,
    section: &Node<'_>,
    rows: &Rows,
) -> Result<(), ParityError> {
    for case in section.items()? {
        case.only(&[
            "loss_type",
            "beta",
            "label_smoothing",
            "f_divergence_type",
            "f_alpha",
            "reference_free",
            "uses_average_logps",
            "loss",
            "grad_sum_policy_chosen_logps",
            "grad_sum_policy_rejected_logps",
            "chosen_rewards",
            "rejected_rewards",
            "max_abs_diff_vs_trl_1.9.2",
        ])?;
        let kind = case.get("f_divergence_type")?.text()?;
        let inner = objective(&case, kind)?;
        let free = case.get("reference_free")?.truth()?;
        let outer = if free {
            Objective::ReferenceFree(ReferenceFree {
                objective: Box::new(inner.clone()),
            })
        } else {
            inner.clone()
        };
        let given = if case.get("uses_average_logps")?.truth()? {
            rows.averaged()
        } else {
            rows.clone()
        };
        let whole = |rows: &Rows, dtype| {
            // 0.24's `bco_pair` shifts by the running mean, which a fresh trainer has seen this batch alone for
            let rewards = measure(&inner, rows, ZERO_SHIFT, dtype).rewards;
            let all = [rewards.chosen.as_slice(), &rewards.rejected].concat();
            let extra = Extra {
                reward_shift: Some(mean(&all)),
            };
            let mut measured = measure(&outer, rows, extra, dtype);
            // rewards subtract the reference even where the loss does not
            measured.rewards = rewards;
            measured
        };
        let name = case.get("loss_type")?.text()?;
        let name = if free {
            format!("{name}, reference-free")
        } else {
            with_divergence(name, Some(kind))
        };
        let ours = whole(&given, DType::F64);
        let mut row = table.case(subject(&name, "TRL 0.24", EXACT), &case);
        each(&mut row, "loss", &ours.loss, &case.get("loss")?.vector()?);
        let gradients = sides(&case, |side| format!("grad_sum_policy_{side}_logps"))?;
        each_side(&mut row, "gradient", &ours.gradient, &gradients);
        each_side(&mut row, "rewards", &ours.rewards, &rewards_of(&case)?);
        compare_single(table, &case, &name, whole, &given);
    }
    Ok(())
}

const ZERO_SHIFT: Extra = Extra {
    reward_shift: Some(0.0),
};

fn objective(case: &Node<'_>, kind: &str) -> Result<Objective, ParityError> {
    let loss_type = case.get("loss_type")?.text()?;
    let beta: Positive = ranged(case, case.get("beta")?.number()?)?;
    let smoothing: FlipProbability = ranged(case, number_or(case, "label_smoothing", 0.0)?)?;
    let divergence = divergence(case, kind, loss_type)?;
    Ok(match loss_type {
        "sigmoid" if smoothing.get() > 0.0 => Objective::Cdpo(Cdpo {
            beta,
            label_smoothing: smoothing,
            divergence,
        }),
        "bco_pair" => Objective::Bco(Bco {
            beta,
            shift: RewardShift::RunningMean,
            divergence,
        }),
        "aot_pair" => Objective::AotUnpaired(AotUnpaired {
            beta,
            label_smoothing: smoothing,
        }),
        other => current(case, other, divergence)?,
    })
}

/// 0.24 has `u^−α` where 1.9 has `u^(α−1)`, applied to the losses of a plain margin only.
fn divergence(case: &Node<'_>, kind: &str, loss_type: &str) -> Result<Divergence, ParityError> {
    let divergence = match kind {
        "reverse_kl" => return Ok(Divergence::ReverseKl),
        "js_divergence" => Divergence::JensenShannon,
        "alpha_divergence" => {
            let alpha = number_or(case, "f_alpha", 1.0)?;
            Divergence::Alpha(ranged(case, 1.0 - alpha)?)
        }
        other => return Err(case.unknown(other)),
    };
    let margin_alone = ["sigmoid", "robust", "exo_pair", "hinge", "ipo"];
    Ok(if margin_alone.contains(&loss_type) {
        divergence
    } else {
        Divergence::ReverseKl
    })
}
