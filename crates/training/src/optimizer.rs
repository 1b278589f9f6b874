//! AdamW with global-norm clipping, equal to `torch.optim.AdamW` and `torch.nn.utils.clip_grad_norm_`.
//!
//! burn's own AdamW forms `1 - beta` in f32 (for 0.999 an error of 5e-5), and clips each parameter by its own norm;
//! neither can follow a PyTorch trajectory.

use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;
use preflab_config::{OptimizerSettings, Positive};
use preflab_kernels::{AdamwState, AdamwStep, adamw_update, global_norm};
use preflab_transformer::checkpoint::{load_weights, save_weights};
use serde::{Deserialize, Serialize};

use crate::StateError;
use crate::schedule::learning_rate;

/// AdamW over all parameters of a module.
///
/// `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`,
/// `p <- p (1 - lr wd) - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`.
///
/// Loshchilov & Hutter 2017, [arXiv:1711.05101](https://arxiv.org/abs/1711.05101), algorithm 2. Weight decay acts on
/// parameters of two or more dimensions only (never on biases and norm weights), as in transformers' `Trainer`.
#[derive(Debug, Clone)]
pub struct Optimizer {
    settings: OptimizerSettings,
    total: usize,
    update: usize,
    /// None of what is frozen, which takes no memory here.
    moments: Vec<Option<Moments>>,
}

/// How far an optimiser is: all of its state but the moments.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerProgress {
    update: usize,
    total: usize,
    learning_rate: Positive,
}

/// First and second moment of one parameter, flattened, in the order in which the module is visited.
#[derive(Debug, Clone)]
struct Moments {
    first: Tensor<1>,
    second: Tensor<1>,
}

/// What one update did.
#[derive(Debug, Clone)]
pub struct Update {
    /// Learning rate used.
    pub learning_rate: f64,
    norm: Tensor<1>,
}

impl Update {
    /// Global gradient norm before clipping, `[1]`, to be read with other tensors.
    pub fn norm(&self) -> Tensor<1> {
        self.norm.clone()
    }

    /// Global gradient norm before clipping. Reading it waits for the device.
    pub fn grad_norm(&self) -> f64 {
        f64::from(self.norm.clone().into_scalar::<f32>())
    }
}

impl Optimizer {
    /// An optimiser for `total` updates, which the schedule is stretched over.
    pub fn new(settings: OptimizerSettings, total: usize) -> Self {
        Self {
            settings,
            total,
            update: 0,
            moments: Vec::new(),
        }
    }

    /// Updates done so far.
    pub fn updates(&self) -> usize {
        self.update
    }

    /// Learning rate of the next update.
    pub fn learning_rate(&self) -> f64 {
        learning_rate(&self.settings, self.update, self.total)
    }

    /// Sets the peak learning rate of the updates to come.
    pub fn set_learning_rate(&mut self, peak: Positive) {
        self.settings.learning_rate = peak;
    }

    /// How far it is.
    pub fn progress(&self) -> OptimizerProgress {
        OptimizerProgress {
            update: self.update,
            total: self.total,
            learning_rate: self.settings.learning_rate,
        }
    }

    /// Goes to where another optimiser of the same settings was; the moments are read by
    /// [`StateReader::learner`](crate::StateReader::learner).
    pub fn set_progress(&mut self, progress: OptimizerProgress) {
        self.update = progress.update;
        self.total = progress.total;
        self.settings.learning_rate = progress.learning_rate;
    }

    /// Writes the moments to a safetensors file.
    pub(crate) fn save_moments(&self, path: &Path) -> Result<(), StateError> {
        let parameter = |moment: &Tensor<1>| Param::from_tensor(moment.clone());
        let kept = KeptMoments {
            first: self.kept().map(|m| parameter(&m.first)).collect(),
            second: self.kept().map(|m| parameter(&m.second)).collect(),
        };
        Ok(save_weights(&kept, path)?)
    }

    fn kept(&self) -> impl Iterator<Item = &Moments> {
        self.moments.iter().flatten()
    }

    /// Reads the moments of the parameters of `module`; none before the first update.
    pub(crate) fn load_moments<M: Module>(
        &mut self,
        module: &M,
        path: &Path,
    ) -> Result<(), StateError> {
        let mut zeros = Zeros::default();
        if self.update > 0 {
            module.visit(&mut zeros);
        }
        let empty = KeptMoments {
            first: zeros.zeros.clone(),
            second: zeros.zeros,
        };
        let KeptMoments { first, second } = load_weights(empty, path)?;
        let mut moments = first.into_iter().zip(second);
        self.moments = zeros
            .trained
            .iter()
            .map(|trained| {
                let (first, second) = trained.then(|| moments.next()).flatten()?;
                Some(Moments {
                    first: first.val(),
                    second: second.val(),
                })
            })
            .collect();
        Ok(())
    }

    /// One update of `module` with `gradients`, in place where nothing else holds a parameter; those without a gradient stay
    /// as they are.
    pub fn step<M: Module>(&mut self, module: &mut M, gradients: GradientsParams) -> Update {
        let mut flattened = Flattened {
            gradients: &gradients,
            parts: Vec::new(),
        };
        module.visit(&mut flattened);
        let norm = global_norm(&flattened.parts);
        drop(flattened);
        let max_norm = self.settings.max_grad_norm.get();
        let clip = (max_norm > 0.0).then(|| {
            (norm.clone() + 1e-6)
                .recip()
                .mul_scalar(max_norm)
                .clamp_max(1.0)
        });

        let learning_rate = self.learning_rate();
        self.update += 1;
        // Taken out of its place: a copy would hold the old weights, and every parameter would be written anew.
        let emptied = module.clone().map(&mut Emptied);
        let taken = std::mem::replace(module, emptied);
        *module = taken.map(&mut Step {
            gradients,
            clip,
            moments: &mut self.moments,
            visited: 0,
            constants: AdamwStep {
                betas: self.settings.betas.map(|beta| beta.get()),
                epsilon: self.settings.epsilon.get(),
                learning_rate,
                decay: self.settings.weight_decay.get(),
                update: self.update as u64,
            },
        });
        Update {
            learning_rate,
            norm,
        }
    }
}

/// Moments as they are kept on disk.
#[derive(Module, Debug)]
struct KeptMoments {
    first: Vec<Param<Tensor<1>>>,
    second: Vec<Param<Tensor<1>>>,
}

/// Zeros for each trained parameter of a module, flattened, in the order of its visit.
#[derive(Default)]
struct Zeros {
    zeros: Vec<Param<Tensor<1>>>,
    /// Whether each parameter is trained.
    trained: Vec<bool>,
}

impl ModuleVisitor for Zeros {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let trained = parameter.is_require_grad();
        self.trained.push(trained);
        if trained {
            let zeros = Tensor::zeros(
                [parameter.shape().num_elements()],
                &parameter.device().inner(),
            );
            self.zeros.push(Param::from_tensor(zeros));
        }
    }
}

struct Flattened<'a> {
    gradients: &'a GradientsParams,
    parts: Vec<Tensor<1>>,
}

impl ModuleVisitor for Flattened<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(parameter.id) {
            let count = gradient.shape().num_elements();
            self.parts.push(gradient.reshape([count]));
        }
    }
}

/// Leaves next to nothing of every parameter.
struct Emptied;

impl ModuleMapper for Emptied {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = parameter.consume();
        Param::from_mapped_value(id, Tensor::empty([1; D], &value.device()), mapper)
    }
}

struct Step<'a> {
    gradients: GradientsParams,
    clip: Option<Tensor<1>>,
    moments: &'a mut Vec<Option<Moments>>,
    visited: usize,
    constants: AdamwStep,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let index = self.visited;
        self.visited += 1;
        let shape = parameter.shape();
        let count = shape.num_elements();
        if self.moments.len() == index {
            let zeros = || Tensor::zeros([count], &parameter.device().inner());
            self.moments
                .push(parameter.is_require_grad().then(|| Moments {
                    first: zeros(),
                    second: zeros(),
                }));
        }
        let Some(gradient) = self.gradients.remove::<D>(parameter.id) else {
            return parameter;
        };
        let decay = if D >= 2 { self.constants.decay } else { 0.0 };
        let constants = AdamwStep {
            decay,
            ..self.constants
        };
        // Handed over, so that the update may change them in place.
        let Some(moments) = self.moments[index].take() else {
            return parameter;
        };
        parameter.map(|value| {
            let tracked = value.is_require_grad();
            let state = AdamwState {
                parameter: value.inner().reshape([count]),
                first: moments.first,
                second: moments.second,
            };
            let gradient = gradient.reshape([count]);
            let state = adamw_update(state, gradient, self.clip.as_ref(), &constants);
            self.moments[index] = Some(Moments {
                first: state.first,
                second: state.second,
            });
            let value = state.parameter.reshape(shape);
            if tracked {
                Tensor::from_inner(value).require_grad()
            } else {
                value
            }
        })
    }
}

/// Gradients of the micro-batches of one update, summed.
///
/// The losses of the micro-batches must already carry their share of the update (sum over examples divided by the number
/// of examples of the *whole* update), so that one micro-batch of N equals N of one.
#[derive(Default)]
pub struct Accumulated<M: Module> {
    sum: GradientsAccumulator<M>,
}

impl<M: Module> Accumulated<M> {
    /// No gradients yet.
    pub fn new() -> Self {
        Self {
            sum: GradientsAccumulator::new(),
        }
    }

    /// Adds the gradients of one micro-batch.
    pub fn add(&mut self, module: &M, gradients: GradientsParams) {
        self.sum.accumulate(module, gradients);
    }

    /// Global norm of the sum so far; 0 of nothing. Reading it waits for the device.
    pub fn norm(&mut self, module: &M) -> f64 {
        let gradients = self.sum.grads();
        let mut flattened = Flattened {
            gradients: &gradients,
            parts: Vec::new(),
        };
        module.visit(&mut flattened);
        let norm = match flattened.parts.is_empty() {
            true => 0.0,
            false => f64::from(global_norm(&flattened.parts).into_scalar::<f32>()),
        };
        drop(flattened);
        self.sum.accumulate(module, gradients);
        norm
    }

    /// The sum, ready for [`Optimizer::step`].
    pub fn take(&mut self) -> GradientsParams {
        self.sum.grads()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Param;
    use burn::tensor::{Device, TensorData};
    use preflab_config::{NonNegative, Schedule};

    #[derive(Module, Debug)]
    struct Two {
        matrix: Param<Tensor<2>>,
        bias: Param<Tensor<1>>,
    }

    fn two(device: &Device) -> Two {
        let matrix = Tensor::<2>::from_data(TensorData::from([[0.5, -1.0], [2.0, 0.25]]), device);
        let bias = Tensor::<1>::from_data(TensorData::from([0.1, -0.2]), device);
        Two {
            matrix: Param::from_tensor(matrix),
            bias: Param::from_tensor(bias),
        }
    }

    fn loss(module: &Two) -> Tensor<1> {
        let y = module.matrix.val().square().sum() * 0.5 + (module.bias.val() * 3.0).exp().sum();
        y.reshape([1])
    }

    fn weights(module: &Two) -> Vec<f32> {
        let mut all = module.matrix.val().into_data().try_to_vec::<f32>().unwrap();
        all.extend(module.bias.val().into_data().try_to_vec::<f32>().unwrap());
        all
    }

    /// The published update, in f64 on plain numbers.
    fn by_hand(steps: usize, lr: f64, wd: f64, max_norm: f64) -> Vec<f64> {
        let mut p = [0.5, -1.0, 2.0, 0.25, 0.1, -0.2];
        let (mut m, mut v) = ([0.0; 6], [0.0; 6]);
        for t in 1..=steps {
            let mut g: Vec<f64> = p[..4].to_vec();
            g.extend(p[4..].iter().map(|b| 3.0 * (3.0 * b).exp()));
            let norm = g.iter().map(|x| x * x).sum::<f64>().sqrt();
            let scale = (max_norm / (norm + 1e-6)).min(1.0);
            for i in 0..6 {
                let g = g[i] * scale;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (bias_1, bias_2) = (1.0 - 0.9f64.powi(t as i32), 1.0 - 0.999f64.powi(t as i32));
                let decay = if i < 4 { lr * wd } else { 0.0 };
                p[i] = p[i] * (1.0 - decay)
                    - lr / bias_1 * m[i] / (v[i].sqrt() / bias_2.sqrt() + 1e-8);
            }
        }
        p.to_vec()
    }

    #[test]
    fn ten_updates_equal_the_published_algorithm() {
        let device = Device::flex().autodiff();
        let mut settings = OptimizerSettings::with_learning_rate(0.01);
        settings.weight_decay = NonNegative::of(0.1);
        settings.schedule = Schedule::Constant;
        let (mut module, mut optimizer) = (two(&device), Optimizer::new(settings, 10));
        for _ in 0..10 {
            let gradients = GradientsParams::from_grads(loss(&module).backward(), &module);
            optimizer.step(&mut module, gradients);
        }
        let start = by_hand(0, 0.01, 0.1, 1.0);
        let end = by_hand(10, 0.01, 0.1, 1.0);
        for ((ours, theirs), start) in weights(&module).iter().zip(end).zip(start) {
            // Each update rounds to f32 a few times (6e-8) at the size the weight has then: one of these ends near 0.
            let size = start.abs().max(theirs.abs());
            let apart = (f64::from(*ours) - theirs).abs();
            assert!(apart < 1e-6 * size, "{ours} {theirs}");
        }
    }

    #[test]
    fn the_reported_norm_is_the_one_before_clipping() {
        let device = Device::flex().autodiff();
        let mut module = two(&device);
        let gradients = GradientsParams::from_grads(loss(&module).backward(), &module);
        let update = Optimizer::new(OptimizerSettings::with_learning_rate(0.1), 1)
            .step(&mut module, gradients);
        let expected = [
            0.5f64,
            -1.0,
            2.0,
            0.25,
            3.0 * 0.3f64.exp(),
            3.0 * (-0.6f64).exp(),
        ];
        let expected = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((update.grad_norm() - expected).abs() < 1e-5);
    }

    #[test]
    fn copies_of_the_module_keep_the_weights_they_were_made_with() {
        let device = Device::flex().autodiff();
        let mut module = two(&device);
        let (copy, before) = (module.clone(), weights(&module));
        let gradients = GradientsParams::from_grads(loss(&module).backward(), &module);
        Optimizer::new(OptimizerSettings::with_learning_rate(0.1), 1).step(&mut module, gradients);
        assert_eq!(weights(&copy), before);
        assert!(weights(&module).iter().zip(&before).all(|(a, b)| a != b));
        assert!(module.matrix.is_require_grad());
    }

    #[test]
    fn micro_batches_add_up() {
        let device = Device::flex().autodiff();
        let module = two(&device);
        let mut accumulated = Accumulated::new();
        for _ in 0..2 {
            let half = (loss(&module) * 0.5).backward();
            accumulated.add(&module, GradientsParams::from_grads(half, &module));
        }
        let halves = accumulated.take();
        let whole = GradientsParams::from_grads(loss(&module).backward(), &module);
        let halves = halves.get::<2>(module.matrix.id).unwrap();
        let whole = whole.get::<2>(module.matrix.id).unwrap();
        assert_eq!(halves.into_data(), whole.into_data());
    }
}
