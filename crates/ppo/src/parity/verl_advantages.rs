//! verl's advantage estimators.
//!
//! Where a row has masked positions inside, only its unmasked ones reach our functions, which is what verl's recursions
//! amount to. Its numbers on masked positions (carried on by GAE and ReMax, 0 elsewhere) are not compared.

use preflab_config::GroupAdvantage;
use preflab_training::parity::{Node, Parity, ParityError};

use super::leaf;
use super::verl::VERL;
use super::{EXACT, subject};
use crate::{
    Rows, discounted_returns, gae_rows, gpg_advantages, group_advantages, kept, on_every_token,
    opo_advantages, pass_at_k_advantages, reinforce_plus_plus, reinforce_plus_plus_baseline,
    remax_advantages, rloo_advantages, whiten,
};

/// The rewards a case names in words.
fn rewards(inputs: &Node<'_>, name: Option<Node<'_>>) -> Result<Rows, ParityError> {
    let key = match &name {
        None => "token_level_rewards",
        Some(name) => match name.text()? {
            "masked rewards" => "token_level_rewards",
            "also on masked positions" | "rewards also on masked positions" => {
                "token_level_rewards_with_values_on_masked_positions"
            }
            other => return Err(name.unknown(other)),
        },
    };
    inputs.get(key)?.matrix()
}

/// `compute_gae_advantage_return`.
pub(super) fn gae(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&["gamma", "lam", "rewards", "advantages", "returns"])?;
    let inputs = file.get("adv_inputs")?;
    let counts = leaf::truth(&inputs.get("response_mask")?.matrix()?);
    let rewards = kept(&rewards(&inputs, case.find("rewards")?)?, &counts);
    let values = kept(&inputs.get("values")?.matrix()?, &counts);
    let (gamma, lambda) = (case.get("gamma")?.number()?, case.get("lam")?.number()?);
    let (advantages, returns) = gae_rows(&rewards, &values, gamma, lambda);
    let advantages = whiten(&advantages, preflab_config::Whitening::Centre);
    let mut compare = parity.case(subject("GAE", VERL, EXACT), case);
    compare.matrix(
        "advantages",
        &advantages,
        &kept(&case.get("advantages")?.matrix()?, &counts),
    );
    compare.matrix(
        "returns",
        &returns,
        &kept(&case.get("returns")?.matrix()?, &counts),
    );
    Ok(())
}

/// One of the critic-free estimators.
pub(super) fn advantages(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&[
        "estimator",
        "norm_by_std",
        "gamma",
        "rewards",
        "rows",
        "dtype",
        "advantages",
        "returns",
    ])?;
    let inputs = file.get("adv_inputs")?;
    let all = inputs.get("group_index")?.indices()?;
    let chosen = case
        .find("rows")?
        .map_or_else(|| Ok((0..all.len()).collect()), |rows| rows.indices())?;
    let of = |rows: Rows| -> Rows { chosen.iter().map(|&row| rows[row].clone()).collect() };
    let groups: Vec<usize> = chosen.iter().map(|&row| all[row]).collect();
    let counts = leaf::truth(&of(inputs.get("response_mask")?.matrix()?));
    let lengths: Vec<usize> = counts
        .iter()
        .map(|row| row.iter().filter(|&&counts| counts).count())
        .collect();
    let rewards = of(rewards(&inputs, case.find("rewards")?)?);
    let real = kept(&rewards, &counts);
    let scores: Vec<f64> = rewards.iter().map(|row| row.iter().sum()).collect();
    let normalised = case
        .find("norm_by_std")?
        .map_or(Ok(true), |norm| norm.truth())?;
    let form = if normalised {
        GroupAdvantage::Standardised
    } else {
        GroupAdvantage::Centred
    };
    let gamma = case
        .find("gamma")?
        .map_or(Ok(1.0), |gamma| gamma.number())?;
    let on_tokens = |advantages: Vec<f64>| on_every_token(&advantages, &lengths);

    let estimator = case.get("estimator")?;
    let ours = match estimator.text()? {
        "grpo" | "grpo_vectorized" => on_tokens(group_advantages(&scores, &groups, form)),
        "grpo_passk" => on_tokens(pass_at_k_advantages(&scores, &groups, form)),
        "rloo" => on_tokens(rloo_advantages(&scores, &groups)),
        "rloo_vectorized" => {
            // Alone in its group: 0 here, the score itself in `rloo`.
            let alone =
                |row: usize| groups.iter().filter(|&&group| group == groups[row]).count() == 1;
            let rloo = rloo_advantages(&scores, &groups).into_iter().enumerate();
            on_tokens(
                rloo.map(|(row, advantage)| if alone(row) { 0.0 } else { advantage })
                    .collect(),
            )
        }
        "opo" => on_tokens(opo_advantages(&scores, &lengths, &groups)),
        "gpg" => on_tokens(gpg_advantages(&scores, &groups)),
        "reinforce_plus_plus" => reinforce_plus_plus(&real, gamma),
        "reinforce_plus_plus_baseline" => reinforce_plus_plus_baseline(&scores, &lengths, &groups),
        "remax" => {
            let baselines = inputs.get("remax_baselines")?.vector()?;
            let each = real.iter().zip(&chosen);
            each.map(|(rewards, &row)| remax_advantages(rewards, baselines[row]))
                .collect()
        }
        other => return Err(estimator.unknown(other)),
    };
    // `grpo_vectorized` keeps its statistics in 32-bit floats: 1e-7 of the scores, more of what is left after the mean.
    let tolerance = if case.find("dtype")?.is_some() {
        super::SINGLE
    } else {
        EXACT
    };
    let mut compare = parity.case(subject(estimator.text()?, VERL, tolerance), case);
    compare.matrix(
        "advantages",
        &ours,
        &kept(&case.get("advantages")?.matrix()?, &counts),
    );
    if let Some(theirs) = case.find("returns")? {
        let returns: Rows = match estimator.text()? {
            "reinforce_plus_plus" => real
                .iter()
                .map(|rewards| discounted_returns(rewards, gamma))
                .collect(),
            "remax" => real
                .iter()
                .map(|rewards| discounted_returns(rewards, 1.0))
                .collect(),
            _ => ours,
        };
        compare.matrix("returns", &returns, &kept(&theirs.matrix()?, &counts));
    }
    Ok(())
}
