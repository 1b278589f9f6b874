//! The loss of an arm that learns from pairs.

use burn::tensor::{Int, Tensor};
use preflab_config::Objective;
use preflab_data::Pair;
use preflab_dpo::{Inputs, Logps, Needs, preference_loss};

/// What the mini-batches of an arm's runs say: `n` runs, `b` pairs each.
pub(crate) struct Pairs<'a> {
    /// `log π` of the chosen, then the rejected responses, `[n, 2b]`.
    pub(crate) policy: Tensor<2>,
    /// The same at the start.
    pub(crate) reference: Tensor<2>,
    /// All of `log π`, `[n, 40]`, without autodiff.
    pub(crate) all: Tensor<2>,
    /// All of `log π_start`.
    pub(crate) all_reference: &'a Tensor<2>,
    /// Cells of each prompt with the responses of the next pair, `[n, 2b]`.
    pub(crate) mismatched: &'a Tensor<2, Int>,
}

/// The objective of each pair, `[n, b]`.
pub(crate) fn losses(objective: &Objective, pairs: Pairs<'_>) -> Tensor<2> {
    let [n, columns] = pairs.policy.dims();
    let b = columns / 2;
    let needs = Needs::of(objective);
    let sides = |logps: &Tensor<2>| {
        Pair {
            chosen: 0,
            rejected: b,
        }
        .map(|first| {
            let sum = logps.clone().narrow(1, first, b).reshape([n * b]);
            let lengths = sum.clone().detach().ones_like();
            if needs.tokens {
                Logps::from_tokens(sum.unsqueeze_dim(1), lengths)
            } else {
                Logps::from_sums(sum, lengths)
            }
        })
    };
    let mut inputs = Inputs::new(sides(&pairs.policy), sides(&pairs.reference));
    if needs.unrelated {
        inputs.context.kl = Some(mismatched_kl(&pairs, b));
    }
    preference_loss(objective, &inputs).reshape([n, b])
}

/// KTO's `z` of each run, for each of its pairs, `[n · b]`: `max(0, mean(log π − log π_start))` over prompts with the
/// responses of the next pair of the mini-batch.
fn mismatched_kl(pairs: &Pairs<'_>, b: usize) -> Tensor<1> {
    let at = |all: &Tensor<2>| all.clone().gather(1, pairs.mismatched.clone());
    let ratios = at(&pairs.all) - at(pairs.all_reference);
    let each = ratios.mean_dim(1).clamp_min(0.0).repeat_dim(1, b);
    let all = each.dims()[0] * b;
    each.reshape([all])
}

/// Why an objective has no place in the toy model, or nothing.
pub(crate) fn unfit(objective: &Objective, batch: usize) -> Option<&'static str> {
    let needs = Needs::of(objective);
    if needs.whole_update {
        Some(
            "it compares the pairs of an update with one another, and here an update holds those of many runs",
        )
    } else if needs.score_gaps {
        Some("it reads a judge's scores, and the toy world has no judge")
    } else if needs.reward_shift {
        Some("it reads a running mean of rewards, which the toy model does not keep")
    } else if needs.collision {
        Some(
            "it reads the expected probability of the policy's own samples, which the toy model does not compute",
        )
    } else if needs.unrelated && batch < 2 {
        Some(
            "its divergence is estimated from the responses of other pairs, and the mini-batch has a single one",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::numbers;
    use burn::tensor::Device;
    use preflab_config::Kto;

    #[test]
    fn a_run_of_kto_has_its_own_baseline() {
        let device = Device::flex();
        let all = Tensor::<2>::from_floats([[-1.0, -2.0], [-3.0, -1.0]], &device);
        let start = Tensor::<2>::from_floats([[-2.0, -3.0], [-2.0, -2.0]], &device);
        let cells = Tensor::<2, Int>::from_ints([[0, 1], [0, 1]], &device);
        let pairs = Pairs {
            policy: all.clone(),
            reference: start.clone(),
            all,
            all_reference: &start,
            mismatched: &cells,
        };
        assert_eq!(numbers(&mismatched_kl(&pairs, 1)), [1.0, 0.0]);
        assert!(unfit(&Objective::Kto(Kto::default()), 1).is_some());
        assert!(unfit(&Objective::Kto(Kto::default()), 2).is_none());
    }
}
