//! One update of a parameter by AdamW.

use burn::backend::Flex;
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use crate::flex::{contiguous, floats, floats_mut};
use crate::path::fused;
use crate::rows::{self, Shared};
use crate::simd::{Level, vectorised};

/// The constants of one update, the same for all parameters of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamwStep {
    /// Decay of the first and second moment, `β₁` and `β₂`.
    pub betas: [f64; 2],
    /// `ε`, added to the root of the corrected second moment.
    pub epsilon: f64,
    /// Learning rate `η`.
    pub learning_rate: f64,
    /// Weight decay `λ`, not coupled to the gradient.
    pub decay: f64,
    /// Number of this update, from 1.
    pub update: u64,
}

/// A parameter with its moments, of equal shape.
#[derive(Debug, Clone)]
pub struct AdamwState<const D: usize> {
    /// `p`, without autodiff.
    pub parameter: Tensor<D>,
    /// `m`, zeros before the first update.
    pub first: Tensor<D>,
    /// `v`, zeros before the first update.
    pub second: Tensor<D>,
}

/// `m ← β₁m + (1−β₁)g`, `v ← β₂v + (1−β₂)g²`,
/// `p ← p·(1−ηλ) − η/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)`.
///
/// Loshchilov & Hutter 2017, [arXiv:1711.05101](https://arxiv.org/abs/1711.05101), algorithm 2, with the order of
/// operations of `torch.optim.AdamW`.
///
/// Every operation is rounded on its own: the result is bitwise the same on every machine and by both paths.
///
/// - `state`: updated in place where nothing else holds its tensors.
/// - `gradient`: `g` before clipping; `clip`: factor on it, `[1]`, or none.
pub fn adamw_update<const D: usize>(
    state: AdamwState<D>,
    gradient: Tensor<D>,
    clip: Option<&Tensor<1>>,
    step: &AdamwStep,
) -> AdamwState<D> {
    assert_eq!(
        state.parameter.dims(),
        gradient.dims(),
        "a gradient of the parameter's shape"
    );
    let kernel =
        fused(&state.parameter) && fused(&gradient) && fused(&state.first) && fused(&state.second);
    if kernel {
        in_place(state, gradient, clip, &step.constants())
    } else {
        composed(state, gradient, clip, &step.constants())
    }
}

/// What an update multiplies by.
struct Constants {
    betas: [f64; 2],
    epsilon: f64,
    /// `1 − ηλ`.
    keep: f64,
    /// `η/(1−β₁ᵗ)`.
    size: f64,
    /// `√(1−β₂ᵗ)`.
    root_correction: f64,
}

impl AdamwStep {
    fn constants(&self) -> Constants {
        let [first, second] = self.betas.map(|beta| 1.0 - beta.powf(self.update as f64));
        Constants {
            betas: self.betas,
            epsilon: self.epsilon,
            keep: 1.0 - self.learning_rate * self.decay,
            size: self.learning_rate / first,
            root_correction: second.sqrt(),
        }
    }
}

fn composed<const D: usize>(
    state: AdamwState<D>,
    gradient: Tensor<D>,
    clip: Option<&Tensor<1>>,
    constants: &Constants,
) -> AdamwState<D> {
    let AdamwState {
        parameter,
        first,
        second,
    } = state;
    let [beta_1, beta_2] = constants.betas;
    let gradient = match clip {
        Some(clip) => gradient * clip.clone().unsqueeze(),
        None => gradient,
    };
    let first = first * beta_1 + gradient.clone() * (1.0 - beta_1);
    let second = second * beta_2 + gradient.square() * (1.0 - beta_2);
    let denominator = second.clone().sqrt() / constants.root_correction + constants.epsilon;
    let change = first.clone() / denominator * constants.size;
    AdamwState {
        parameter: parameter * constants.keep - change,
        first,
        second,
    }
}

fn in_place<const D: usize>(
    state: AdamwState<D>,
    gradient: Tensor<D>,
    clip: Option<&Tensor<1>>,
    constants: &Constants,
) -> AdamwState<D> {
    let clip = clip.map_or(1.0, |clip| clip.clone().into_scalar::<f32>());
    let own = |x: Tensor<D>| contiguous(primitive(x));
    let (mut parameter, mut first, mut second) =
        (own(state.parameter), own(state.first), own(state.second));
    let gradient = own(gradient);
    let level = Level::best();
    {
        let to = [&mut parameter, &mut first, &mut second].map(|x| Shared::new(floats_mut(x)));
        let gradient = floats(&gradient);
        rows::each(gradient.len(), 1, |part| {
            // SAFETY: the parts are disjoint.
            let [p, m, v] = to.map(|to| unsafe { to.slice(part.clone()) });
            update(level, p, m, v, &gradient[part], clip, constants);
        });
    }
    let [parameter, first, second] = [parameter, first, second].map(Tensor::from_primitive::<Flex>);
    AdamwState {
        parameter,
        first,
        second,
    }
}

fn primitive<const D: usize>(x: Tensor<D>) -> FlexTensor {
    x.try_into_primitive::<Flex>()
        .expect("an optimiser updates tensors without autodiff")
}

vectorised! {
    fn update(p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], clip: f32, constants: &Constants) {
        let [beta_1, beta_2] = constants.betas.map(|beta| beta as f32);
        let [rest_1, rest_2] = constants.betas.map(|beta| (1.0 - beta) as f32);
        let (keep, size) = (constants.keep as f32, constants.size as f32);
        let (correction, epsilon) = (constants.root_correction as f32, constants.epsilon as f32);
        for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
            let g = g * clip;
            *m = *m * beta_1 + g * rest_1;
            *v = *v * beta_2 + g * g * rest_2;
            let change = *m / (v.sqrt() / correction + epsilon) * size;
            *p = *p * keep - change;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::{Path, with_path};
    use crate::testing::{difference, normal, values};

    const STEP: AdamwStep = AdamwStep {
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        learning_rate: 0.01,
        decay: 0.1,
        update: 1,
    };

    fn numbers(x: Tensor<1>) -> Vec<f32> {
        x.into_data().try_to_vec().unwrap()
    }

    /// Ten updates with fresh gradients of `n` elements.
    fn run(path: Path, n: usize) -> [Vec<f32>; 3] {
        with_path(path, || {
            let zeros = values(vec![0.0; n]);
            let mut state = AdamwState {
                parameter: values(normal(vec![n], 1)),
                first: zeros.clone(),
                second: zeros,
            };
            for update in 1..=10 {
                let gradient = values(normal(vec![n], 100 + update));
                let clip = (update % 2 == 0).then(|| values(vec![0.3]));
                state = adamw_update(
                    state,
                    gradient,
                    clip.as_ref(),
                    &AdamwStep { update, ..STEP },
                );
            }
            [state.parameter, state.first, state.second].map(numbers)
        })
    }

    #[test]
    fn fused_equals_composed_bitwise() {
        for n in [1, 7, 100, 40_000] {
            assert!(
                run(Path::Fused, n) == run(Path::Composed, n),
                "{n} elements"
            );
        }
    }

    #[test]
    fn the_first_update_moves_by_the_learning_rate() {
        // m/(1-b1) = g and v/(1-b2) = g^2, so that the change is the sign of the gradient times the learning rate.
        let state = AdamwState {
            parameter: values(vec![1.0, 1.0]),
            first: values(vec![0.0; 2]),
            second: values(vec![0.0; 2]),
        };
        let step = AdamwStep { decay: 0.0, ..STEP };
        let state = adamw_update(state, values(vec![3.0, -0.2]), None, &step);
        let apart = difference(&numbers(state.parameter), &[0.99, 1.01]);
        assert!(apart < 1e-6, "{apart}");
    }

    #[test]
    fn tensors_of_other_owners_stay_as_they_are() {
        let parameter = values(vec![1.0, 2.0]);
        let zeros = values(vec![0.0; 2]);
        let state = AdamwState {
            parameter: parameter.clone(),
            first: zeros.clone(),
            second: zeros.clone(),
        };
        adamw_update(state, values(vec![1.0, 1.0]), None, &STEP);
        assert_eq!(numbers(parameter), [1.0, 2.0]);
        assert_eq!(numbers(zeros), [0.0, 0.0]);
    }
}
