//! Many three-layer perceptrons as one: weights with a leading axis of runs.
//!
//! # Shapes
//! `r` runs, `h` hidden units, 4 prompts, 10 responses.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use preflab_config::ToyOptimizer;
use preflab_kernels::{AdamwState, AdamwStep, adamw_update};
use rand::RngExt;

use crate::streams::{self, Stream};
use crate::world::{PROMPTS, RESPONSES};

/// Weight and bias of each of three layers: `[r, in, out]` and `[r, 1, out]`.
pub(crate) type Parameters = [Tensor<3>; 6];

/// Initial weights of one run for each seed, uniform in `±1/√in`, weights and biases alike, as PyTorch's `Linear` draws
/// them.
pub(crate) fn initial(seeds: &[u64], width: usize, stream: Stream, device: &Device) -> Parameters {
    let mut rngs: Vec<_> = seeds
        .iter()
        .map(|&seed| streams::rng(seed, stream, 0))
        .collect();
    let mut tensor = |rows: usize, columns: usize, fan_in: usize| {
        let bound = 1.0 / (fan_in as f64).sqrt();
        let values: Vec<f32> = rngs
            .iter_mut()
            .flat_map(|rng| {
                (0..rows * columns)
                    .map(|_| rng.random_range(-bound..bound) as f32)
                    .collect::<Vec<_>>()
            })
            .collect();
        Tensor::from_data(
            TensorData::new(values, [seeds.len(), rows, columns]),
            device,
        )
    };
    [
        tensor(PROMPTS, width, PROMPTS),
        tensor(1, width, PROMPTS),
        tensor(width, width, width),
        tensor(1, width, width),
        tensor(width, RESPONSES, width),
        tensor(1, RESPONSES, width),
    ]
}

/// Every run `times` over: the whole block of runs again and again.
pub(crate) fn repeated(parameters: &Parameters, times: usize) -> Parameters {
    parameters
        .each_ref()
        .map(|tensor| Tensor::cat(vec![tensor.clone(); times], 0))
}

/// Outputs for all prompts: `[r, 4, 10]`.
///
/// A prompt is a one-hot vector, so that the first layer's product is its weight matrix itself.
pub(crate) fn forward(parameters: &Parameters) -> Tensor<3> {
    let [w1, b1, w2, b2, w3, b3] = parameters.clone();
    let hidden = relu(w1 + b1);
    let hidden = relu(hidden.matmul(w2) + b2);
    hidden.matmul(w3) + b3
}

/// Parameters while they are trained.
pub(crate) struct Training {
    states: [AdamwState<3>; 6],
    optimizer: ToyOptimizer,
    learning_rate: f64,
    updates: u64,
}

impl Training {
    /// From `parameters`, without autodiff.
    pub(crate) fn new(parameters: Parameters, optimizer: ToyOptimizer, learning_rate: f64) -> Self {
        let state = |parameter: Tensor<3>| AdamwState {
            first: parameter.zeros_like(),
            second: parameter.zeros_like(),
            parameter,
        };
        Self {
            states: parameters.map(state),
            optimizer,
            learning_rate,
            updates: 0,
        }
    }

    /// The present parameters as leaves to differentiate by.
    pub(crate) fn leaves(&self) -> Parameters {
        self.states
            .each_ref()
            .map(|state| Tensor::from_inner(state.parameter.clone()).require_grad())
    }

    /// The trained parameters, without autodiff.
    pub(crate) fn into_parameters(self) -> Parameters {
        self.states.map(|state| state.parameter)
    }

    /// One update by the gradient of a loss whose backward pass left `gradients`. Each run's gradient is of its own loss,
    /// so that runs do not meet.
    pub(crate) fn update(self, leaves: Parameters, gradients: &Gradients) -> Self {
        let updates = self.updates + 1;
        let step = AdamwStep {
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            learning_rate: self.learning_rate,
            decay: 0.0,
            update: updates,
        };
        let mut leaves = leaves.into_iter();
        let states = self.states.map(|state| {
            let leaf = leaves.next().expect("a leaf for each tensor");
            let gradient = leaf.grad(gradients).expect("every weight is used");
            drop(leaf);
            match self.optimizer {
                ToyOptimizer::Adam => adamw_update(state, gradient, None, &step),
                ToyOptimizer::Sgd => AdamwState {
                    parameter: state.parameter - gradient * self.learning_rate,
                    ..state
                },
            }
        });
        Self {
            states,
            updates,
            ..self
        }
    }
}
