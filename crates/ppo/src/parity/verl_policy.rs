//! verl's policy losses, with their metrics and gradients.

use preflab_config::{
    Aggregation, NonNegative, PolicyLoss, Positive, RatioBounds, RatioClip, Sapo,
};
use preflab_training::parity::{Node, Parity, ParityError};

use super::leaf::{self, constant, gradient, mask, number};
use super::verl::{VERL, aggregated, mode};
use super::{EXACT, subject};
use crate::{
    ClipCounts, MAX_LOG_RATIO, PolicyBatch, clip_counts, geo_mean, kept, mean, policy_loss,
    zip_rows,
};

/// verl's own bound where a case gives none.
const DUAL_CLIP: f64 = 3.0;

struct Settings {
    low: f64,
    high: f64,
    dual: f64,
    sapo: Sapo,
    beta: Option<f64>,
}

fn settings(node: &Node<'_>) -> Result<Settings, ParityError> {
    node.only(&[
        "clip_ratio",
        "clip_ratio_low",
        "clip_ratio_high",
        "clip_ratio_c",
        "tau_pos",
        "tau_neg",
        "dro_beta",
    ])?;
    let number = |key: &str| node.find(key)?.map(|value| value.number()).transpose();
    let both = number("clip_ratio")?.unwrap_or(0.2);
    Ok(Settings {
        low: number("clip_ratio_low")?.unwrap_or(both),
        high: number("clip_ratio_high")?.unwrap_or(both),
        dual: number("clip_ratio_c")?.unwrap_or(DUAL_CLIP),
        sapo: Sapo {
            positive: Positive::of(number("tau_pos")?.unwrap_or(1.0)),
            negative: Positive::of(number("tau_neg")?.unwrap_or(1.05)),
        },
        beta: number("dro_beta")?,
    })
}

fn named(name: &Node<'_>, settings: &Settings) -> Result<PolicyLoss, ParityError> {
    let bounds = RatioBounds {
        low: NonNegative::of(settings.low),
        high: NonNegative::of(settings.high),
    };
    Ok(match name.text()? {
        "vanilla" => PolicyLoss::Clipped(RatioClip {
            low: bounds.low,
            high: bounds.high,
            dual: Some(Positive::of(settings.dual)),
        }),
        "gspo" => PolicyLoss::GspoToken(bounds),
        "sapo" => PolicyLoss::Sapo(settings.sapo),
        "gpg" => PolicyLoss::Reinforce,
        "geo_mean" => PolicyLoss::GeoMean(bounds),
        "dro" => match settings.beta {
            Some(beta) => PolicyLoss::Dro(Positive::of(beta)),
            None => return Err(name.unusable("`dro` needs `dro_beta`")),
        },
        "cispo" => PolicyLoss::Cispo(bounds),
        other => return Err(name.unknown(other)),
    })
}

/// One policy loss.
pub(super) fn policy(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&[
        "loss_name",
        "settings",
        "agg",
        "rollout_is_weights",
        "loss",
        "metrics",
        "grad_log_prob",
    ])?;
    let inputs = file.get("policy_inputs")?;
    let counts = leaf::truth(&inputs.get("response_mask")?.matrix()?);
    let (new, old, advantages) = (
        inputs.get("log_prob")?.matrix()?,
        inputs.get("old_log_prob")?.matrix()?,
        inputs.get("advantages")?.matrix()?,
    );
    let (rows, columns) = (new.len(), new[0].len());
    let name = case.get("loss_name")?;
    let loss = named(&name, &settings(&case.get("settings")?)?)?;
    let weights = match case.get("rollout_is_weights")?.truth()? {
        true => Some(file.get("rollout_is_weights")?.matrix()?),
        false => None,
    };

    let logps = leaf::leaf(&new);
    let batch = PolicyBatch {
        logps: logps.clone(),
        old_logps: constant(&old),
        advantages: constant(&advantages),
        mask: mask(&counts),
    };
    let total = match loss {
        // The plain mean over rows, whatever the mode: a fully masked row counts as 0.
        PolicyLoss::GeoMean(bounds) => {
            let losses = geo_mean(&batch, bounds);
            let losses = match &weights {
                None => losses,
                Some(weights) => {
                    let geometric = |row: &Vec<f64>| {
                        let logs: Vec<f64> = row.iter().map(|w| (w + 1e-10).ln()).collect();
                        mean(&[logs]).exp()
                    };
                    let of_rows: Vec<f64> = kept(weights, &counts).iter().map(geometric).collect();
                    losses * constant(&[of_rows]).reshape([rows])
                }
            };
            losses.sum() / rows as f64
        }
        PolicyLoss::Clipped(_)
        | PolicyLoss::Gspo(_)
        | PolicyLoss::GspoToken(_)
        | PolicyLoss::Reinforce
        | PolicyLoss::Cispo(_)
        | PolicyLoss::Sapo(_)
        | PolicyLoss::Dro(_) => {
            let losses = policy_loss(loss, &batch);
            let losses = match &weights {
                None => losses,
                Some(weights) => losses * constant(weights),
            };
            // GSPO and SAPO fix their mode.
            let aggregation = match loss {
                PolicyLoss::GspoToken(_) | PolicyLoss::Sapo(_) => {
                    Aggregation::SequenceMeanTokenMean
                }
                _ => mode(&case.get("agg")?, columns, None)?,
            };
            aggregated(losses, &counts, aggregation)
        }
    };
    let gradients = total.clone().backward();

    let (new, old, advantages) = (
        kept(&new, &counts),
        kept(&old, &counts),
        kept(&advantages, &counts),
    );
    let tokens = new.iter().map(Vec::len).sum::<usize>() as f64;
    let mut clips = ClipCounts::default();
    for ((new, old), advantages) in new.iter().zip(&old).zip(&advantages) {
        let row = clip_counts(loss, new, old, advantages);
        clips.clipped += row.clipped;
        clips.low += row.low;
        clips.high += row.high;
        clips.dual += row.dual;
    }
    let objective = format!("{} loss", name.text()?);
    let mut compare = parity.case(subject(&objective, VERL, EXACT), case);
    compare.number("loss", number(&total), case.get("loss")?.number()?);
    compare.matrix(
        "grad_log_prob",
        &gradient(&logps, &gradients),
        &case.get("grad_log_prob")?.matrix()?,
    );
    let metrics = case.get("metrics")?;
    for key in metrics.keys()? {
        let geometric = matches!(loss, PolicyLoss::GeoMean(_));
        let ours = match key {
            "actor/pg_clipfrac" => (if geometric { clips.high } else { clips.clipped }) / tokens,
            "actor/pg_clipfrac_lower" => (if geometric { clips.low } else { clips.dual }) / tokens,
            "actor/ppo_kl" => {
                let bound = match loss {
                    PolicyLoss::Clipped(_) | PolicyLoss::Cispo(_) | PolicyLoss::Sapo(_) => {
                        MAX_LOG_RATIO
                    }
                    _ => f64::INFINITY,
                };
                mean(&zip_rows(&old, &new, |old, new| {
                    (old - new).clamp(-bound, bound)
                }))
            }
            other => return Err(metrics.unknown(other)),
        };
        compare.number(key, ours, metrics.get(key)?.number()?);
    }
    Ok(())
}
