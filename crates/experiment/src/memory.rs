//! About how much memory a stage takes, model by model, before anything is computed.
//!
//! Weights, gradients and optimiser are counted exactly. Activations are counted as the kernels of the CPU keep them for
//! the backward pass (`docs/algorithms/lora.md` compares with measured peaks); on a GPU, and in bfloat16, operations are composed,
//! and keep what burn's own keep.

use std::path::Path;

use preflab_config::{
    Count, Labels, LoraSettings, LoraTarget, Method, ModelSource, Precision, Settings,
};
use serde::Serialize;
use serde_json::Value;

use crate::{Stage, StageKind};

/// Tokens of a prompt, where nothing is known.
pub(crate) const PROMPT: f64 = 24.0;
/// Bytes of a 32-bit float.
const FLOAT: f64 = 4.0;
/// Rows that are sampled together outside of rollouts.
const SAMPLED_ROWS: f64 = 256.0;
/// Rows of a forward pass without gradient.
const READ_ROWS: f64 = 128.0;
/// The program itself, with its threads, tokenizer and data.
const PROGRAM: f64 = 24e6;

/// The sizes of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// Tokens in the vocabulary.
    pub vocabulary: f64,
    /// Width of the residual stream.
    pub width: f64,
    /// Blocks.
    pub layers: f64,
    /// Query heads.
    pub heads: f64,
    /// Width of all queries of a token.
    pub queries: f64,
    /// Width of all keys of a token, and of all values.
    pub keys: f64,
    /// Inner width of the feed-forward.
    pub feedforward: f64,
    /// Whether the feed-forward has a gate.
    pub gated: bool,
    /// Whether the output head is the transposed embedding.
    pub tied: bool,
}

/// What one model of a stage takes, bytes.
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

/// What a stage takes, bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StageMemory {
    /// Its models.
    pub roles: Vec<RoleMemory>,
    /// The most it takes at a time: everything that stays, and the largest of what does not.
    pub peak: f64,
}

impl StageMemory {
    fn of(roles: Vec<RoleMemory>) -> Self {
        let stays: f64 = roles
            .iter()
            .map(|role| role.weights + role.gradients + role.optimizer)
            .sum();
        // One model computes, or samples, or is updated, at a time; an update makes the new weights beside the old.
        let passes = roles.iter().map(|role| {
            let update = role.gradients;
            role.activations.max(role.cache).max(update)
        });
        Self {
            peak: PROGRAM + stays + passes.fold(0.0, f64::max),
            roles,
        }
    }
}

impl Sizes {
    /// Those of a source: a shape, or the `config.json` of a checkpoint; none if there is none to be read.
    pub fn of(source: &ModelSource, vocabulary: usize) -> Option<Self> {
        match source {
            ModelSource::Shape(shape) => {
                let width = shape.width.get() as f64;
                let head = width / shape.heads.get() as f64;
                Some(Self {
                    vocabulary: vocabulary as f64,
                    width,
                    layers: shape.layers.get() as f64,
                    heads: shape.heads.get() as f64,
                    queries: width,
                    keys: head * shape.kv_heads.get() as f64,
                    feedforward: shape.feedforward.get() as f64,
                    gated: true,
                    tied: shape.tied,
                })
            }
            ModelSource::Named(directory) => Self::of_checkpoint(directory),
        }
    }

    /// Those of a checkpoint directory, by its `config.json`.
    pub fn of_checkpoint(directory: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(directory.join("config.json")).ok()?;
        let values: Value = serde_json::from_str(&text).ok()?;
        let number = |names: &[&str]| names.iter().find_map(|name| values.get(name)?.as_f64());
        let family = values.get("model_type")?.as_str()?;
        let width = number(&["hidden_size", "n_embd"])?;
        let heads = number(&["num_attention_heads", "n_head"])?;
        let head = number(&["head_dim"]).unwrap_or(width / heads);
        Some(Self {
            vocabulary: number(&["vocab_size"])?,
            width,
            layers: number(&["num_hidden_layers", "n_layer"])?,
            heads,
            queries: heads * head,
            keys: head * number(&["num_key_value_heads"]).unwrap_or(heads),
            feedforward: number(&["intermediate_size", "n_inner"]).unwrap_or(4.0 * width),
            gated: !matches!(family, "gpt2" | "gpt_neox"),
            tied: values
                .get("tie_word_embeddings")
                .and_then(Value::as_bool)
                .unwrap_or(matches!(family, "gpt2" | "gemma2")),
        })
    }

    /// Parameters, without a head of one number.
    pub fn parameters(&self) -> f64 {
        let heads = if self.tied { 1.0 } else { 2.0 };
        heads * self.vocabulary * self.width
            + self.layers * (self.projections() + 2.0 * self.width)
            + self.width
    }

    /// Weights of the projections of a block.
    fn projections(&self) -> f64 {
        let Self {
            width: d,
            queries: q,
            keys: k,
            feedforward: f,
            ..
        } = *self;
        d * (2.0 * q + 2.0 * k) + if self.gated { 3.0 } else { 2.0 } * d * f
    }

    /// Parameters of adapters.
    pub fn adapters(&self, lora: &LoraSettings) -> f64 {
        let Self {
            width: d,
            queries: q,
            keys: k,
            feedforward: f,
            ..
        } = *self;
        let ends = |target: &LoraTarget| match target {
            LoraTarget::Query | LoraTarget::Output | LoraTarget::Dense => d + q,
            LoraTarget::Key | LoraTarget::Value => d + k,
            LoraTarget::Gate
            | LoraTarget::Up
            | LoraTarget::Down
            | LoraTarget::CFc
            | LoraTarget::DenseUp
            | LoraTarget::DenseDown => d + f,
            LoraTarget::CAttn | LoraTarget::QueryKeyValue => d + q + 2.0 * k,
            LoraTarget::CProj => 2.0 * d + q + f,
        };
        let all: &[LoraTarget] = match (lora.targets.is_empty(), self.gated) {
            (false, _) => &lora.targets,
            (true, true) => &LoraTarget::LLAMA,
            (true, false) => &[LoraTarget::CAttn, LoraTarget::CFc, LoraTarget::CProj],
        };
        self.layers * lora.rank.get() as f64 * all.iter().map(ends).sum::<f64>()
    }

    /// Bytes that a block keeps of each token for its backward pass, of rows of `length` tokens.
    fn kept(&self, composed: bool, precision: Precision, length: f64) -> f64 {
        let Self {
            width: d,
            queries: q,
            keys: k,
            feedforward: f,
            ..
        } = *self;
        let number = bytes_of(precision);
        let inner = if self.gated { 3.0 } else { 4.0 };
        // What two norms read and give; queries, keys, values and what attention gives; the feed-forward.
        let fused = number * (4.0 * d + 2.0 * q + 2.0 * k + inner * f);
        if !composed {
            return fused;
        }
        // The parts of norms and rotation in 32 bits, and the scores: mask, softmax and its copy.
        let parts = FLOAT * (4.0 * d + 2.0 * (q + k)) + number * (2.0 * (q + k) + f);
        fused + parts + self.heads * length * (1.0 + FLOAT + number)
    }
}

fn bytes_of(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => FLOAT,
        Precision::Bf16 => 2.0,
    }
}

/// How the models of a stage compute.
struct Way<'a> {
    sizes: Sizes,
    settings: &'a Settings,
    composed: bool,
}

/// A pass of a model: rows, and tokens of each that it computes on and that its head reads.
#[derive(Clone, Copy)]
struct PassSize {
    rows: f64,
    tokens: f64,
    predicted: f64,
}

impl Way<'_> {
    /// A model that is trained.
    fn trained(
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
        let block = tokens
            * self
                .sizes
                .kept(self.composed, self.settings.precision, pass.tokens);
        let input = tokens * width * bytes_of(self.settings.precision);
        let mut activations = if self.settings.memory.recompute {
            layers * input + block
        } else {
            layers * block
        };
        // The gradients on their way through a block, and the rounded copies of weights.
        activations += tokens * FLOAT * (2.0 * width + 3.0 * feedforward);
        if self.settings.precision == Precision::Bf16 {
            let copies = if self.settings.memory.recompute {
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
    fn read(&self, role: &'static str, shared: bool, pass: PassSize) -> RoleMemory {
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

    /// What the head over the vocabulary takes for `tokens` tokens: a few logits at a time where it is fused, all of them
    /// otherwise.
    fn head(&self, tokens: f64) -> f64 {
        let all = tokens * self.sizes.vocabulary * FLOAT;
        if self.composed {
            4.0 * all
        } else {
            all.min(2.0 * FLOAT * (1 << 20) as f64)
        }
    }

    /// Adds what sampling `rows` rows takes.
    fn sampling(&self, mut role: RoleMemory, rows: f64, lora: Option<&LoraSettings>) -> RoleMemory {
        let Sizes {
            layers,
            keys,
            vocabulary,
            ..
        } = self.sizes;
        let number = bytes_of(self.settings.precision);
        let cells = rows * (PROMPT + self.settings.sampling.max_tokens.get() as f64);
        role.cache = cells * layers * 2.0 * keys * number + 2.0 * rows * vocabulary * FLOAT;
        if lora.is_some() {
            role.cache += FLOAT * layers * self.sizes.projections();
        }
        role
    }
}

/// What a stage takes on `device`; nothing where it has no models, or their sizes are unknown.
pub fn stage_memory(stage: &Stage, vocabulary: usize, device: &str) -> StageMemory {
    let settings = &*stage.settings;
    let Some(sizes) = Sizes::of(&settings.model, vocabulary) else {
        return StageMemory::default();
    };
    let way = Way {
        sizes,
        settings,
        composed: device != "cpu" || settings.precision != Precision::F32,
    };
    let completion = settings.sampling.max_tokens.get() as f64;
    let rows = |micro: Option<Count>, batch: Count| micro.unwrap_or(batch).get() as f64;
    let one = |rows: f64| PassSize {
        rows,
        tokens: PROMPT + completion,
        predicted: completion,
    };
    // A pair is one row whose prompt is computed once.
    let pair = |rows: f64| PassSize {
        rows,
        tokens: PROMPT + 2.0 * completion,
        predicted: 2.0 * completion,
    };
    let read = |role| way.read(role, false, one(READ_ROWS));
    let lora = settings.lora.as_ref();
    StageMemory::of(match stage.kind {
        StageKind::TaskData | StageKind::Pairs => return StageMemory::default(),
        StageKind::Sft | StageKind::WeakerModel => {
            let pass = one(rows(settings.sft.micro_batch_size, settings.sft.batch_size));
            vec![way.trained("policy", None, pass, true)]
        }
        StageKind::Candidates | StageKind::WeakerCandidates => {
            vec![way.sampling(read("policy"), SAMPLED_ROWS, None)]
        }
        StageKind::ReferenceLogps => vec![read("reference")],
        StageKind::RewardModel => {
            let reward = &settings.reward;
            let pass = pair(rows(reward.micro_batch_size, reward.batch_size));
            vec![way.trained("reward", reward.lora.as_ref(), pass, false)]
        }
        StageKind::Evaluation if !settings.method.answers() => vec![read("reward")],
        StageKind::Evaluation => vec![
            way.sampling(read("policy"), SAMPLED_ROWS, None),
            read("reference"),
        ],
        StageKind::Training => match &settings.method {
            Method::Dpo(dpo) => {
                let pass = pair(rows(dpo.micro_batch_size, dpo.batch_size));
                vec![way.trained("policy", lora, pass, true)]
            }
            Method::IterativeDpo(dpo) => {
                let pass = pair(rows(dpo.micro_batch_size, dpo.batch_size));
                let policy = way.trained("policy", lora, pass, true);
                let mut roles = vec![
                    way.sampling(policy, SAMPLED_ROWS, lora),
                    way.read("reference", lora.is_some(), pass),
                ];
                if dpo.labels == Labels::RewardModel {
                    roles.push(read("reward"));
                }
                roles
            }
            Method::Reward(reward) => {
                let pass = pair(rows(reward.micro_batch_size, reward.batch_size));
                vec![way.trained("reward", lora, pass, false)]
            }
            Method::Ppo(ppo) => {
                let batch = ppo.batch_size.get() as f64;
                let pass = one(ppo
                    .micro_batch_size
                    .map_or(batch / ppo.minibatches.get() as f64, |rows| {
                        rows.get() as f64
                    }));
                let policy = way.trained("policy", lora, pass, true);
                vec![
                    way.sampling(policy, batch, lora),
                    way.read("reference", lora.is_some(), pass),
                    read("reward"),
                    way.trained("value", lora, pass, false),
                ]
            }
            Method::Rloo(rloo) => {
                let batch = rloo.batch_size.get() as f64;
                let pass = one(rloo
                    .micro_batch_size
                    .map_or(batch / rloo.minibatches.get() as f64, |rows| {
                        rows.get() as f64
                    }));
                critic_free(&way, lora, batch, pass, read("reward"))
            }
            Method::Grpo(grpo) => {
                let batch = grpo.batch_size.get() as f64;
                let pass = one(grpo
                    .micro_batch_size
                    .map_or(batch / grpo.minibatches.get() as f64, |rows| {
                        rows.get() as f64
                    }));
                critic_free(&way, lora, batch, pass, read("reward"))
            }
            Method::RejectionSampling(rejection) => {
                let sft = &rejection.sft;
                let pass = one(rows(sft.micro_batch_size, sft.batch_size));
                let policy = way.trained("policy", lora, pass, true);
                vec![way.sampling(policy, SAMPLED_ROWS, lora), read("reward")]
            }
            Method::BestOfN(_) | Method::Sft(_) => return StageMemory::default(),
        },
    })
}

fn critic_free(
    way: &Way<'_>,
    lora: Option<&LoraSettings>,
    batch: f64,
    pass: PassSize,
    reward: RoleMemory,
) -> Vec<RoleMemory> {
    let policy = way.trained("policy", lora, pass, true);
    vec![
        way.sampling(policy, batch, lora),
        way.read("reference", lora.is_some(), pass),
        reward,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> ModelSource {
        toml::from_str::<Settings>(
            "task.verse = {}\nbudget.updates = 4\nmethod.sft = {}\n\
             [model]\nwidth = 8\nlayers = 2\nheads = 2\nkv_heads = 1\nfeedforward = 16\ncontext = 128\n",
        )
        .unwrap()
        .model
    }

    #[test]
    fn parameters_are_those_of_the_shape() {
        let ModelSource::Shape(settings) = shape() else {
            panic!("a shape")
        };
        let sizes = Sizes::of(&shape(), 30).unwrap();
        assert_eq!(sizes.parameters(), settings.parameters(30) as f64);
    }

    #[test]
    fn adapters_are_counted_by_hand() {
        let sizes = Sizes::of(&shape(), 30).unwrap();
        let lora: LoraSettings =
            toml::from_str("rank = 2\ntargets = [\"q_proj\", \"v_proj\"]").unwrap();
        assert_eq!(
            sizes.adapters(&lora),
            2.0 * 2.0 * ((8.0 + 8.0) + (8.0 + 4.0))
        );
        let all: LoraSettings = toml::from_str("rank = 1").unwrap();
        let ends = (16.0 + 12.0 + 12.0 + 16.0) + 3.0 * 24.0;
        assert_eq!(sizes.adapters(&all), 2.0 * ends);
    }
}
