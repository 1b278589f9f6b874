//! The parameter gradient, taken apart into what comes through chosen and what through rejected completions.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use preflab_data::{Pair, TokenPair};
use preflab_transformer::{CausalLm, Completions, gradients};

use crate::measured::Measured;

/// Norms and cosine of the two parts of the parameter gradient: the one through the chosen completions'
/// log-probabilities and the one through the rejected completions'.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientParts {
    /// Euclidean norms.
    pub norms: Pair<f64>,
    /// Cosine of the angle between them; NaN where one of them is 0.
    pub cosine: f64,
}

/// [`GradientParts`] on `pairs` with the slopes `dl/dlog pi` that `measured` holds of them.
pub fn gradient_parts(
    policy: &CausalLm,
    pairs: &[TokenPair],
    measured: &Measured,
) -> GradientParts {
    let part = |pick: fn(&TokenPair) -> &Vec<u32>, slopes: &[f64]| {
        let rows: Vec<(&[u32], &[u32])> = pairs
            .iter()
            .map(|pair| (pair.prompt.as_slice(), pick(pair).as_slice()))
            .collect();
        let completions = Completions::new(&rows, &policy.device());
        let slopes: Vec<f32> = slopes.iter().map(|&slope| slope as f32).collect();
        let slopes = Tensor::<1>::from_floats(slopes.as_slice(), &policy.device());
        let sums = policy.completion_logps(&completions, 1.0).sum();
        gradients(policy, (sums * slopes).mean())
    };
    let chosen = part(|pair| &pair.chosen, &measured.slopes.chosen);
    let rejected = part(|pair| &pair.rejected, &measured.slopes.rejected);
    let mut products = Products {
        chosen: &chosen,
        rejected: &rejected,
        sums: [0.0; 3],
    };
    policy.visit(&mut products);
    let [chosen, rejected, both] = products.sums;
    GradientParts {
        norms: Pair {
            chosen: chosen.sqrt(),
            rejected: rejected.sqrt(),
        },
        cosine: both / (chosen.sqrt() * rejected.sqrt()),
    }
}

/// Inner products of two gradients: with themselves and with one another.
struct Products<'g> {
    chosen: &'g GradientsParams,
    rejected: &'g GradientsParams,
    sums: [f64; 3],
}

impl ModuleVisitor for Products<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let chosen = self.chosen.get::<D>(parameter.id);
        let rejected = self.rejected.get::<D>(parameter.id);
        let (Some(chosen), Some(rejected)) = (chosen, rejected) else {
            return;
        };
        let products = [
            chosen.clone() * chosen.clone(),
            rejected.clone() * rejected.clone(),
            chosen * rejected,
        ];
        for (sum, product) in self.sums.iter_mut().zip(products) {
            *sum += f64::from(product.sum().into_scalar::<f32>());
        }
    }
}
