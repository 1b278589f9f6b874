//! Losses over preference pairs: one file for each published objective, and the one place that picks among them.
//!
//! Every function returns one loss **per pair**, `[b]`; reduction belongs to the trainer. Log-probabilities are natural
//! logs, in nats. `r = log π(y|x) − log π_ref(y|x)` is the log-ratio of a completion, `w` the chosen and `l` the rejected
//! one, `h = r_w − r_l`.

pub mod alphapo;
pub mod aot;
pub mod aot_unpaired;
pub mod apo_down;
pub mod apo_zero;
pub mod bco;
pub mod cdpo;
pub mod cpo;
pub mod discopop;
pub mod divergence;
pub mod dpo;
pub mod dpo_mean;
pub mod dpop;
pub mod exo;
pub mod flex_dpo;
pub mod hinge;
pub mod humanline;
pub mod ipo;
pub mod ipo_mean;
pub mod kto;
pub mod ld_dpo;
pub mod link;
pub mod nca;
mod needs;
pub mod odpo;
pub mod orpo;
pub mod r_dpo;
mod rewards;
pub mod robust;
pub mod sft;
pub mod sft_dpo;
pub mod simpo;
pub mod slic;
pub mod sppo;
pub mod wpo;

pub use needs::Needs;
pub use rewards::{implicit_rewards, shifted_rewards};

use burn::tensor::Tensor;
use preflab_config::{Divergence, KlBaseline, Kto, Objective, RewardShift};
use preflab_data::Pair;

use crate::inputs::Inputs;

/// The loss of each pair under a configured objective, `[b]`: the one place where a setting becomes a function.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use preflab_config::Objective;
/// use preflab_data::Pair;
/// use preflab_dpo::{Inputs, Logps, preference_loss};
///
/// let device = Device::flex();
/// let side = |sum: f32| Logps::from_sums(
///     Tensor::from_floats([sum], &device),
///     Tensor::from_floats([4.0], &device),
/// );
/// let sides = Pair { chosen: side(-5.0), rejected: side(-7.0) };
/// let loss = preference_loss(&Objective::default(), &Inputs::new(sides.clone(), sides));
/// assert_eq!(loss.into_scalar::<f32>(), std::f32::consts::LN_2);
/// ```
///
/// # Panics
/// If the inputs lack what [`Needs::of`] says that the objective reads.
pub fn preference_loss(objective: &Objective, inputs: &Inputs) -> Tensor<1> {
    let ratios = || inputs.log_ratios();
    let scores = |divergence| divergence::scores(inputs.log_ratios(), divergence);
    let mean_scores = |divergence: Divergence| inputs.per_token(scores(divergence));
    let sums = || inputs.policy.as_ref().map(|side| side.sum.clone());
    let means = || inputs.policy.as_ref().map(|side| side.mean());
    match objective {
        Objective::Dpo(o) => dpo::dpo(&scores(o.divergence), o.beta.get()),
        Objective::DpoMean(o) => dpo_mean::dpo_mean(
            &mean_scores(o.divergence),
            o.beta.get(),
            o.label_smoothing.get(),
        ),
        Objective::FlexDpo(o) => {
            flex_dpo::flex_dpo(&ratios(), o.beta_chosen.get(), o.beta_rejected.get())
        }
        Objective::SftDpo(o) => {
            sft_dpo::sft_dpo(&ratios(), sums().chosen, o.beta.get(), o.gamma.get())
        }
        Objective::Ipo(o) => ipo::ipo(&scores(o.divergence), o.eta.get()),
        Objective::IpoMean(o) => ipo_mean::ipo_mean(&mean_scores(o.divergence), o.eta.get()),
        Objective::Slic(o) => slic::slic(&sums(), o.delta.get(), o.eta.get()),
        Objective::Hinge(o) => hinge::hinge(&scores(o.divergence), o.beta.get()),
        Objective::Simpo(o) => simpo::simpo(&means(), o.beta.get(), o.gamma.get(), o.link),
        Objective::Alphapo(o) => {
            alphapo::alphapo(&means(), o.beta.get(), o.gamma.get(), o.alpha.get(), o.link)
        }
        Objective::Dpop(o) => dpop::dpop(
            &inputs.aggregated_log_ratios(o.log_ratio),
            &inputs.lengths(),
            o.beta.get(),
            o.lambda.get(),
            o.length_weight.get(),
            o.label_smoothing.get(),
        ),
        Objective::Odpo(o) => {
            let gaps = inputs.context.score_gaps.clone();
            let gaps = gaps.expect("ODPO reads the judge's score gaps");
            odpo::odpo(
                &ratios(),
                odpo::offset(gaps, o.alpha.get(), o.scale),
                o.beta.get(),
            )
        }
        Objective::RDpo(o) => r_dpo::r_dpo(
            &inputs.aggregated_log_ratios(o.log_ratio),
            &inputs.lengths(),
            o.beta.get(),
            o.alpha.get(),
            o.label_smoothing.get(),
        ),
        Objective::Cdpo(o) => {
            cdpo::cdpo(&scores(o.divergence), o.beta.get(), o.label_smoothing.get())
        }
        Objective::Robust(o) => {
            robust::robust(&scores(o.divergence), o.beta.get(), o.label_smoothing.get())
        }
        Objective::Exo(o) => exo::exo(&scores(o.divergence), o.beta.get(), o.label_smoothing.get()),
        Objective::Nca(o) => nca::nca(&scores(o.divergence), o.beta.get()),
        Objective::Bco(o) => bco::bco(
            &scores(o.divergence),
            reward_shift(o.shift, inputs),
            o.beta.get(),
        ),
        Objective::Kto(o) => kto::kto(
            &ratios(),
            kl_baseline(o, inputs),
            o.beta.get(),
            Pair {
                chosen: o.desirable_weight.get(),
                rejected: o.undesirable_weight.get(),
            },
        ),
        Objective::ApoZero(o) => apo_zero::apo_zero(&ratios(), o.beta.get()),
        Objective::ApoDown(o) => apo_down::apo_down(&ratios(), &scores(o.divergence), o.beta.get()),
        Objective::Sppo(o) => sppo::sppo(&scores(o.divergence), o.beta.get()),
        Objective::Aot(o) => aot::aot(
            &sums(),
            &inputs.reference.as_ref().map(|side| side.sum.clone()),
            o.beta.get(),
            o.label_smoothing.get(),
        ),
        Objective::AotUnpaired(o) => {
            aot_unpaired::aot_unpaired(&ratios(), o.beta.get(), o.label_smoothing.get())
        }
        Objective::Discopop(o) => {
            discopop::discopop(&scores(o.divergence), o.beta.get(), o.tau.get())
        }
        Objective::Orpo(o) => orpo::orpo(&means(), o.lambda.get(), o.nll_weight.get()),
        Objective::Cpo(o) => cpo::cpo(
            &sums(),
            means().chosen,
            o.beta.get(),
            o.nll_weight.get(),
            o.link,
        ),
        Objective::Sft(o) => sft::sft(
            &inputs.policy.chosen,
            o.likelihood,
            inputs.context.mean_chosen_length.clone(),
        ),
        Objective::LdDpo(o) => preference_loss(
            &o.objective,
            &ld_dpo::length_desensitised(inputs, o.alpha.get()),
        ),
        Objective::Wpo(o) => {
            preference_loss(&o.objective, inputs) * wpo::pair_weight(inputs, o.alignment)
        }
        Objective::Humanline(o) => preference_loss(
            &o.objective,
            &humanline::clamped(inputs, o.low.get(), o.high.get()),
        ),
        Objective::ReferenceFree(o) => preference_loss(&o.objective, &reference_free(inputs)),
        Objective::Sum(terms) => terms
            .iter()
            .map(|term| preference_loss(&term.objective, inputs) * term.weight.get())
            .reduce(|sum, term| sum + term)
            .unwrap_or_else(|| inputs.policy.chosen.sum.zeros_like()),
    }
}

/// The inputs with every reference log-probability 0.
fn reference_free(inputs: &Inputs) -> Inputs {
    Inputs {
        reference: inputs.reference.as_ref().map(|side| side.zeroed()),
        ..inputs.clone()
    }
}

fn reward_shift(shift: RewardShift, inputs: &Inputs) -> Tensor<1> {
    match shift {
        RewardShift::Zero => inputs.policy.chosen.sum.clone().detach().slice([0..1]) * 0.0,
        RewardShift::RunningMean => {
            let shift = inputs.context.reward_shift.clone();
            shift.expect("BCO reads the running mean of rewards")
        }
    }
}

fn kl_baseline(settings: &Kto, inputs: &Inputs) -> Pair<Tensor<1>> {
    match settings.baseline {
        KlBaseline::Unrelated => {
            let kl = inputs.context.kl.clone();
            let kl = kl
                .expect("KTO reads the log-ratios of unrelated completions")
                .detach();
            Pair {
                chosen: kl.clone(),
                rejected: kl,
            }
        }
        KlBaseline::OtherSide => inputs.log_ratios().swapped().map(kto::kl_estimate),
        KlBaseline::Zero => inputs
            .log_ratios()
            .map(|ratios| ratios.detach().slice([0..1]) * 0.0),
    }
}
