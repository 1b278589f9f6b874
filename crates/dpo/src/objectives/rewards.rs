//! The implicit reward of a completion: what an objective's margin is the difference of.

use burn::tensor::Tensor;
use preflab_config::{Objective, RewardShift};
use preflab_data::Pair;

use super::{alphapo, humanline, ld_dpo, reference_free};
use crate::inputs::Inputs;

/// The implicit reward of both completions, `[b]` each: `β r` for objectives with a reference, `β` times the (mean, shaped)
/// log-probability for those without, as TRL logs them under `rewards/*`.
///
/// IPO, on sums and on means, reports `η r` on sums, as TRL does. SLiC and SFT, which have no scale, report
/// log-probabilities. A weighted sum reports the rewards of its first term.
pub fn implicit_rewards(objective: &Objective, inputs: &Inputs) -> Pair<Tensor<1>> {
    let anchored = |beta: f64| inputs.log_ratios().map(|ratio| ratio * beta);
    let sums = || inputs.policy.as_ref().map(|side| side.sum.clone());
    let means = || inputs.policy.as_ref().map(|side| side.mean());
    match objective {
        Objective::Dpo(o) => anchored(o.beta.get()),
        Objective::DpoMean(o) => anchored(o.beta.get()),
        Objective::FlexDpo(o) => {
            let ratios = inputs.log_ratios();
            Pair {
                chosen: ratios.chosen * o.beta_chosen.get(),
                rejected: ratios.rejected * o.beta_rejected.get(),
            }
        }
        Objective::SftDpo(o) => anchored(o.beta.get()),
        Objective::Ipo(o) => anchored(o.eta.get()),
        Objective::IpoMean(o) => anchored(o.eta.get()),
        Objective::Slic(_) => sums(),
        Objective::Hinge(o) => anchored(o.beta.get()),
        Objective::Simpo(o) => means().map(|mean| mean * o.beta.get()),
        Objective::Alphapo(o) => {
            means().map(|mean| alphapo::shaped(mean, o.alpha.get()) * o.beta.get())
        }
        Objective::Dpop(o) => inputs
            .aggregated_log_ratios(o.log_ratio)
            .map(|ratio| ratio * o.beta.get()),
        Objective::Odpo(o) => anchored(o.beta.get()),
        Objective::RDpo(o) => inputs
            .aggregated_log_ratios(o.log_ratio)
            .map(|ratio| ratio * o.beta.get()),
        Objective::Cdpo(o) => anchored(o.beta.get()),
        Objective::Robust(o) => anchored(o.beta.get()),
        Objective::Exo(o) => anchored(o.beta.get()),
        Objective::Nca(o) => anchored(o.beta.get()),
        Objective::Bco(o) => anchored(o.beta.get()),
        Objective::Kto(o) => anchored(o.beta.get()),
        Objective::ApoZero(o) => anchored(o.beta.get()),
        Objective::ApoDown(o) => anchored(o.beta.get()),
        Objective::Sppo(o) => anchored(o.beta.get()),
        Objective::Aot(o) => anchored(o.beta.get()),
        Objective::AotUnpaired(o) => anchored(o.beta.get()),
        Objective::Discopop(o) => anchored(o.beta.get()),
        Objective::Orpo(o) => means().map(|mean| mean * o.lambda.get()),
        Objective::Cpo(o) => sums().map(|sum| sum * o.beta.get()),
        Objective::Sft(_) => sums(),
        Objective::LdDpo(o) => implicit_rewards(
            &o.objective,
            &ld_dpo::length_desensitised(inputs, o.alpha.get()),
        ),
        Objective::Wpo(o) => implicit_rewards(&o.objective, inputs),
        Objective::Humanline(o) => implicit_rewards(
            &o.objective,
            &humanline::clamped(inputs, o.low.get(), o.high.get()),
        ),
        Objective::ReferenceFree(o) => implicit_rewards(&o.objective, &reference_free(inputs)),
        Objective::Sum(terms) => match terms.first() {
            Some(term) => implicit_rewards(&term.objective, inputs),
            None => sums(),
        },
    }
}

/// The rewards that BCO's running mean is of, `[b]` each: those of the first BCO term with such a shift, where there is one.
pub fn shifted_rewards(objective: &Objective, inputs: &Inputs) -> Option<Pair<Tensor<1>>> {
    match objective {
        Objective::Bco(o) => match o.shift {
            RewardShift::RunningMean => Some(implicit_rewards(objective, inputs)),
            RewardShift::Zero => None,
        },
        Objective::LdDpo(o) => shifted_rewards(
            &o.objective,
            &ld_dpo::length_desensitised(inputs, o.alpha.get()),
        ),
        Objective::Wpo(o) => shifted_rewards(&o.objective, inputs),
        Objective::Humanline(o) => shifted_rewards(
            &o.objective,
            &humanline::clamped(inputs, o.low.get(), o.high.get()),
        ),
        Objective::ReferenceFree(o) => shifted_rewards(&o.objective, &reference_free(inputs)),
        Objective::Sum(terms) => terms
            .iter()
            .find_map(|term| shifted_rewards(&term.objective, inputs)),
        Objective::Dpo(_)
        | Objective::DpoMean(_)
        | Objective::FlexDpo(_)
        | Objective::SftDpo(_)
        | Objective::Ipo(_)
        | Objective::IpoMean(_)
        | Objective::Slic(_)
        | Objective::Hinge(_)
        | Objective::Simpo(_)
        | Objective::Alphapo(_)
        | Objective::Dpop(_)
        | Objective::Odpo(_)
        | Objective::RDpo(_)
        | Objective::Cdpo(_)
        | Objective::Robust(_)
        | Objective::Exo(_)
        | Objective::Nca(_)
        | Objective::Kto(_)
        | Objective::ApoZero(_)
        | Objective::ApoDown(_)
        | Objective::Sppo(_)
        | Objective::Aot(_)
        | Objective::AotUnpaired(_)
        | Objective::Discopop(_)
        | Objective::Orpo(_)
        | Objective::Cpo(_)
        | Objective::Sft(_) => None,
    }
}
