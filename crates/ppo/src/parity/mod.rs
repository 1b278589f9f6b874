//! Comparison of every function here with the figures of reference implementations.
//!
//! - `ppo.json`: TRL's `PPOTrainer` and its helpers, and the `PPOTrainer` of TRL 0.11.
//! - `rl_algos.json`: verl, lm-human-preference-details, summarize_from_feedback_details.
//! - `other_losses.json`: the PPO parts of OpenRLHF.
//! - `trajectories/`: recorded runs of TRL's `PPOTrainer`, replayed.
//!
//! Everything is computed in 64-bit floats, as the references' figures were unless a case says otherwise. Rows hold no
//! padding here, so where a reference leaves arbitrary numbers on masked positions, or averages over them, the comparison
//! is over what counts, and the place says so.

mod details;
mod leaf;
mod openrlhf;
mod trl;
mod trl_classic;
mod trl_run;
mod verl;
mod verl_advantages;
mod verl_policy;

use std::path::Path;

use preflab_training::parity::{GoldenFile, Node, Parity, ParityError, ParityRow, Subject};

/// Relative error that counts as equal where both sides computed in 64-bit floats.
const EXACT: f64 = 1e-6;
/// Where the reference computed in 32-bit floats: a difference of two exponentials loses a digit.
const SINGLE: f64 = 1e-5;

/// Sections of `rl_algos.json` that hold inputs or notes, or that `preflab-reward` compares.
const RL_ALGOS_ELSEWHERE: [&str; 11] = [
    "source",
    "conventions",
    "observations",
    "policy_inputs",
    "adv_inputs",
    "ppo_inputs",
    "kl_weights",
    "rollout_is_weights",
    "entropy_logits",
    "token_level_rewards",
    "lm_human_preference_reward_normalisation",
];

/// Sections of `other_losses.json` that hold inputs or notes, or that `preflab-dpo` and `preflab-reward` compare.
const OTHER_LOSSES_ELSEWHERE: [&str; 17] = [
    "source",
    "inputs",
    "conventions",
    "runtime_observations",
    "max_abs_diff_to_trl_golden",
    "openrlhf_ppo_inputs",
    "dpo_original",
    "simpo",
    "simpo_with_sft",
    "oat_dpo",
    "oat_simpo",
    "halos",
    "halos_kto",
    "openrlhf_dpo",
    "openrlhf_rm",
    "openrlhf_vanilla_kto",
    "openrlhf_kto",
];

/// Compares with every case of the files that `directory` has.
///
/// # Errors
/// If a file cannot be read, or holds a section, kind or key that is not covered.
pub fn run(directory: &Path) -> Result<Vec<ParityRow>, ParityError> {
    let mut parity = Parity::new();
    if let Some(file) = GoldenFile::open_if_present(directory, "ppo.json")? {
        ppo(&file.root(), &mut parity)?;
    }
    if let Some(file) = GoldenFile::open_if_present(directory, "rl_algos.json")? {
        rl_algos(&file.root(), &mut parity)?;
    }
    if let Some(file) = GoldenFile::open_if_present(directory, "other_losses.json")? {
        other_losses(&file.root(), &mut parity)?;
    }
    trl_run::run(directory, &mut parity)?;
    Ok(parity.into_rows())
}

fn ppo(file: &Node<'_>, parity: &mut Parity) -> Result<(), ParityError> {
    for section in file.keys()? {
        let node = file.get(section)?;
        match section {
            "source" => {}
            "cases" => each(&node, |case| trl::update(case, parity))?,
            "helpers" => trl::helpers(&node, parity)?,
            "classic_0_11_4" => each(&node, |case| trl_classic::update(case, parity))?,
            "adaptive_kl_controller" => each(&node, |case| trl::adaptive_kl(case, parity))?,
            other => return Err(file.unknown(other)),
        }
    }
    Ok(())
}

fn rl_algos(file: &Node<'_>, parity: &mut Parity) -> Result<(), ParityError> {
    for section in file.keys()? {
        let node = file.get(section)?;
        match section {
            elsewhere if RL_ALGOS_ELSEWHERE.contains(&elsewhere) => {}
            "verl_gae" => each(&node, |case| verl_advantages::gae(file, case, parity))?,
            "verl_adv" => each(&node, |case| {
                verl_advantages::advantages(file, case, parity)
            })?,
            "verl_kl_penalty" => each(&node, |case| verl::kl_penalty(file, case, parity))?,
            "verl_compute_rewards" => each(&node, |case| verl::rewards(file, case, parity))?,
            "verl_policy" => each(&node, |case| verl_policy::policy(file, case, parity))?,
            "verl_agg_loss" => each(&node, |case| verl::aggregation(file, case, parity))?,
            "verl_value" => each(&node, |case| verl::value(file, case, parity))?,
            "verl_entropy" => each(&node, |case| verl::entropy(file, case, parity))?,
            "verl_adaptive_kl" => each(&node, |case| verl::adaptive_kl(case, "verl", parity))?,
            "verl_masked_whiten" => each(&node, |case| verl::whitening(file, case, parity))?,
            "lm_human_preference_ppo" => each(&node, |case| details::ziegler(file, case, parity))?,
            "lm_human_preference_whiten" => {
                each(&node, |case| details::whitening(file, case, parity))?
            }
            "lm_human_preference_adaptive_kl" => {
                each(&node, |case| {
                    verl::adaptive_kl(case, details::ZIEGLER, parity)
                })?;
            }
            "summarize_from_feedback_ppo" => {
                each(&node, |case| details::stiennon(file, case, parity))?
            }
            "adam_epsilon_placement" => each(&node, |case| details::adam(case, parity))?,
            other => return Err(file.unknown(other)),
        }
    }
    Ok(())
}

fn other_losses(file: &Node<'_>, parity: &mut Parity) -> Result<(), ParityError> {
    for section in file.keys()? {
        let node = file.get(section)?;
        match section {
            elsewhere if OTHER_LOSSES_ELSEWHERE.contains(&elsewhere) => {}
            "openrlhf_policy" => each(&node, |case| openrlhf::policy(file, case, parity))?,
            "openrlhf_value" => each(&node, |case| openrlhf::value(file, case, parity))?,
            "openrlhf_approx_kl" => {
                each(&node, |case| openrlhf::approximate_kl(file, case, parity))?
            }
            "openrlhf_reward" => each(&node, |case| openrlhf::reward(file, case, parity))?,
            other => return Err(file.unknown(other)),
        }
    }
    Ok(())
}

fn each(
    list: &Node<'_>,
    mut run: impl FnMut(&Node<'_>) -> Result<(), ParityError>,
) -> Result<(), ParityError> {
    list.items()?.iter().try_for_each(&mut run)
}

fn subject<'a>(objective: &'a str, source: &'a str, tolerance: f64) -> Subject<'a> {
    Subject {
        family: "PPO",
        objective,
        source,
        tolerance,
    }
}
