//! What training cost, counted in several currencies.

use std::ops::AddAssign;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use preflab_transformer::{CausalLm, ScalarModel};
use serde::{Deserialize, Serialize};

/// Work done by a stage, in the currencies that budgets are matched in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Optimiser updates of the policy.
    pub updates: u64,
    /// Tokens (prompt and completion, no padding) that went through a backward pass, each time they did.
    pub trained_tokens: u64,
    /// Tokens sampled.
    pub generated_tokens: u64,
    /// Sequences scored by a reward model.
    pub reward_calls: u64,
    /// Floating-point operations by formula: `2 N` per token of a forward pass and `6 N` per trained token, with `N`
    /// the parameters that take part in matrix products (Kaplan et al. 2020, arXiv:2001.08361, section 2.1).
    pub flops: f64,
}

impl Work {
    /// A forward and backward pass over `tokens` tokens with a model of `parameters`.
    pub fn training(tokens: usize, parameters: usize) -> Self {
        Self {
            trained_tokens: tokens as u64,
            flops: 6.0 * parameters as f64 * tokens as f64,
            ..Self::default()
        }
    }

    /// A forward pass over `tokens` tokens with a model of `parameters`.
    pub fn forward(tokens: usize, parameters: usize) -> Self {
        Self {
            flops: 2.0 * parameters as f64 * tokens as f64,
            ..Self::default()
        }
    }

    /// What was added to `before` to get this.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            updates: self.updates - before.updates,
            trained_tokens: self.trained_tokens - before.trained_tokens,
            generated_tokens: self.generated_tokens - before.generated_tokens,
            reward_calls: self.reward_calls - before.reward_calls,
            flops: self.flops - before.flops,
        }
    }

    /// `new` tokens sampled after reading `prompt` tokens.
    pub fn generation(prompt: usize, new: usize, parameters: usize) -> Self {
        Self {
            generated_tokens: new as u64,
            ..Self::forward(prompt + new, parameters)
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.updates += other.updates;
        self.trained_tokens += other.trained_tokens;
        self.generated_tokens += other.generated_tokens;
        self.reward_calls += other.reward_calls;
        self.flops += other.flops;
    }
}

/// Parameters of `model` that take part in matrix products: all matrices but an embedding that is only looked up.
///
/// `embedding`: `vocabulary * width` where the embedding is not also the output head, else 0.
pub fn matrix_parameters<M: Module>(model: &M, embedding: usize) -> usize {
    struct Matrices(usize);
    impl ModuleVisitor for Matrices {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            if D == 2 {
                self.0 += parameter.shape().num_elements();
            }
        }
    }
    let mut matrices = Matrices(0);
    model.visit(&mut matrices);
    matrices.0 - embedding
}

/// [`matrix_parameters`] of a language model.
pub fn policy_parameters(policy: &CausalLm) -> usize {
    let architecture = policy.architecture();
    let embedding = if architecture.tied {
        0
    } else {
        architecture.vocabulary * architecture.width
    };
    matrix_parameters(policy, embedding)
}

/// [`matrix_parameters`] of a reward or value model.
pub fn scalar_parameters(model: &ScalarModel) -> usize {
    let architecture = model.architecture();
    matrix_parameters(model, architecture.vocabulary * architecture.width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_costs_three_forward_passes() {
        assert_eq!(
            Work::training(10, 7).flops,
            3.0 * Work::forward(10, 7).flops
        );
    }

    #[test]
    fn work_adds_up() {
        let mut work = Work::generation(3, 5, 10);
        work += Work {
            updates: 1,
            ..Work::training(4, 10)
        };
        assert_eq!(
            (work.updates, work.trained_tokens, work.generated_tokens),
            (1, 4, 5)
        );
        assert_eq!(work.flops, 2.0 * 10.0 * 8.0 + 6.0 * 10.0 * 4.0);
    }
}
