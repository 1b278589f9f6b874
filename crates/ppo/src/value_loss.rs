//! The loss of the value model.

use burn::tensor::Tensor;
use preflab_config::ValueClip;

use crate::policy_loss::larger;

/// Half the squared error of the value, clipped as the policy is, `[b, t]`.
///
/// `1/2 max((V - R)^2, (clip(V, V_old - c, V_old + c) - R)^2)`, or `1/2 (V - R)^2` with [`ValueClip::Off`].
///
/// OpenAI baselines' PPO2; Stiennon et al. 2020, [arXiv:2009.01325](https://arxiv.org/abs/2009.01325), their code.
/// TRL, verl, OpenRLHF and lm-human-preferences agree.
///
/// - `values`: now; carries the gradient. `old_values`: at sampling time. `returns`: the target. `[b, t]` each.
pub fn value_loss(
    values: Tensor<2>,
    old_values: Tensor<2>,
    returns: Tensor<2>,
    clip: ValueClip,
) -> Tensor<2> {
    let plain = (values.clone() - returns.clone()).square();
    let losses = match clip {
        ValueClip::Off => plain,
        ValueClip::Within(bound) => {
            // Not old + clamp(values - old): rounding would make an unclipped value differ from itself.
            let (low, high) = (old_values.clone() - bound.get(), old_values + bound.get());
            let below = values.clone().lower(low.clone());
            let above = values.clone().greater(high.clone());
            let clamped = values.mask_where(below, low).mask_where(above, high);
            larger(plain, (clamped - returns).square())
        }
    };
    losses * 0.5
}

/// Whether the clipped term is the larger loss, for one token.
pub fn value_is_clipped(value: f64, old_value: f64, target: f64, clip: ValueClip) -> bool {
    match clip {
        ValueClip::Off => false,
        ValueClip::Within(bound) => {
            let clamped = value.clamp(old_value - bound.get(), old_value + bound.get());
            (clamped - target).powi(2) > (value - target).powi(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy_loss::tests::numbers;
    use burn::tensor::{DType, Device, TensorData};
    use preflab_config::Positive;

    #[test]
    fn a_value_that_ran_ahead_of_its_bound_gets_no_gradient() {
        let device = Device::flex().autodiff();
        let row = |cells: [f64; 3]| -> Tensor<2> {
            Tensor::from_data(
                TensorData::new(cells.to_vec(), [1, 3]),
                (&device, DType::F64),
            )
        };
        let clip = ValueClip::Within(Positive::of(0.2));
        // Unchanged; moved too far towards the target; moved too far away from it.
        let (values, old, returns) = ([0.0, 0.5, -0.5], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]);
        let leaf = row(values).require_grad();
        let losses = value_loss(leaf.clone(), row(old), row(returns), clip);
        let ours = numbers(losses.clone().inner());
        for (ours, theirs) in ours.iter().zip([0.5, 0.5 * 0.64, 0.5 * 2.25]) {
            assert!((ours - theirs).abs() < 1e-15);
        }
        let gradient = numbers(leaf.grad(&losses.sum().backward()).unwrap());
        assert_eq!(gradient, [-1.0, 0.0, -1.5]);
        let clipped = [0, 1, 2].map(|i| value_is_clipped(values[i], old[i], returns[i], clip));
        assert_eq!(clipped, [false, true, false]);
    }
}
