//! The passes over a recorded rollout, in the recorded order.

use preflab_training::parity::{Node, Parity, ParityError};
use preflab_transformer::Architecture;

use super::super::trl::{clipped_share, value_clipped_share};
use super::padding::PlainDecoder;
use super::rollout::Rolled;
use super::{
    LOG_RATIO_SCALE, Replay, SOURCE, TOLERANCE, VALUE_SCALE, error_at, error_of_half_square,
    subject, tensors,
};
use crate::{Moments, Rows, SampledKl, Variance, map_rows, mean, zip_rows};

/// One micro-batch's statistics, in the slots TRL keeps them in.
#[derive(Default)]
pub struct Slots {
    pub approxkl: Vec<f64>,
    pub pg_clipfrac: Vec<f64>,
    pub pg_loss: Vec<f64>,
    pub vf_loss: Vec<f64>,
    pub vf_clipfrac: Vec<f64>,
    pub entropy: Vec<f64>,
    pub ratio: Vec<f64>,
}

impl Replay<'_> {
    /// The passes over a rollout, in the recorded order.
    pub fn passes(
        &mut self,
        update: &Node<'_>,
        rolled: &Rolled,
        parity: &mut Parity,
    ) -> Result<Slots, ParityError> {
        let mut slots = Slots::default();
        for epoch in update.get("epochs")?.items()? {
            epoch.only(&["b_inds", "micro"])?;
            for micro in epoch.get("micro")?.items()? {
                self.micro_batch(&micro, rolled, &mut slots, parity)?;
            }
        }
        Ok(slots)
    }

    fn micro_batch(
        &mut self,
        micro: &Node<'_>,
        rolled: &Rolled,
        slots: &mut Slots,
        parity: &mut Parity,
    ) -> Result<(), ParityError> {
        let rows = micro.get("inds")?.indices()?;
        let share = 1.0 / self.settings.accumulation;
        let Rolled {
            experience,
            targets,
            ..
        } = rolled;
        let entropy = self.entropy(micro, rolled, &rows)?;
        let policy = self.learner.accumulate(
            experience,
            &rows,
            experience.totals(&rows),
            share,
            &self.reference,
        );
        let value =
            self.critic
                .accumulate(experience, targets, &rows, targets.totals(&rows), share);
        let norms = [self.learner.gradient_norm(), self.critic.gradient_norm()];

        let of = |all: &Rows| -> Rows { rows.iter().map(|&row| all[row].clone()).collect() };
        let old_logps = of(&experience.old_logps);
        let cells = (rows.len() * rolled.columns) as f64;
        let real = rows
            .iter()
            .map(|&row| rolled.lengths[row] as f64)
            .sum::<f64>();
        let log_ratios = zip_rows(&policy.logps, &old_logps, |new, old| new - old);
        let squares = map_rows(&log_ratios, |log_ratio| SampledKl::K2.value(log_ratio));
        let ratios = map_rows(&log_ratios, f64::exp);
        slots.pg_loss.push(policy.policy_loss);
        slots.vf_loss.push(value.loss);
        slots.pg_clipfrac.push(clipped_share(
            self.settings.objective.loss,
            &policy.logps,
            &old_logps,
            &of(&experience.advantages),
        ));
        slots.vf_clipfrac.push(value_clipped_share(
            &value.values,
            &of(&targets.values),
            &of(&targets.returns),
            self.settings.value_clip,
        ));
        // Over all cells: padding counts as 0, as 1, and as what the model makes of it.
        slots.approxkl.push(mean(&squares) * real / cells);
        slots
            .ratio
            .push((mean(&ratios) * real + cells - real) / cells);
        slots.entropy.push(entropy);

        let mut compare = parity.case(subject("trajectory: minibatches", SOURCE, TOLERANCE), micro);
        let last = |slot: &[f64]| slot.last().copied().unwrap_or(f64::NAN);
        let mut stepped = false;
        for key in micro.keys()? {
            let node = micro.get(key)?;
            let ours = match key {
                "minibatch" | "inds" => continue,
                "sync_gradients" => {
                    stepped = node.truth()?;
                    continue;
                }
                "weights_changed" => {
                    compare.number(
                        key,
                        f64::from(u8::from(stepped)),
                        f64::from(u8::from(node.truth()?)),
                    );
                    continue;
                }
                "loss" | "pg_loss" => {
                    let weighted = self.settings.value_coefficient * value.loss;
                    let ours = policy.policy_loss + if key == "loss" { weighted } else { 0.0 };
                    compare.error(key, error_at(ours, node.number()?, VALUE_SCALE));
                    continue;
                }
                "approxkl" => {
                    compare.error(
                        key,
                        error_of_half_square(last(&slots.approxkl), node.number()?),
                    );
                    continue;
                }
                "vf_loss" => value.loss,
                "accumulated_grad_norm_policy" => norms[0],
                "accumulated_grad_norm_value" => norms[1],
                "sum_new_logprobs_masked" => policy.logps.iter().flatten().sum(),
                "sum_vpred" => value.values.iter().flatten().sum(),
                "pg_clipfrac" => last(&slots.pg_clipfrac),
                "vf_clipfrac" => last(&slots.vf_clipfrac),
                "entropy" => entropy,
                "ratio" => last(&slots.ratio),
                other => return Err(micro.unknown(other)),
            };
            compare.number(key, ours, node.number()?);
        }
        if stepped {
            self.learner.step();
            self.critic.step();
        }
        Ok(())
    }

    /// Mean entropy over all cells of the micro-batch, padding included, under the policy before the update.
    fn entropy(
        &self,
        micro: &Node<'_>,
        rolled: &Rolled,
        rows: &[usize],
    ) -> Result<f64, ParityError> {
        let policy = self.learner.policy();
        let weights = tensors(policy, &self.policy_config, micro)?;
        let architecture: &Architecture = policy.architecture();
        let plain = PlainDecoder::new(&weights, architecture).ok_or_else(|| {
            micro.unusable("the entropy of padding needs a model of Llama's layout")
        })?;
        let pad = self.settings.pad;
        let each: Rows = (rows.iter())
            .map(|&row| {
                // Padding before the first token is seen by nothing and predicts nothing.
                let tokens = &rolled.padded[row];
                let first = tokens.iter().position(|&id| id != pad).unwrap_or(0);
                let kept = &tokens[first..tokens.len() - 1];
                plain.entropies(
                    kept,
                    pad,
                    rolled.context - 1 - first,
                    self.settings.objective.temperature,
                )
            })
            .collect();
        Ok(mean(&each))
    }

    pub fn metrics(
        &self,
        update: &Node<'_>,
        rolled: &Rolled,
        objective: &[(&'static str, f64)],
        slots: &Slots,
        parity: &mut Parity,
    ) -> Result<(), ParityError> {
        let count: usize = update.get("stats_shape")?.indices()?.iter().product();
        let filled = |slot: &[f64]| -> Vec<f64> {
            slot.iter()
                .copied()
                .chain(std::iter::repeat(0.0))
                .take(count)
                .collect()
        };
        let over = |slot: &[f64]| Moments::of(filled(slot).iter().copied(), Variance::Unbiased);
        let metrics = update.get("metrics")?;
        let mut compare = parity.case(subject("trajectory: logs", SOURCE, TOLERANCE), &metrics);
        let rows = rolled.lengths.len() as f64;
        for key in metrics.keys()? {
            let theirs = metrics.get(key)?.number()?;
            let (ours, scale) = match key {
                "policy/approxkl_avg" => {
                    compare.error(
                        key,
                        error_of_half_square(over(&slots.approxkl).mean, theirs),
                    );
                    continue;
                }
                "policy/clipfrac_avg" => (over(&slots.pg_clipfrac).mean, 0.0),
                "loss/policy_avg" => (over(&slots.pg_loss).mean, VALUE_SCALE),
                "loss/value_avg" => (over(&slots.vf_loss).mean, 0.0),
                "val/clipfrac_avg" => (over(&slots.vf_clipfrac).mean, 0.0),
                "policy/entropy_avg" => (over(&slots.entropy).mean, 0.0),
                "val/ratio" => (over(&slots.ratio).mean, 0.0),
                "val/ratio_var" => (over(&slots.ratio).variance, 0.0),
                "lr" => (update.get("lr")?.number()?, 0.0),
                "episode" => (update.get("update")?.number()? * rows, 0.0),
                other => match objective.iter().find(|(name, _)| *name == other) {
                    // Sums of log ratios over the tokens of a completion.
                    Some((name, ours)) if name.contains("kl") || name.contains("non_score") => {
                        (*ours, LOG_RATIO_SCALE * rolled.columns as f64)
                    }
                    Some((_, ours)) => (*ours, 0.0),
                    None => return Err(metrics.unknown(other)),
                },
            };
            compare.error(key, error_at(ours, theirs, scale.max(1e-6)));
        }
        Ok(())
    }
}
