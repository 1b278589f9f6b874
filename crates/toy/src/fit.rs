//! The supervised start.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use preflab_config::{ToyOptimizer, ToySettings};

use crate::network::{self, Parameters, Training};
use crate::streams::Stream;
use crate::world::{self, PROMPTS, RESPONSES};

/// Policies fitted to the hand-set probabilities: one for each scenario and seed (scenarios outside), by Adam on the
/// cross-entropy `−Σ_y p(y) log π(y|x)`, mean over the four prompts.
pub(crate) fn fit(settings: &ToySettings, seeds: &[u64], device: &Device) -> Parameters {
    let scenarios = settings.scenarios.len();
    let initial = network::initial(seeds, settings.width.get(), Stream::Policy, device);
    let targets: Vec<f32> = settings
        .scenarios
        .iter()
        .flat_map(|&scenario| {
            let start = world::start(settings, scenario).map(|p| p as f32);
            start.repeat(PROMPTS).repeat(seeds.len())
        })
        .collect();
    let shape = [scenarios * seeds.len(), PROMPTS, RESPONSES];
    let targets: Tensor<3> =
        Tensor::from_data(TensorData::new(targets, shape), device) * (-1.0 / PROMPTS as f64);
    let mut training = Training::new(
        network::repeated(&initial, scenarios),
        ToyOptimizer::Adam,
        settings.fit.learning_rate.get(),
    );
    for _ in 0..settings.fit.epochs.get() {
        let leaves = training.leaves();
        let logps = log_softmax(network::forward(&leaves), 2);
        let gradients = (logps * targets.clone()).sum().backward();
        training = training.update(leaves, &gradients);
    }
    training.into_parameters()
}
