//! OpenRLHF's policy and value loss, approximate KL and reward.

use burn::tensor::Tensor;
use preflab_config::{
    Aggregation, KlGradient, NonNegative, PolicyLoss, Positive, RatioBounds, RatioClip,
    RolloutCorrection, ScorePosition, ValueClip, WeightBounds,
};
use preflab_training::parity::{Node, Parity, ParityError};

use super::leaf::{self, constant, gradient, mask, number};
use super::trl::clipped_share;
use super::{EXACT, SINGLE, subject};
use crate::{
    KlBounds, PolicyBatch, Rows, SampledKl, Totals, aggregate, dual_clip, kept, kl_terms, mean,
    policy_loss, rollout_weights, token_rewards, value_loss, zip_rows,
};

const OPENRLHF: &str = "OpenRLHF";

/// Mode, totals and factor of `aggregate_loss`.
fn aggregated(
    settings: &Node<'_>,
    losses: Tensor<2>,
    counts: &[Vec<bool>],
    by_token: bool,
) -> Result<Tensor<1>, ParityError> {
    let mut totals = Totals::of(
        counts
            .iter()
            .map(|row| row.iter().filter(|&&counts| counts).count()),
    );
    let given = |key: &str| settings.find(key)?.map(|value| value.number()).transpose();
    let ranks = given("dp_size")?.unwrap_or(1.0);
    // The factor for the averaging of gradients over ranks applies only where the total is given.
    let (aggregation, total) = if by_token {
        let total = given("batch_num_tokens")?;
        totals.tokens = total.unwrap_or(totals.tokens);
        (Aggregation::TokenMean, total)
    } else {
        let total = given("global_batch_size")?;
        totals.sequences = total.unwrap_or(totals.sequences);
        (Aggregation::SequenceMeanTokenMean, total)
    };
    let factor = if total.is_some() { ranks } else { 1.0 };
    Ok(aggregate(losses, mask(counts), aggregation, totals) * factor)
}

fn correction(settings: &Node<'_>) -> Result<RolloutCorrection, ParityError> {
    if !settings
        .find("enable_vllm_is_correction")?
        .map_or(Ok(false), |on| on.truth())?
    {
        return Ok(RolloutCorrection::Off);
    }
    let bounds = settings.get("vllm_is_truncated_threshold")?.vector()?;
    let bounds = WeightBounds {
        low: NonNegative::of(bounds[0]),
        high: NonNegative::of(bounds[1]),
    };
    let kind = settings.find("vllm_is_correction_type")?;
    match kind.as_ref().map_or(Ok("tis"), |kind| kind.text())? {
        "tis" => Ok(RolloutCorrection::Truncated(bounds)),
        "icepop" => Ok(RolloutCorrection::Masked(bounds)),
        "seq-mask-tis" => Ok(RolloutCorrection::SequenceMasked(bounds)),
        other => Err(settings.unknown(other)),
    }
}

/// `PolicyLoss`.
pub(super) fn policy(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&[
        "settings",
        "rows",
        "loss",
        "clip_ratio",
        "ppo_kl",
        "vllm_kl",
        "grad_log_probs",
    ])?;
    let settings = case.get("settings")?;
    settings.only(&[
        "clip_eps_low",
        "clip_eps_high",
        "dual_clip",
        "token_level_loss",
        "policy_loss_type",
        "enable_vllm_is_correction",
        "vllm_is_truncated_threshold",
        "vllm_is_correction_type",
        "dp_size",
        "batch_num_tokens",
        "global_batch_size",
    ])?;
    let inputs = file.get("openrlhf_ppo_inputs")?;
    let span = case.get("rows")?.indices()?;
    let rows =
        |key: &str| Ok::<Rows, ParityError>(inputs.get(key)?.matrix()?[span[0]..span[1]].to_vec());
    let (new, old, advantages, rollout) = (
        rows("log_probs")?,
        rows("old_log_probs")?,
        rows("advantages")?,
        rows("rollout_log_probs")?,
    );
    let counts = leaf::truth(&rows("action_mask")?);

    let given = |key: &str| settings.find(key)?.map(|value| value.number()).transpose();
    let low = NonNegative::of(given("clip_eps_low")?.unwrap_or(0.2));
    let high = NonNegative::of(given("clip_eps_high")?.unwrap_or(0.2));
    let kind = settings.find("policy_loss_type")?;
    let sequence = match kind.as_ref().map_or(Ok("ppo"), |kind| kind.text())? {
        "ppo" => false,
        "gspo" => true,
        other => return Err(settings.unknown(other)),
    };
    let by_token = !sequence
        && settings
            .find("token_level_loss")?
            .map_or(Ok(true), |on| on.truth())?;
    let correction = correction(&settings)?;
    let dual = given("dual_clip")?.map(Positive::of);
    let loss = if sequence {
        PolicyLoss::Gspo(RatioBounds { low, high })
    } else {
        PolicyLoss::Clipped(RatioClip { low, high, dual })
    };

    let logps = leaf::leaf(&new);
    // GSPO under correction is relative to the sampler itself, without further weights.
    let corrected = correction != RolloutCorrection::Off;
    let base = if sequence && corrected {
        &rollout
    } else {
        &old
    };
    let batch = PolicyBatch {
        logps: logps.clone(),
        old_logps: constant(base),
        advantages: constant(&advantages),
        mask: mask(&counts),
    };
    let losses = match (sequence, dual) {
        // Its dual clip applies to GSPO as well.
        (true, Some(dual)) => dual_clip(
            policy_loss(loss, &batch),
            batch.advantages.clone(),
            dual.get(),
        ),
        (true, None) | (false, _) => policy_loss(loss, &batch),
    };
    let weights = match sequence {
        true => None,
        false => rollout_weights(&kept(&old, &counts), &kept(&rollout, &counts), correction),
    };
    let losses = match weights {
        None => losses,
        Some(weights) => losses * constant(&scattered(&weights, &counts)),
    };
    let total = aggregated(&settings, losses, &counts, by_token)?;
    let gradients = total.clone().backward();

    let of = |rows: &Rows| kept(rows, &counts);
    let mut compare = parity.case(subject("clipped policy loss", OPENRLHF, EXACT), case);
    compare.number("loss", number(&total), case.get("loss")?.number()?);
    if let Some(theirs) = case.find("clip_ratio")? {
        compare.number(
            "clip_ratio",
            clipped_share(loss, &of(&new), &of(base), &of(&advantages)),
            theirs.number()?,
        );
    }
    if let Some(theirs) = case.find("ppo_kl")? {
        let kl = mean(&of(&zip_rows(&old, &new, |old, new| old - new)));
        compare.number("ppo_kl", kl, theirs.number()?);
    }
    if let Some(theirs) = case.find("vllm_kl")? {
        let kl = mean(&of(&zip_rows(&rollout, &old, |rollout, old| rollout - old)));
        compare.number("vllm_kl", kl, theirs.number()?);
    }
    if let Some(theirs) = case.find("grad_log_probs")? {
        compare.matrix(
            "grad_log_probs",
            &gradient(&logps, &gradients),
            &theirs.matrix()?,
        );
    }
    Ok(())
}

/// The numbers of `rows` back in the true cells of `counts`, 0 elsewhere.
fn scattered(rows: &Rows, counts: &[Vec<bool>]) -> Rows {
    let row = |(row, counts): (&Vec<f64>, &Vec<bool>)| {
        let mut numbers = row.iter();
        counts
            .iter()
            .map(|&counts| {
                if counts {
                    *numbers.next().expect("one for each cell")
                } else {
                    0.0
                }
            })
            .collect()
    };
    rows.iter().zip(counts).map(row).collect()
}

/// `ValueLoss`.
pub(super) fn value(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&["settings", "rows", "loss", "grad_values"])?;
    let settings = case.get("settings")?;
    settings.only(&[
        "clip_eps",
        "token_level_loss",
        "dp_size",
        "batch_num_tokens",
        "global_batch_size",
    ])?;
    let inputs = file.get("openrlhf_ppo_inputs")?;
    let span = case.find("rows")?.map(|rows| rows.indices()).transpose()?;
    let rows = |key: &str| {
        let all = inputs.get(key)?.matrix()?;
        Ok::<Rows, ParityError>(match &span {
            Some(span) => all[span[0]..span[1]].to_vec(),
            None => all,
        })
    };
    let counts = leaf::truth(&rows("action_mask")?);
    let clip = match settings.find("clip_eps")? {
        Some(bound) => ValueClip::Within(Positive::of(bound.number()?)),
        None => ValueClip::Off,
    };
    let values = leaf::leaf(&rows("values")?);
    let losses = value_loss(
        values.clone(),
        constant(&rows("old_values")?),
        constant(&rows("returns")?),
        clip,
    );
    let by_token = settings
        .find("token_level_loss")?
        .map_or(Ok(true), |on| on.truth())?;
    let total = aggregated(&settings, losses, &counts, by_token)?;
    let gradients = total.clone().backward();
    let mut compare = parity.case(subject("clipped value loss", OPENRLHF, EXACT), case);
    compare.number("loss", number(&total), case.get("loss")?.number()?);
    if let Some(theirs) = case.find("grad_values")? {
        compare.matrix(
            "grad_values",
            &gradient(&values, &gradients),
            &theirs.matrix()?,
        );
    }
    Ok(())
}

/// `compute_approx_kl`, which casts to 32-bit floats: so do we, and differ in the last bits of `k3`.
pub(super) fn approximate_kl(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&["estimator", "dtype", "kl"])?;
    let name = case.get("estimator")?;
    let estimator = match name.text()? {
        "k1" => SampledKl::K1,
        "k2" => SampledKl::K2,
        "k3" => SampledKl::K3,
        other => return Err(name.unknown(other)),
    };
    let inputs = file.get("openrlhf_ppo_inputs")?;
    let (policy, base) = (
        inputs.get("log_probs")?.matrix()?,
        inputs.get("old_log_probs")?.matrix()?,
    );
    let terms = kl_terms(
        leaf::single(&policy),
        leaf::single(&base),
        estimator,
        KlGradient::Own,
        KlBounds::OPENRLHF,
    );
    let mut compare = parity.case(subject("KL estimators", OPENRLHF, SINGLE), case);
    compare.matrix("kl", &leaf::rows(terms), &case.get("kl")?.matrix()?);
    Ok(())
}

/// `compute_reward`. Its KL is not masked; ours exists on real tokens only, where they are compared.
pub(super) fn reward(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&["kl_coef", "kl", "r", "clip", "reward"])?;
    let counts = leaf::truth(
        &file
            .get("openrlhf_ppo_inputs")?
            .get("action_mask")?
            .matrix()?,
    );
    let kl = kept(&case.get("kl")?.matrix()?, &counts);
    let bounds = match case.find("clip")? {
        Some(clip) => clip.vector()?,
        None => vec![f64::NEG_INFINITY, f64::INFINITY],
    };
    let scores: Vec<f64> = case
        .get("r")?
        .vector()?
        .into_iter()
        .map(|score| score.clamp(bounds[0], bounds[1]))
        .collect();
    let beta = case.get("kl_coef")?.number()?.max(0.0);
    let room = counts.first().map_or(0, Vec::len);
    let ours = token_rewards(&kl, beta, &scores, ScorePosition::LastToken, room);
    let mut compare = parity.case(subject("KL-penalised rewards", OPENRLHF, EXACT), case);
    compare.matrix(
        "reward",
        &ours,
        &kept(&case.get("reward")?.matrix()?, &counts),
    );
    Ok(())
}
