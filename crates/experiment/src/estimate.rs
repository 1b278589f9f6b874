//! About what a plan costs, before anything is computed.
//!
//! Floating-point operations by formula (`2 N` for each token of a forward pass, `6 N` for each trained one; Kaplan et
//! al. 2020, arXiv:2001.08361, section 2.1), divided by a speed that two cores of 2024 reach on models of 1e5 to 1e7
//! parameters. Where a stage of the same kind is on disk already, its measured time goes before the formula.

use std::collections::BTreeMap;
use std::path::Path;

use preflab_config::{BudgetSettings, Method, ModelSource, Settings, TokenizerSettings};

use crate::memory::{PROMPT, Sizes, StageMemory, stage_memory};
use crate::store::finished_outcome;
use crate::{Plan, Stage, StageKind, StageOutcome};

/// Tag of the measure in which the task data report the size of the vocabulary.
pub const VOCABULARY: &str = "data/vocabulary";

/// Operations a second of training and scoring, all threads together: measured on two cores, models of 1e6 parameters.
const TRAINING_SPEED: f64 = 6e10;
/// Operations a second of sampling token by token, measured likewise.
const SAMPLING_SPEED: f64 = 3e10;

/// About what a plan costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Tokens in the vocabulary: as found on disk, or a guess.
    pub vocabulary: usize,
    /// Parameters of the largest policy.
    pub parameters: usize,
    /// Bytes that each stage of the plan takes; times the number of stages side by side.
    pub memory: Vec<StageMemory>,
    /// Seconds of each stage of the plan, 0 where it is finished.
    pub seconds: Vec<f64>,
    /// Whether each stage of the plan is finished.
    pub finished: Vec<bool>,
}

impl Estimate {
    /// Looks at what is on disk in the experiment's directory, and estimates the rest.
    pub fn of(plan: &Plan, directory: &Path) -> Self {
        let outcomes: Vec<_> = plan
            .stages
            .iter()
            .map(|stage| finished_outcome(directory, stage))
            .collect();
        let mut measured: BTreeMap<(StageKind, &str), f64> = BTreeMap::new();
        let mut vocabulary = None;
        for (stage, outcome) in plan.stages.iter().zip(&outcomes) {
            if let Some(outcome) = outcome {
                measured.insert((stage.kind, &stage.title), outcome.ledger.seconds);
                vocabulary = vocabulary.or_else(|| found_vocabulary(outcome));
            }
        }
        let settings: Vec<&Settings> = plan.arms.iter().map(|arm| &arm.settings).collect();
        let vocabulary = vocabulary.unwrap_or_else(|| {
            settings
                .iter()
                .map(|arm| guessed_vocabulary(arm))
                .max()
                .unwrap_or(0)
        });
        let seconds = plan
            .stages
            .iter()
            .zip(&outcomes)
            .map(|(stage, outcome)| match outcome {
                Some(_) => 0.0,
                None => match measured.get(&(stage.kind, stage.title.as_str())) {
                    Some(seconds) => *seconds,
                    None => work(stage, vocabulary).seconds(),
                },
            });
        Self {
            vocabulary,
            parameters: settings
                .iter()
                .map(|arm| parameters(arm, vocabulary))
                .max()
                .unwrap_or(0),
            memory: plan
                .stages
                .iter()
                .map(|stage| stage_memory(stage, vocabulary, &plan.environment.device))
                .collect(),
            seconds: seconds.collect(),
            finished: outcomes.iter().map(Option::is_some).collect(),
        }
    }
}

impl Estimate {
    /// The stage that takes the most memory, by its place in the plan; none in an empty plan.
    pub fn hungriest(&self) -> Option<usize> {
        let peak = |index: &usize| self.memory[*index].peak;
        (0..self.memory.len()).max_by(|a, b| peak(a).total_cmp(&peak(b)).then(b.cmp(a)))
    }
}

fn found_vocabulary(outcome: &StageOutcome) -> Option<usize> {
    outcome.measures.get(VOCABULARY).map(|&size| size as usize)
}

fn guessed_vocabulary(settings: &Settings) -> usize {
    match &settings.tokenizer {
        TokenizerSettings::Bpe(pieces) => pieces.vocabulary.get(),
        TokenizerSettings::Auto | TokenizerSettings::Characters => settings.task.vocabulary(),
    }
}

/// Parameters of an arm's policy; of a checkpoint that cannot be read by the size of its files, at two bytes each.
fn parameters(settings: &Settings, vocabulary: usize) -> usize {
    if let (ModelSource::Named(_), Some(sizes)) =
        (&settings.model, Sizes::of(&settings.model, vocabulary))
    {
        return sizes.parameters() as usize;
    }
    match &settings.model {
        ModelSource::Shape(shape) => shape.parameters(vocabulary),
        ModelSource::Named(directory) => {
            let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
            let weights =
                files.filter(|file| file.file_name().to_string_lossy().ends_with(".safetensors"));
            let bytes: u64 = weights
                .filter_map(|file| file.metadata().ok())
                .map(|data| data.len())
                .sum();
            usize::try_from(bytes / 2).unwrap_or(usize::MAX)
        }
    }
}

/// Longest sequence, tokens.
fn sequence(settings: &Settings) -> f64 {
    PROMPT + settings.sampling.max_tokens.get() as f64
}

/// Operations of a stage.
#[derive(Debug, Clone, Copy)]
struct Work {
    training: f64,
    sampling: f64,
    /// Seconds known beforehand.
    fixed: f64,
}

impl Work {
    fn seconds(self) -> f64 {
        self.fixed + self.training / TRAINING_SPEED + self.sampling / SAMPLING_SPEED
    }
}

fn work(stage: &Stage, vocabulary: usize) -> Work {
    let settings = &*stage.settings;
    let n = parameters(settings, vocabulary) as f64;
    let tokens = sequence(settings);
    let preferences = &settings.preferences;
    // At most one pair a prompt.
    let pairs = (preferences.pairs.get().min(settings.task.train_prompts())
        + preferences.held_out_pairs.get()) as f64;
    let trained = |rows: f64| Work {
        training: 6.0 * n * tokens * rows,
        sampling: 0.0,
        fixed: 0.5,
    };
    let read = |rows: f64| Work {
        training: 2.0 * n * tokens * rows,
        sampling: 0.0,
        fixed: 0.5,
    };
    let sampled = |rows: f64| Work {
        training: 0.0,
        sampling: 2.0 * n * tokens * rows,
        fixed: 0.5,
    };
    let sft_rows = {
        let all = settings.sft.epochs.get() * settings.task.train_prompts();
        let most = settings.sft.max_updates.map_or(usize::MAX, |updates| {
            updates.get() * settings.sft.batch_size.get()
        });
        all.min(most) as f64
    };
    match stage.kind {
        StageKind::TaskData => Work {
            training: 0.0,
            sampling: 0.0,
            fixed: 1.0,
        },
        StageKind::Sft | StageKind::WeakerModel => trained(sft_rows),
        StageKind::Candidates | StageKind::WeakerCandidates => {
            let prompts = (settings.task.train_prompts() as f64).min(2.0 * pairs);
            sampled(prompts * preferences.candidates.get() as f64)
        }
        StageKind::Pairs => Work {
            training: 0.0,
            sampling: 0.0,
            fixed: 1.0,
        },
        StageKind::ReferenceLogps => read(2.0 * pairs),
        StageKind::RewardModel => trained(2.0 * pairs * settings.reward.epochs.get() as f64),
        StageKind::Training => training(settings, n, tokens),
        // Two sides of each held-out pair.
        StageKind::Evaluation if !settings.method.answers() => {
            read(2.0 * preferences.held_out_pairs.get() as f64)
        }
        StageKind::Evaluation => {
            let prompts = settings
                .evaluation
                .prompts
                .map_or(settings.task.test_prompts(), |prompts| prompts.get());
            let answers = settings.evaluation.samples_per_prompt.get()
                * match &settings.method {
                    Method::BestOfN(best) => best.n.get(),
                    Method::Ppo(_)
                    | Method::Dpo(_)
                    | Method::Reward(_)
                    | Method::IterativeDpo(_)
                    | Method::Rloo(_)
                    | Method::Grpo(_)
                    | Method::RejectionSampling(_)
                    | Method::Sft(_) => 1,
                };
            sampled((prompts * answers) as f64)
        }
    }
}

/// Operations of training until the budget is spent.
fn training(settings: &Settings, n: f64, tokens: f64) -> Work {
    let token = 2.0 * n;
    // For one update: rows trained on, rows sampled, and forward passes without a backward one.
    let (trained, sampled, read) = match &settings.method {
        Method::Ppo(ppo) => {
            let rows = ppo.batch_size.get() as f64;
            let updates = (ppo.epochs.get() * ppo.minibatches.get()) as f64;
            // Policy and value model are trained; value, reward and reference read each rollout once.
            (
                2.0 * rows / ppo.minibatches.get() as f64,
                rows / updates,
                3.0 * rows / updates,
            )
        }
        Method::Rloo(rloo) => {
            let rows = rloo.batch_size.get() as f64;
            let updates = (rloo.epochs.get() * rloo.minibatches.get()) as f64;
            (
                rows / rloo.minibatches.get() as f64,
                rows / updates,
                2.0 * rows / updates,
            )
        }
        Method::Grpo(grpo) => {
            let rows = grpo.batch_size.get() as f64;
            let updates = (grpo.epochs.get() * grpo.minibatches.get()) as f64;
            (
                rows / grpo.minibatches.get() as f64,
                rows / updates,
                2.0 * rows / updates,
            )
        }
        Method::Dpo(dpo) => (2.0 * dpo.batch_size.get() as f64, 0.0, 0.0),
        Method::Reward(reward) => (2.0 * reward.batch_size.get() as f64, 0.0, 0.0),
        Method::IterativeDpo(dpo) => {
            let pairs = dpo.batch_size.get() as f64;
            let sampled =
                pairs * settings.preferences.candidates.get() as f64 / dpo.epochs.get() as f64;
            (2.0 * pairs, sampled, 2.0 * pairs)
        }
        Method::RejectionSampling(rejection) => {
            let rows = rejection.sft.batch_size.get() as f64;
            let sampled =
                rows * rejection.candidates.get() as f64 / rejection.sft.epochs.get() as f64;
            (rows, sampled, sampled)
        }
        Method::BestOfN(_) | Method::Sft(_) => (0.0, 0.0, 0.0),
    };
    let update = Work {
        training: token * tokens * (3.0 * trained + read),
        sampling: token * tokens * sampled,
        fixed: 0.0,
    };
    let updates = match settings.budget {
        BudgetSettings::Updates(count) => count.get() as f64,
        BudgetSettings::TrainedTokens(count) => count.get() as f64 / (trained * tokens).max(1.0),
        BudgetSettings::GeneratedTokens(count) => count.get() as f64 / (sampled * tokens).max(1.0),
        BudgetSettings::Flops(amount) => {
            amount.get() / (update.training + update.sampling).max(1.0)
        }
        BudgetSettings::Seconds(amount) => {
            return Work {
                training: 0.0,
                sampling: 0.0,
                fixed: amount.get(),
            };
        }
    };
    Work {
        training: update.training * updates,
        sampling: update.sampling * updates,
        fixed: 0.5,
    }
}
