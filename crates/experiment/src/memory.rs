//! About how much memory models take, one by one, before anything is computed.
//!
//! Weights, gradients and optimiser are counted exactly. Activations are counted as the kernels of the CPU keep them for
//! the backward pass (`docs/algorithms/lora.md` compares with measured peaks); on a GPU, and in bfloat16, operations are composed,
//! and keep what burn's own keep.

mod sizes;
mod stages;

use preflab_config::{LoraSettings, MemorySettings, Precision};
use serde::Serialize;

pub use sizes::Sizes;
pub(crate) use stages::PROMPT;
pub use stages::stage_memory;

use crate::outline::bytes;

/// Bytes of logits that the fused head keeps for its backward pass; of more it makes some at a time.
const KEPT_LOGITS: f64 = (32 << 20) as f64;
/// Bytes of a 32-bit float.
const FLOAT: f64 = 4.0;
/// The program itself, with its threads, tokenizer and data, bytes: what is left over in the peaks that
/// `docs/algorithms/lora.md` lists.
const PROGRAM: f64 = 63e6;
/// What an allocation takes over what is asked of it, as a factor: the allocator's sizes are an eighth apart, and blocks
/// of one size do not serve for another. From the same peaks.
const ROUNDED: f64 = 1.1;

/// What one model takes, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RoleMemory {
    /// `policy`, `reference`, `reward` or `value`.
    pub role: &'static str,
    /// Parameters, in 32 bits; adapters beside what they adapt.
    pub weights: f64,
    /// Gradients of what is trained.
    pub gradients: f64,
    /// Both moments of what is trained.
    pub optimizer: f64,
    /// What one forward pass keeps for its backward pass, or needs while it runs.
    pub activations: f64,
    /// Keys and values of sampling, and the weights with adapters folded in.
    pub cache: f64,
}

/// What the models of a stage, or of a run, take together, bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StageMemory {
    /// Its models.
    pub roles: Vec<RoleMemory>,
    /// The most it takes at a time: everything that stays, and the largest of what does not.
    pub peak: f64,
}

impl StageMemory {
    /// That of models of which one computes, or samples, at a time.
    pub fn of(roles: Vec<RoleMemory>) -> Self {
        let stays: f64 = roles
            .iter()
            .map(|role| role.weights + role.gradients + role.optimizer)
            .sum();
        let passes = roles.iter().map(|role| role.activations.max(role.cache));
        Self {
            peak: PROGRAM + ROUNDED * (stays + passes.fold(0.0, f64::max)),
            roles,
        }
    }

    /// The whole and each model, a line each.
    pub fn lines(&self) -> Vec<String> {
        let whole = format!("memory: about {} at most", bytes(self.peak));
        let parts = self.roles.iter().map(|role| {
            let parts = [
                ("weights", role.weights),
                ("gradients", role.gradients),
                ("optimiser", role.optimizer),
                ("activations", role.activations),
                ("sampling", role.cache),
            ];
            let parts = parts.into_iter().filter(|(_, part)| *part > 0.0);
            let parts = parts.map(|(name, part)| format!("{name} {}", bytes(part)));
            format!(
                "memory: {}: {}",
                role.role,
                parts.collect::<Vec<_>>().join(", ")
            )
        });
        std::iter::once(whole).chain(parts).collect()
    }
}

fn bytes_of(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => FLOAT,
        Precision::Bf16 => 2.0,
    }
}

/// How a model computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    sizes: Sizes,
    precision: Precision,
    recompute: bool,
    /// Whether its operations are composed of the backend's own.
    composed: bool,
}

/// A pass of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PassSize {
    /// Rows; a pair is one row, whose prompt is computed once.
    pub rows: f64,
    /// Tokens of each that it computes on.
    pub tokens: f64,
    /// Tokens of each that its head reads.
    pub predicted: f64,
}

impl Way {
    /// That of a model of these sizes on the CPU, or on a GPU.
    pub fn new(sizes: Sizes, precision: Precision, memory: MemorySettings, on_cpu: bool) -> Self {
        Self {
            sizes,
            precision,
            recompute: memory.recompute,
            composed: !on_cpu || precision != Precision::F32,
        }
    }

    /// A model that is trained; `vocabulary_head`: whether it predicts tokens, and not one number.
    pub fn trained(
        &self,
        role: &'static str,
        lora: Option<&LoraSettings>,
        pass: PassSize,
        vocabulary_head: bool,
    ) -> RoleMemory {
        let all = self.sizes.parameters();
        let adapters = lora.map_or(0.0, |lora| self.sizes.adapters(lora));
        let trained = if lora.is_some() { adapters } else { all };
        let Sizes {
            width,
            layers,
            feedforward,
            ..
        } = self.sizes;
        let tokens = pass.rows * pass.tokens;
        let block = tokens * self.sizes.kept(self.composed, self.precision, pass.tokens);
        let input = tokens * width * bytes_of(self.precision);
        // The last block is computed for the tokens that the head reads alone.
        let last = pass.predicted / pass.tokens.max(1.0);
        let mut activations = if self.recompute {
            layers * input + block
        } else {
            (layers - 1.0 + last) * block
        };
        // The gradients on their way through a block, and the rounded copies of weights.
        activations += tokens * FLOAT * (4.0 * width + 3.0 * feedforward);
        if self.precision == Precision::Bf16 {
            let copies = if self.recompute {
                self.sizes.projections()
            } else {
                all
            };
            activations += 2.0 * copies;
        }
        if vocabulary_head {
            activations += self.head(pass.rows * pass.predicted);
        }
        RoleMemory {
            role,
            weights: FLOAT * (all + adapters),
            gradients: FLOAT * trained,
            optimizer: 2.0 * FLOAT * trained,
            activations,
            cache: 0.0,
        }
    }

    /// A model that is only read; `shared` of its weights are those of another role.
    pub fn read(&self, role: &'static str, shared: bool, pass: PassSize) -> RoleMemory {
        let Sizes {
            width, feedforward, ..
        } = self.sizes;
        let weights = if shared {
            0.0
        } else {
            FLOAT * self.sizes.parameters()
        };
        let tokens = pass.rows * pass.tokens;
        RoleMemory {
            role,
            weights,
            gradients: 0.0,
            optimizer: 0.0,
            activations: tokens * FLOAT * (4.0 * width + 3.0 * feedforward)
                + self.head(pass.rows * pass.predicted),
            cache: 0.0,
        }
    }

    /// What the head over the vocabulary takes for `tokens` tokens: few logits, or some at a time, where it is fused, and all
    /// of them otherwise.
    fn head(&self, tokens: f64) -> f64 {
        let all = tokens * self.sizes.vocabulary * FLOAT;
        if self.composed {
            4.0 * all
        } else {
            match all <= KEPT_LOGITS {
                true => all,
                false => 2.0 * FLOAT * (1 << 20) as f64,
            }
        }
    }

    /// Adds what sampling `rows` rows of at most `length` tokens takes, prompts included.
    pub fn sampling(
        &self,
        mut role: RoleMemory,
        rows: f64,
        length: f64,
        lora: Option<&LoraSettings>,
    ) -> RoleMemory {
        let Sizes {
            layers,
            keys,
            vocabulary,
            ..
        } = self.sizes;
        let number = bytes_of(self.precision);
        let cells = rows * length;
        role.cache = cells * layers * 2.0 * keys * number + 2.0 * rows * vocabulary * FLOAT;
        if lora.is_some() {
            role.cache += FLOAT * layers * self.sizes.projections();
        }
        role
    }
}
