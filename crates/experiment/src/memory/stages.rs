//! About how much memory a stage of an experiment takes.

use preflab_config::{Count, Labels, LoraSettings, Method};

use super::{PassSize, RoleMemory, Sizes, StageMemory, Way};
use crate::{Stage, StageKind};

/// Tokens of a prompt, where nothing is known.
pub(crate) const PROMPT: f64 = 24.0;
/// Rows that are sampled together outside of rollouts.
const SAMPLED_ROWS: f64 = 256.0;
/// Rows of a forward pass without gradient.
const READ_ROWS: f64 = 128.0;

/// What a stage takes on `device`; nothing where it has no models, or their sizes are unknown.
pub fn stage_memory(stage: &Stage, vocabulary: usize, device: &str) -> StageMemory {
    let settings = &*stage.settings;
    let Some(sizes) = Sizes::of(&settings.model, vocabulary) else {
        return StageMemory::default();
    };
    let way = Way::new(sizes, settings.precision, settings.memory, device == "cpu");
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
    // A reward model reads the last token of either side.
    let scored = |rows: f64| PassSize {
        predicted: 2.0,
        ..pair(rows)
    };
    let read = |role| way.read(role, false, one(READ_ROWS));
    let sampling = |role: RoleMemory, rows: f64, lora: Option<&LoraSettings>| {
        way.sampling(role, rows, PROMPT + completion, lora)
    };
    let lora = settings.lora.as_ref();
    StageMemory::of(match stage.kind {
        StageKind::TaskData | StageKind::Pairs => return StageMemory::default(),
        StageKind::Sft | StageKind::WeakerModel => {
            let pass = one(rows(settings.sft.micro_batch_size, settings.sft.batch_size));
            vec![way.trained("policy", None, pass, true)]
        }
        StageKind::Candidates | StageKind::WeakerCandidates => {
            vec![sampling(read("policy"), SAMPLED_ROWS, None)]
        }
        StageKind::ReferenceLogps => vec![read("reference")],
        StageKind::RewardModel => {
            let reward = &settings.reward;
            let pass = scored(rows(reward.micro_batch_size, reward.batch_size));
            vec![way.trained("reward", reward.lora.as_ref(), pass, false)]
        }
        StageKind::Evaluation if !settings.method.answers() => vec![read("reward")],
        StageKind::Evaluation => vec![
            sampling(read("policy"), SAMPLED_ROWS, None),
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
                    sampling(policy, SAMPLED_ROWS, lora),
                    way.read("reference", lora.is_some(), pass),
                ];
                if dpo.labels == Labels::RewardModel {
                    roles.push(read("reward"));
                }
                roles
            }
            Method::Reward(reward) => {
                let pass = scored(rows(reward.micro_batch_size, reward.batch_size));
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
                    sampling(policy, batch, lora),
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
                critic_free(
                    &way,
                    lora,
                    [batch, PROMPT + completion],
                    pass,
                    read("reward"),
                )
            }
            Method::Grpo(grpo) => {
                let batch = grpo.batch_size.get() as f64;
                let pass = one(grpo
                    .micro_batch_size
                    .map_or(batch / grpo.minibatches.get() as f64, |rows| {
                        rows.get() as f64
                    }));
                critic_free(
                    &way,
                    lora,
                    [batch, PROMPT + completion],
                    pass,
                    read("reward"),
                )
            }
            Method::RejectionSampling(rejection) => {
                let sft = &rejection.sft;
                let pass = one(rows(sft.micro_batch_size, sft.batch_size));
                let policy = way.trained("policy", lora, pass, true);
                vec![sampling(policy, SAMPLED_ROWS, lora), read("reward")]
            }
            Method::BestOfN(_) | Method::Sft(_) => return StageMemory::default(),
        },
    })
}

fn critic_free(
    way: &Way,
    lora: Option<&LoraSettings>,
    [batch, length]: [f64; 2],
    pass: PassSize,
    reward: RoleMemory,
) -> Vec<RoleMemory> {
    let policy = way.trained("policy", lora, pass, true);
    vec![
        way.sampling(policy, batch, length, lora),
        way.read("reference", lora.is_some(), pass),
        reward,
    ]
}
