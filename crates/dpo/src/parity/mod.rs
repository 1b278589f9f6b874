//! Every objective against the reference implementations: golden losses, gradients and logged metrics.
//!
//! Figures were computed by the references in f64 (exceptions are said next to the case); ours are computed in f64 and
//! compared. Each case is computed in f32 too and compared with f64 on the same rounded inputs, so that what is measured is
//! the arithmetic and not the rounding of the inputs.

mod kto;
mod logits;
mod oat_halos;
mod originals;
mod rows;
mod trajectories;
mod trl;
mod trl_experimental;
mod trl_legacy;
mod trl_tokens;

use std::path::Path;

use preflab_training::parity::{GoldenFile, Node, Parity, ParityError, ParityRow, Subject};

/// Compares every objective of the DPO family with every golden case found in `directory`.
///
/// Reads `dpo_family.json`, `dpo_tokens.json`, the parts of `other_losses.json` that belong to the family, and the runs of
/// DPO trainers under `trajectories/`; a file that is absent is no error, an unknown section, kind or key in one is.
///
/// # Errors
/// If a file cannot be read, or holds something that no comparison covers.
pub fn parity(directory: &Path) -> Result<Vec<ParityRow>, ParityError> {
    let mut table = Parity::new();
    if let Some(file) = GoldenFile::open_if_present(directory, "dpo_family.json")? {
        family(&mut table, &file.root())?;
    }
    if let Some(file) = GoldenFile::open_if_present(directory, "dpo_tokens.json")? {
        trl_tokens::compare(&mut table, &file.root())?;
    }
    if let Some(file) = GoldenFile::open_if_present(directory, "other_losses.json")? {
        others(&mut table, &file.root())?;
    }
    trajectories::compare(&mut table, directory)?;
    Ok(table.into_rows())
}

fn family(table: &mut Parity, root: &Node<'_>) -> Result<(), ParityError> {
    let rows = rows::Rows::read(&root.get("inputs")?)?;
    for section in root.keys()? {
        let node = || root.get(section);
        match section {
            "source" | "inputs" | "absent_in_trl" => {}
            "dpo" => trl::dpo(table, &node()?, &rows)?,
            "cpo" => trl_experimental::cpo(table, &node()?, &rows)?,
            "orpo" => trl_experimental::orpo(table, &node()?, &rows)?,
            "bco" => trl_experimental::bco(table, &node()?, &rows)?,
            "kto" => kto::trl(table, &node()?)?,
            "trl_0_24_dpo_loss" => trl_legacy::compare(table, &node()?, &rows)?,
            other => return Err(root.unknown(other)),
        }
    }
    Ok(())
}

fn others(table: &mut Parity, root: &Node<'_>) -> Result<(), ParityError> {
    let rows = rows::Rows::read(&root.get("inputs")?)?;
    for section in root.keys()? {
        let node = || root.get(section);
        match section {
            "source"
            | "inputs"
            | "conventions"
            | "runtime_observations"
            | "max_abs_diff_to_trl_golden" => {}
            "dpo_original" => originals::dpo(table, &node()?, &rows, "original DPO")?,
            "openrlhf_dpo" => originals::dpo(table, &node()?, &rows, "OpenRLHF")?,
            "simpo" => originals::simpo(table, &node()?, &rows, "SimPO")?,
            "oat_simpo" => originals::simpo(table, &node()?, &rows, "oat")?,
            "simpo_with_sft" => logits::simpo_with_sft(table, &node()?)?,
            "oat_dpo" => oat_halos::oat(table, &node()?, &rows)?,
            "halos" => oat_halos::halos(table, &node()?, &rows)?,
            "halos_kto" => kto::halos(table, &node()?)?,
            "openrlhf_kto" => kto::openrlhf(table, &node()?, &root.get("halos_kto")?)?,
            "openrlhf_vanilla_kto" => kto::vanilla(table, &node()?, &rows)?,
            // reward models and PPO have comparisons of their own
            "openrlhf_rm"
            | "openrlhf_ppo_inputs"
            | "openrlhf_policy"
            | "openrlhf_value"
            | "openrlhf_approx_kl"
            | "openrlhf_reward" => {}
            other => return Err(root.unknown(other)),
        }
    }
    Ok(())
}

/// Figures computed in f64.
const EXACT: f64 = 1e-6;

/// Figures that the reference computed in f32, and ours in f32 against f64.
const SINGLE: f64 = 1e-5;

fn subject<'a>(objective: &'a str, source: &'a str, tolerance: f64) -> Subject<'a> {
    Subject {
        family: "DPO",
        objective,
        source,
        tolerance,
    }
}

/// The sum of both, for messages: the objective, and what its reward is regularised by.
fn with_divergence(objective: &str, divergence: Option<&str>) -> String {
    match divergence {
        None | Some("reverse_kl") => objective.to_owned(),
        Some(other) => format!("{objective}, {other}"),
    }
}
