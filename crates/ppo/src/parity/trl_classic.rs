//! The `PPOTrainer` of TRL 0.11.
//!
//! Its quirks, followed here to compare every number: the recursion of GAE runs over masked positions too, where values are
//! 0 and whitened rewards are not; whitened advantages are not zeroed outside the mask; a batch whose mean ratio is above a
//! threshold is skipped.

use preflab_config::{Aggregation, NonNegative, PolicyLoss, Positive, RatioClip, ValueClip};
use preflab_training::parity::{Node, Parity, ParityError};

use super::leaf::{self, constant, gradient, mask, number};
use super::trl::{clipped_share, value_clipped_share};
use super::{EXACT, subject};
use crate::{
    Centre, Moments, PolicyBatch, Rows, SampledKl, Totals, Variance, aggregate, exact_kl, gae_rows,
    kept, map_rows, mean, policy_loss, value_loss, whitened, zip_rows,
};

const CLASSIC: &str = "TRL 0.11 PPOTrainer";

struct Targets {
    values: Rows,
    advantages: Rows,
    returns: Rows,
}

/// One case: rewards, advantages, losses and their gradients.
pub(super) fn update(case: &Node<'_>, parity: &mut Parity) -> Result<(), ParityError> {
    case.only(&[
        "seed",
        "config",
        "kl_coef",
        "inputs",
        "rewards",
        "non_score_rewards",
        "kls",
        "values_masked",
        "advantages",
        "returns",
        "pg_loss",
        "vf_loss_times_coef",
        "stats",
        "grad_new_logits",
        "grad_vpreds",
    ])?;
    case.get("config")?.only(&[
        "kl_penalty",
        "whiten_rewards",
        "gamma",
        "lam",
        "cliprange",
        "cliprange_value",
        "vf_coef",
        "ratio_threshold",
    ])?;
    let counts = case.get("inputs")?.get("mask")?.mask()?;
    let targets = targets(case, &counts, parity)?;
    losses(case, &counts, &targets, parity)
}

/// The KL at every position: sampled, or exact from log-probabilities over the whole vocabulary, `[b, t, v]`.
fn kl(case: &Node<'_>) -> Result<Rows, ParityError> {
    let inputs = case.get("inputs")?;
    let kind = case.get("config")?.get("kl_penalty")?;
    let estimator = match kind.text()? {
        "kl" => SampledKl::K1,
        "abs" => SampledKl::Abs,
        "mse" => SampledKl::K2,
        "full" => {
            let full = |exact: &str, sampled: &str| match inputs.find(exact)? {
                Some(node) => node.cube(),
                None => inputs.get(sampled)?.cube(),
            };
            let policy = full("old_full_logprobs", "old_logprobs")?;
            let reference = full("ref_full_logprobs", "ref_logprobs")?;
            let columns = policy.first().map_or(1, Vec::len);
            let terms = exact_kl(
                constant(&policy.concat()),
                constant(&reference.concat()),
                1.0,
            );
            return Ok(leaf::rows(terms.reshape([policy.len(), columns])));
        }
        other => return Err(kind.unknown(other)),
    };
    let (policy, reference) = (
        inputs.get("old_logprobs")?.matrix()?,
        inputs.get("ref_logprobs")?.matrix()?,
    );
    Ok(zip_rows(&policy, &reference, |policy, reference| {
        estimator.value(policy - reference)
    }))
}

fn targets(
    case: &Node<'_>,
    counts: &[Vec<bool>],
    parity: &mut Parity,
) -> Result<Targets, ParityError> {
    let (inputs, config) = (case.get("inputs")?, case.get("config")?);
    let kl = kl(case)?;
    let kl_coef = case.get("kl_coef")?.number()?;
    let penalty = map_rows(&kl, |kl| -kl_coef * kl);
    let mut rewards = penalty.clone();
    for ((row, counts), score) in rewards
        .iter_mut()
        .zip(counts)
        .zip(inputs.get("scores")?.vector()?)
    {
        if let Some(last) = counts.iter().rposition(|&counts| counts) {
            row[last] += score;
        }
    }
    let real: Rows = counts
        .iter()
        .map(|row| row.iter().map(|&c| f64::from(u8::from(c))).collect())
        .collect();
    let values = zip_rows(&inputs.get("values")?.matrix()?, &real, |value, real| {
        value * real
    });
    let mut shaped = zip_rows(&rewards, &real, |reward, real| reward * real);
    if config.get("whiten_rewards")?.truth()? {
        let moments = Moments::of_rows(&kept(&shaped, counts), Variance::Unbiased);
        shaped = map_rows(&shaped, |reward| whitened(reward, &moments, Centre::Keep));
    }
    let (gamma, lambda) = (config.get("gamma")?.number()?, config.get("lam")?.number()?);
    let (advantages, returns) = gae_rows(&shaped, &values, gamma, lambda);
    let moments = Moments::of_rows(&kept(&advantages, counts), Variance::Unbiased);
    let advantages = map_rows(&advantages, |advantage| {
        whitened(advantage, &moments, Centre::Subtract)
    });

    let mut compare = parity.case(subject("rewards, GAE, whitening", CLASSIC, EXACT), case);
    compare.matrix("kls", &kl, &case.get("kls")?.matrix()?);
    compare.matrix(
        "non_score_rewards",
        &penalty,
        &case.get("non_score_rewards")?.matrix()?,
    );
    compare.matrix("rewards", &rewards, &case.get("rewards")?.matrix()?);
    compare.matrix(
        "values_masked",
        &values,
        &case.get("values_masked")?.matrix()?,
    );
    compare.matrix(
        "advantages",
        &advantages,
        &case.get("advantages")?.matrix()?,
    );
    compare.matrix("returns", &returns, &case.get("returns")?.matrix()?);
    Ok(Targets {
        values,
        advantages,
        returns,
    })
}

fn losses(
    case: &Node<'_>,
    counts: &[Vec<bool>],
    targets: &Targets,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    let (inputs, config) = (case.get("inputs")?, case.get("config")?);
    let Targets {
        values,
        advantages,
        returns,
    } = targets;
    let (rows, columns) = (counts.len(), counts.first().map_or(0, Vec::len));
    let tokens: Vec<Vec<usize>> = inputs
        .get("tokens")?
        .items()?
        .iter()
        .map(Node::indices)
        .collect::<Result<_, _>>()?;
    let clip = NonNegative::of(config.get("cliprange")?.number()?);
    let clipped = PolicyLoss::Clipped(RatioClip {
        low: clip,
        high: clip,
        dual: None,
    });
    let value_clip = ValueClip::Within(Positive::of(config.get("cliprange_value")?.number()?));
    let coefficient = config.get("vf_coef")?.number()?;

    let logits = leaf::leaf(&inputs.get("new_logits")?.cube()?.concat());
    let predictions = leaf::leaf(&inputs.get("vpreds")?.matrix()?);
    let old = match inputs.get("old_logprobs")?.matrix() {
        Ok(sampled) => sampled,
        Err(_) => gathered(&inputs.get("old_logprobs")?.cube()?, &tokens),
    };
    let logps = leaf::token_logps(logits.clone(), &tokens.concat(), 1.0).reshape([rows, columns]);
    let batch = PolicyBatch {
        logps: logps.clone(),
        old_logps: constant(&old),
        advantages: constant(advantages),
        mask: mask(counts),
    };
    let totals = Totals {
        tokens: counts.iter().flatten().filter(|&&c| c).count() as f64,
        sequences: rows as f64,
    };
    let over = |losses| aggregate(losses, batch.mask.clone(), Aggregation::TokenMean, totals);
    let new = leaf::rows(logps.inner());
    let ratios = zip_rows(&new, &old, |new, old| (new - old).exp());
    let skipped = mean(&kept(&ratios, counts)) > config.get("ratio_threshold")?.number()?;
    let weight = if skipped { 0.0 } else { 1.0 };
    let policy = over(policy_loss(clipped, &batch)) * weight;
    let value = over(value_loss(
        predictions.clone(),
        constant(values),
        constant(returns),
        value_clip,
    )) * weight;
    let total = policy.clone() + value.clone() * coefficient;
    let gradients = total.clone().backward();

    let of = |rows: &Rows| kept(rows, counts);
    let (new_kept, old_kept, advantages_kept) = (of(&new), of(&old), of(advantages));
    let (values_kept, returns_kept) = (of(values), of(returns));
    let predicted = of(&leaf::rows(predictions.clone().inner()));
    let entropy = leaf::rows(crate::entropy(logits.clone().inner(), 1.0).reshape([rows, columns]));
    let square = |a: f64, b: f64| (a - b) * (a - b);

    let mut compare = parity.case(
        subject("clipped policy and value loss", CLASSIC, EXACT),
        case,
    );
    compare.number("pg_loss", number(&policy), case.get("pg_loss")?.number()?);
    let value_term = number(&value) * coefficient;
    compare.number(
        "vf_loss_times_coef",
        value_term,
        case.get("vf_loss_times_coef")?.number()?,
    );
    let theirs = case.get("grad_new_logits")?.cube()?.concat();
    compare.matrix("grad_new_logits", &gradient(&logits, &gradients), &theirs);
    compare.matrix(
        "grad_vpreds",
        &gradient(&predictions, &gradients),
        &case.get("grad_vpreds")?.matrix()?,
    );
    let stats = case.get("stats")?;
    for key in stats.keys()? {
        let node = stats.get(key)?;
        let ours = match key {
            "policy/advantages" => {
                compare.matrix(key, advantages, &node.matrix()?);
                continue;
            }
            "policy/ratio" => {
                compare.matrix(key, &ratios, &node.matrix()?);
                continue;
            }
            "loss/policy" => number(&policy),
            "loss/value" => number(&value),
            "loss/total" => number(&total),
            "policy/entropy" => mean(&of(&entropy)),
            "policy/approxkl" => mean(&zip_rows(&new_kept, &old_kept, square)) * 0.5,
            "policy/policykl" => mean(&zip_rows(&old_kept, &new_kept, |old, new| old - new)),
            "policy/clipfrac" => clipped_share(clipped, &new_kept, &old_kept, &advantages_kept),
            "policy/advantages_mean" => mean(&advantages_kept),
            "returns/mean" => mean(&returns_kept),
            "returns/var" => Moments::of_rows(&returns_kept, Variance::Unbiased).variance,
            "val/vpred" => mean(&predicted),
            "val/error" => mean(&zip_rows(&predicted, &returns_kept, square)),
            "val/clipfrac" => {
                value_clipped_share(&predicted, &values_kept, &returns_kept, value_clip)
            }
            "val/mean" => mean(&values_kept),
            "val/var" => Moments::of_rows(&values_kept, Variance::Unbiased).variance,
            other => return Err(stats.unknown(other)),
        };
        compare.number(key, ours, node.number()?);
    }
    Ok(())
}

/// The entry of each position's token.
fn gathered(full: &[Vec<Vec<f64>>], tokens: &[Vec<usize>]) -> Rows {
    let row = |(full, tokens): (&Vec<Vec<f64>>, &Vec<usize>)| {
        full.iter()
            .zip(tokens)
            .map(|(logps, &token)| logps[token])
            .collect()
    };
    full.iter().zip(tokens).map(row).collect()
}
