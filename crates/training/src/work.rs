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
    /// Floating-point operations by formula: `2 N` per token of a forward pass and `4 N + 2 M` per trained token, with `N`
    /// the parameters that take part in matrix products and `M` those of them that are trained (Kaplan et al. 2020,
    /// arXiv:2001.08361, section 2.1, where all are: `6 N`).
    pub flops: f64,
}

/// Parameters of a model that take part in matrix products.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parameters {
    /// All of them.
    pub all: usize,
    /// Those that are trained, of a model on an autodiff device.
    pub trained: usize,
}

impl Work {
    /// A forward and backward pass over `tokens` tokens with a model of `parameters`.
    pub fn training(tokens: usize, parameters: Parameters) -> Self {
        Self {
            trained_tokens: tokens as u64,
            flops: parameters.training_flops() * tokens as f64,
            ..Self::default()
        }
    }

    /// A forward pass over `tokens` tokens with a model of `parameters`.
    pub fn forward(tokens: usize, parameters: Parameters) -> Self {
        Self {
            flops: 2.0 * parameters.all as f64 * tokens as f64,
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
    pub fn generation(prompt: usize, new: usize, parameters: Parameters) -> Self {
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

impl Parameters {
    /// Operations of a forward and backward pass, for each token.
    pub fn training_flops(self) -> f64 {
        // 6 N where all are trained, in whole numbers.
        (4 * self.all + 2 * self.trained) as f64
    }
}

/// Parameters of `model` that take part in matrix products: all matrices but an embedding that is only looked up.
///
/// `looked_up`: the embedding where it is not also the output head.
pub fn matrix_parameters<M: Module>(model: &M, looked_up: Option<&Param<Tensor<2>>>) -> Parameters {
    struct Matrices(Parameters);
    impl ModuleVisitor for Matrices {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            if D == 2 {
                let Parameters { all, trained } = of(parameter);
                self.0.all += all;
                self.0.trained += trained;
            }
        }
    }
    let mut matrices = Matrices(Parameters::default());
    model.visit(&mut matrices);
    let looked_up = looked_up.map_or(Parameters::default(), of);
    Parameters {
        all: matrices.0.all - looked_up.all,
        trained: matrices.0.trained - looked_up.trained,
    }
}

fn of<const D: usize>(parameter: &Param<Tensor<D>>) -> Parameters {
    let all = parameter.shape().num_elements();
    Parameters {
        all,
        trained: if parameter.is_require_grad() { all } else { 0 },
    }
}

/// [`matrix_parameters`] of a language model.
pub fn policy_parameters(policy: &CausalLm) -> Parameters {
    let embedding = &policy.decoder.embed_tokens.weight;
    matrix_parameters(policy, (!policy.architecture().tied).then_some(embedding))
}

/// [`matrix_parameters`] of a reward or value model.
pub fn scalar_parameters(model: &ScalarModel) -> Parameters {
    matrix_parameters(model, Some(&model.decoder.embed_tokens.weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Parameters = Parameters {
        all: 10,
        trained: 10,
    };

    #[test]
    fn training_costs_three_forward_passes() {
        assert_eq!(
            Work::training(10, ALL).flops,
            3.0 * Work::forward(10, ALL).flops
        );
    }

    #[test]
    fn the_gradient_of_what_is_frozen_costs_nothing() {
        let adapter = Parameters {
            all: 10,
            trained: 1,
        };
        assert_eq!(
            Work::training(10, adapter).flops,
            (2.0 + 2.0 + 0.2) * 10.0 * 10.0
        );
    }

    #[test]
    fn work_adds_up() {
        let mut work = Work::generation(3, 5, ALL);
        work += Work {
            updates: 1,
            ..Work::training(4, ALL)
        };
        assert_eq!(
            (work.updates, work.trained_tokens, work.generated_tokens),
            (1, 4, 5)
        );
        assert_eq!(work.flops, 2.0 * 10.0 * 8.0 + 6.0 * 10.0 * 4.0);
    }
}
