//! Losses over scores: one function for each published one, one loss for each pair.

mod bradley_terry;
mod log_exp;
mod log_sigmoid;
mod plackett_luce;

pub use bradley_terry::{bradley_terry, centring};
pub use log_exp::log_exp;
pub use log_sigmoid::log_sigmoid;
pub use plackett_luce::plackett_luce;

use burn::tensor::Tensor;
use preflab_config::{BradleyTerry, RewardMargin, RewardObjective};
use preflab_data::Pair;

/// The one place where a configured loss becomes a function, `[b]`.
///
/// - `scores`: `[b]` each.
/// - `strengths`: how much better the chosen completion is, `[b]`; read by [`RewardMargin::PerPair`] alone.
///
/// # Panics
/// If the objective has a margin for each pair and no strengths are given.
pub fn pair_losses(
    objective: &RewardObjective,
    scores: &Pair<Tensor<1>>,
    strengths: Option<&Tensor<1>>,
) -> Tensor<1> {
    match objective {
        RewardObjective::BradleyTerry(settings) => {
            let BradleyTerry {
                margin,
                centre,
                label_smoothing,
            } = settings;
            let difference = scores.chosen.clone() - scores.rejected.clone();
            let difference = match margin {
                RewardMargin::None => difference,
                RewardMargin::Constant(margin) => difference - margin.get(),
                RewardMargin::PerPair(scale) => {
                    let strengths = strengths.expect("a strength of preference for each pair");
                    difference - strengths.clone() * scale.get()
                }
            };
            let losses = bradley_terry(difference, label_smoothing.get());
            if centre.get() == 0.0 {
                losses
            } else {
                losses + centring(scores) * centre.get()
            }
        }
        RewardObjective::LogExp => log_exp(scores),
        RewardObjective::PlackettLuce => {
            let ranked =
                Tensor::stack::<2>(vec![scores.chosen.clone(), scores.rejected.clone()], 1);
            plackett_luce(ranked)
        }
    }
}
