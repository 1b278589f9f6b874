//! Everything that decides what a cell of an experiment computes, besides its seed.

use serde::{Deserialize, Serialize};

use crate::{
    BudgetSettings, Count, Labels, LoraSettings, LoraTarget, MemorySettings, Method, ModelSource,
    Precision, PreferenceSettings, ReferencePolicy, RewardSettings, SamplingSettings, SftSettings,
    TaskSettings,
};

/// The complete settings of one arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is to be done, and how it is scored.
    pub task: TaskSettings,
    /// The initial model.
    pub model: ModelSource,
    /// What a token is.
    #[serde(default)]
    pub tokenizer: TokenizerSettings,
    /// The supervised start.
    #[serde(default)]
    pub sft: SftSettings,
    /// The preference pairs.
    #[serde(default)]
    pub preferences: PreferenceSettings,
    /// The reward model.
    #[serde(default)]
    pub reward: RewardSettings,
    /// How completions are sampled wherever nothing else is said: rollouts and evaluation.
    #[serde(default)]
    pub sampling: SamplingSettings,
    /// How long an arm trains.
    pub budget: BudgetSettings,
    /// How it trains.
    pub method: Method,
    /// Adapters that it trains in place of all weights of its policy, and of PPO's value model; absent: all weights.
    /// `reward.lora` is that of the reward model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSettings>,
    /// What training trades for memory.
    #[serde(default, skip_serializing_if = "MemorySettings::is_default")]
    pub memory: MemorySettings,
    /// The numbers that every model of the experiment computes in.
    #[serde(default, skip_serializing_if = "Precision::is_default")]
    pub precision: Precision,
    /// What is watched while it trains.
    #[serde(default)]
    pub monitoring: MonitoringSettings,
    /// How it is scored in the end.
    #[serde(default)]
    pub evaluation: EvaluationSettings,
}

/// What a token is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenizerSettings {
    /// That of the checkpoint, where the model is one; otherwise what suits the task.
    #[default]
    Auto,
    /// A character.
    Characters,
    /// A piece of byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) learnt from the task's texts.
    Bpe(BytePairs),
}

/// Byte-pair encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BytePairs {
    /// Tokens in the vocabulary.
    pub vocabulary: Count,
}

/// What is watched while an arm trains. It changes curves, never the trained policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MonitoringSettings {
    /// Updates between two looks at the probes (log-probs of chosen, rejected and unseen completions). A look costs about
    /// as much as an update on 32 pairs; the default keeps it below a twentieth of the training.
    pub every: Count,
    /// Pairs, and prompts, that are looked at.
    pub probes: Count,
    /// Held-out pairs, and as many training pairs, on which the accuracy of rewards is followed. Absent: `probes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy_pairs: Option<Count>,
}

impl MonitoringSettings {
    /// Held-out pairs, and as many training pairs, on which the accuracy of rewards is followed.
    pub fn accuracy_pairs(&self) -> usize {
        self.accuracy_pairs.unwrap_or(self.probes).get()
    }
}

impl Default for MonitoringSettings {
    fn default() -> Self {
        Self {
            every: Count::of(25),
            probes: Count::of(32),
            accuracy_pairs: None,
        }
    }
}

/// How a trained policy is scored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationSettings {
    /// Test prompts that are answered; absent: all of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Count>,
    /// Answers to each. Default 1.
    pub samples_per_prompt: Count,
    /// How answers are sampled; absent: as everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingSettings>,
}

impl Default for EvaluationSettings {
    fn default() -> Self {
        Self {
            prompts: None,
            samples_per_prompt: Count::of(1),
            sampling: None,
        }
    }
}

/// Settings that are each right and do not go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Dotted key of the one to change.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub hint: String,
}

impl Settings {
    /// How completions are sampled in the evaluation.
    pub fn evaluation_sampling(&self) -> SamplingSettings {
        self.evaluation.sampling.unwrap_or(self.sampling)
    }

    /// Every pair of settings that do not go together.
    pub fn conflicts(&self) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        if let ModelSource::Shape(shape) = &self.model {
            conflicts.extend(shape.problems().into_iter().map(|message| Conflict {
                key: "model".to_owned(),
                message,
                hint: "widths and heads must divide one another: such as `width = 128, heads = 4, kv_heads = 2`".to_owned(),
            }));
            let context = shape.context.get();
            let samplings = [
                ("sampling.max_tokens", Some(self.sampling)),
                (
                    "preferences.sampling.max_tokens",
                    Some(self.preferences.sampling),
                ),
                ("evaluation.sampling.max_tokens", self.evaluation.sampling),
            ];
            for (key, sampling) in samplings {
                let longest = sampling.map_or(0, |sampling| sampling.max_tokens.get());
                if longest >= context {
                    conflicts.push(Conflict {
                        key: key.to_owned(),
                        message: format!(
                            "`{key}` ({longest}) leaves no room for a prompt in the model's context of {context} tokens"
                        ),
                        hint: format!("set `{key}` below {context}, or raise the model's `context`"),
                    });
                }
            }
        }
        conflicts.extend(self.lora_conflicts());
        let objective = self.method.objective();
        let problems = objective.map_or_else(Vec::new, |objective| objective.problems());
        conflicts.extend(problems.into_iter().map(|message| Conflict {
            key: format!("method.{}.objective", self.method.name()),
            message,
            hint: "see docs/algorithms/dpo.md for what each objective takes".to_owned(),
        }));
        if let (BudgetSettings::GeneratedTokens(_), false) =
            (&self.budget, self.method.needs().samples)
            && self.method.needs().training
        {
            conflicts.push(Conflict {
                key: "budget".to_owned(),
                message: format!(
                    "`budget.generated-tokens` would never end `method.{}`, which samples nothing while it trains",
                    self.method.name()
                ),
                hint: "match arms on `budget.updates`, `budget.trained-tokens` or `budget.flops`".to_owned(),
            });
        }
        conflicts.extend(self.rounds_without_judge());
        conflicts.extend(self.rounds_without_budget());
        conflicts
    }

    /// Adapters that the model has no place for, or the method no use.
    fn lora_conflicts(&self) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        let adapters = [
            ("lora", self.lora.as_ref()),
            ("reward.lora", self.reward.lora.as_ref()),
        ];
        for (key, lora) in adapters {
            let Some(lora) = lora else { continue };
            if let ModelSource::Shape(shape) = &self.model {
                for target in &lora.targets {
                    if !LoraTarget::LLAMA.contains(target) {
                        conflicts.push(Conflict {
                            key: format!("{key}.targets"),
                            message: format!("the model has no projection `{target}`"),
                            hint: format!(
                                "a model written as a shape has: {}",
                                LoraTarget::LLAMA.map(LoraTarget::name).join(", ")
                            ),
                        });
                    }
                }
                if lora.rank > shape.width {
                    conflicts.push(Conflict {
                        key: format!("{key}.rank"),
                        message: format!(
                            "`{key}.rank` ({}) is above the model's width ({})",
                            lora.rank.get(),
                            shape.width.get()
                        ),
                        hint: "adapters are of low rank: 4 to 64".to_owned(),
                    });
                }
            }
        }
        if self.lora.is_some()
            && let Method::Ppo(ppo) = &self.method
            && let ReferencePolicy::Ema(_) = ppo.reference
        {
            conflicts.push(Conflict {
                key: "method.ppo.reference".to_owned(),
                message: "averaging adapters does not average the policies they make".to_owned(),
                hint: "with `lora`, keep `reference = \"frozen\"`".to_owned(),
            });
        }
        conflicts
    }

    /// Rounds whose answers nobody can judge.
    fn rounds_without_judge(&self) -> Option<Conflict> {
        let judged =
            matches!(&self.method, Method::IterativeDpo(method) if method.labels == Labels::Judge);
        (judged && !self.task.has_gold()).then(|| Conflict {
            key: "method.iterative-dpo.labels".to_owned(),
            message: format!(
                "`task.{}` has no judge for the answers of a round",
                self.task.name()
            ),
            hint: "set `method.iterative-dpo.labels = \"reward-model\"`".to_owned(),
        })
    }

    /// A budget that rounds of sampling and training cannot be cut from.
    fn rounds_without_budget(&self) -> Option<Conflict> {
        let Method::IterativeDpo(method) = &self.method else {
            return None;
        };
        let conflict = |message, hint: &str| {
            Some(Conflict {
                key: "budget".to_owned(),
                message,
                hint: hint.to_owned(),
            })
        };
        match self.budget {
            BudgetSettings::GeneratedTokens(_) => None,
            BudgetSettings::Updates(updates) if updates.get() < method.rounds.get() => conflict(
                format!(
                    "`budget.updates` ({}) is less than one update for each of the {} rounds",
                    updates.get(),
                    method.rounds.get()
                ),
                "raise `budget.updates`, or lower `method.iterative-dpo.rounds`",
            ),
            BudgetSettings::Updates(_) => None,
            BudgetSettings::TrainedTokens(_)
            | BudgetSettings::Flops(_)
            | BudgetSettings::Seconds(_) => conflict(
                format!(
                    "`budget.{}` cannot be divided among the rounds of `method.iterative-dpo` before they are sampled",
                    self.budget.currency()
                ),
                "match `budget.updates` or `budget.generated-tokens`; the ledger reports every currency of every arm",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = "task.verse = {}\nbudget.updates = 4\nmethod.sft = {}\n\
        [model]\nwidth = 8\nlayers = 1\nheads = 2\nkv_heads = 1\nfeedforward = 16\ncontext = 128\n";

    #[test]
    fn four_settings_are_enough() {
        let settings: Settings = toml::from_str(SMALLEST).unwrap();
        assert_eq!(settings.conflicts(), []);
        assert_eq!(settings.evaluation_sampling(), settings.sampling);
        assert_eq!(
            toml::from_str::<Settings>(&toml::to_string(&settings).unwrap()).unwrap(),
            settings
        );
    }

    #[test]
    fn adapters_the_model_has_no_place_for_are_named() {
        let with = |text: &str| -> Vec<String> {
            let settings: Settings = toml::from_str(&format!("{text}\n{SMALLEST}")).unwrap();
            let conflicts = settings.conflicts().into_iter();
            conflicts.map(|conflict| conflict.key).collect()
        };
        assert!(with("lora = { rank = 8, alpha = 16, targets = [\"q_proj\"] }").is_empty());
        assert_eq!(with("lora.targets = [\"c_attn\"]"), ["lora.targets"]);
        assert_eq!(with("reward.lora.rank = 9"), ["reward.lora.rank"]);
        let mut averaged: Settings = toml::from_str(SMALLEST).unwrap();
        averaged.method = toml::from_str("ppo = { reference.ema = 0.9 }").unwrap();
        averaged.lora = Some(LoraSettings::default());
        assert_eq!(averaged.conflicts()[0].key, "method.ppo.reference");
    }

    #[test]
    fn rounds_share_updates_or_generated_tokens() {
        let mut settings: Settings = toml::from_str(SMALLEST).unwrap();
        settings.method = toml::from_str("iterative-dpo = { objective.dpo = {} }").unwrap();
        assert_eq!(settings.conflicts(), []);
        settings.budget = BudgetSettings::GeneratedTokens(Count::of(9));
        assert_eq!(settings.conflicts(), []);
        for budget in [
            BudgetSettings::Updates(Count::of(3)),
            BudgetSettings::TrainedTokens(Count::of(9)),
        ] {
            settings.budget = budget;
            let [conflict] = &settings.conflicts()[..] else {
                panic!("one conflict for {budget:?}")
            };
            assert_eq!(conflict.key, "budget");
        }
    }

    #[test]
    fn settings_that_do_not_go_together_are_named() {
        let mut settings: Settings =
            toml::from_str(&SMALLEST.replace("context = 128", "context = 64")).unwrap();
        settings.method = toml::from_str("dpo = { objective.dpo = {} }").unwrap();
        settings.budget = BudgetSettings::GeneratedTokens(Count::of(9));
        let keys: Vec<_> = settings
            .conflicts()
            .into_iter()
            .map(|conflict| conflict.key)
            .collect();
        assert_eq!(
            keys,
            [
                "sampling.max_tokens",
                "preferences.sampling.max_tokens",
                "budget"
            ]
        );
    }
}
