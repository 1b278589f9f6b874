//! Giving a model adapters, and folding them into its weights.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use preflab_config::{LoraSettings, LoraTarget};

use super::adapter::{Adapter, JointAdapter};
use super::projections::{Projection, layer, layer_mut};
use crate::block::Block;
use crate::checkpoint::{BlockRole, Model};
use crate::families::Family;
use crate::init::Initializer;
use crate::linear::Linear;

/// Why a model cannot be given adapters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoraError {
    /// A target that the model's family does not have.
    #[error("`lora.targets`: a {family} model has no projection `{target}`\n\nhint: it has {}", known.join(", "))]
    NoSuchTarget {
        /// What was asked for.
        target: LoraTarget,
        /// The family of the model.
        family: &'static str,
        /// The names it has.
        known: Vec<&'static str>,
    },
    /// The model has adapters already.
    #[error("`lora`: the model has adapters already\n\nhint: fold them into its weights first")]
    Adapted,
}

/// `model` with adapters beside the targets, and everything else frozen but the head of a scalar model.
///
/// `B` is zero, so that nothing changes at first, bit for bit. `A` is drawn on the host from `seed`. On an autodiff device
/// the adapters are there to be trained; what is frozen gets no gradient, and no optimiser state.
///
/// - `family`: whose names the targets are ([`Config::family`](crate::checkpoint::Config::family)).
///
/// # Errors
/// If a target does not exist in the family, or the model has adapters already.
pub fn attach<M: Model>(
    model: M,
    family: Family,
    settings: &LoraSettings,
    seed: u64,
) -> Result<M, LoraError> {
    if is_adapted(&model) {
        return Err(LoraError::Adapted);
    }
    check_targets(&model, family, settings)?;
    let (rank, scale) = (settings.rank.get(), settings.scale());
    let device = model.decoder().embed_tokens.weight.val().device();
    let initializer = &mut Initializer::new(seed, 0.0, &device);
    let mut model = frozen(model);
    for block in &mut model.decoder_mut().layers {
        for projection in Projection::of(block, family) {
            if settings.targets(projection.name(family)) {
                place(block, projection, rank, scale, initializer);
            }
        }
    }
    Ok(model)
}

/// `model` with nothing to be trained but the head of a scalar model.
pub(super) fn frozen<M: Model>(model: M) -> M {
    model.no_grad().with_trained_head()
}

/// Puts an adapter beside a projection.
pub(super) fn place(
    block: &mut Block,
    projection: Projection,
    rank: usize,
    scale: f64,
    initializer: &mut Initializer,
) {
    match projection {
        Projection::Alone(role) => {
            let layer = layer_mut(block, role);
            let sizes = layer.weight.shape().dims();
            layer.adapter = Some(Adapter::init(sizes, rank, scale, initializer));
        }
        Projection::Joint => {
            let attention = &mut block.self_attn;
            let [inputs, queries] = attention.q_proj.weight.shape().dims();
            let [_, keys] = attention.k_proj.weight.shape().dims();
            let sizes = [inputs, queries, keys];
            attention.joint_adapter = Some(JointAdapter::init(sizes, rank, scale, initializer));
        }
    }
}

fn check_targets<M: Model>(
    model: &M,
    family: Family,
    settings: &LoraSettings,
) -> Result<(), LoraError> {
    let Some(block) = model.decoder().layers.first() else {
        return Ok(());
    };
    let mut known: Vec<&'static str> = Vec::new();
    for projection in Projection::of(block, family) {
        let name = projection.name(family);
        if !known.contains(&name) {
            known.push(name);
        }
    }
    match settings
        .targets
        .iter()
        .find(|target| !known.contains(&target.name()))
    {
        Some(&target) => Err(LoraError::NoSuchTarget {
            target,
            family: family.name(),
            known,
        }),
        None => Ok(()),
    }
}

/// Whether `model` has an adapter anywhere.
pub fn is_adapted<M: Model>(model: &M) -> bool {
    model.decoder().layers.iter().any(|block| {
        block.self_attn.joint_adapter.is_some()
            || PROJECTED
                .iter()
                .any(|&role| layer(block, role).is_some_and(|layer| layer.adapter.is_some()))
    })
}

const PROJECTED: [BlockRole; 7] = [
    BlockRole::Query,
    BlockRole::Key,
    BlockRole::Value,
    BlockRole::Output,
    BlockRole::Gate,
    BlockRole::Up,
    BlockRole::Down,
];

/// A copy of `model` for inference, adapters folded into its weights: `W + (alpha / rank) A B`, in 32-bit floats.
///
/// Without adapters, the same as [`Module::valid`].
pub fn merged<M: Model>(model: &M) -> M {
    let mut model = model.valid();
    for block in &mut model.decoder_mut().layers {
        for role in PROJECTED {
            if layer(block, role).is_some() {
                let layer = layer_mut(block, role);
                if let Some(adapter) = layer.adapter.take() {
                    set(layer, adapter.folded(layer.weight.val()));
                }
            }
        }
        let attention = &mut block.self_attn;
        if let Some(joint) = attention.joint_adapter.take() {
            let layers = [
                &mut attention.q_proj,
                &mut attention.k_proj,
                &mut attention.v_proj,
            ];
            let weights = layers.each_ref().map(|layer| layer.weight.val());
            for (layer, weight) in layers.into_iter().zip(joint.folded(weights)) {
                set(layer, weight);
            }
        }
    }
    model
}

fn set(layer: &mut Linear, weight: Tensor<2>) {
    let old = layer.weight.clone();
    layer.weight = old.map(|_| weight);
}

/// Number of parameters that training changes.
pub fn trained_parameters<M: Module>(model: &M) -> usize {
    struct Trained(usize);
    impl ModuleVisitor for Trained {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            if parameter.is_require_grad() {
                self.0 += parameter.shape().num_elements();
            }
        }
    }
    let mut trained = Trained(0);
    model.visit(&mut trained);
    trained.0
}
