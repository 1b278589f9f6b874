//! The trainer of PPO, RLOO and GRPO.

use std::path::Path;

use burn::module::Module;
use preflab_config::{BudgetSettings, OldLogps, ReferencePolicy, RolloutCorrection};
use preflab_metrics::{Metric, Sink};
use preflab_training::{
    OptimizerProgress, Snapshot, StateError, StateReader, StateWriter, Streams, TrainError,
    Trained, Watch, Work, policy_parameters, scalar_parameters,
};
use preflab_transformer::{CausalLm, ScalarModel};
use serde::{Deserialize, Serialize};

use crate::advantages::{group_advantages, on_every_token, rloo_advantages};
use crate::allowance::Allowance;
use crate::critic::Critic;
use crate::experience::{Experience, ValueTargets};
use crate::gae::gae_rows;
use crate::improve::{CriticSide, Passes};
use crate::kl_control::KlController;
use crate::policy_learner::{LearnerProgress, PolicyLearner, PolicyObjective};
use crate::recipe::{Credit, CriticSettings, Recipe};
use crate::record::Record;
use crate::reference_average::averaged;
use crate::rollout::{Roller, Rollout};
use crate::rollout_correction::rollout_weights;
use crate::rows::{Rows, mean_sum};
use crate::scorer::Scorer;
use crate::shaping::{ScaleState, ScoreShaper, ShapedScores, token_rewards};
use crate::statistics::ImprovementStatistics;
use crate::whitening::whiten;

/// PPO for language models, and its critic-free relatives.
///
/// repeat for each rollout:
///   1  sample     y ~ pi_old(·|x); keep log pi_old, log pi_ref, the exact KL, the score
///   2  shape      score <- penalties, scale, clip
///   3  estimate   PPO: r_t = -beta KL_t, plus the score at the last token; A, R = GAE(r, V; gamma, lambda)
///                 RLOO: A = s - mean of the others' s in the group, s = score - beta sum_t KL_t
///                 GRPO: A = (score - mean) / std of the group
///   4  improve    for each epoch and minibatch, minimise L_policy - c_e H + c_kl KL, and c_v L_value; stop at the target KL
///   5  adapt      beta <- controller(beta, mean KL); pi_ref <- average of pi_ref and pi, if asked for
///
/// Schulman et al. 2017, [arXiv:1707.06347](https://arxiv.org/abs/1707.06347); Ziegler et al. 2019,
/// [arXiv:1909.08593](https://arxiv.org/abs/1909.08593); Ahmadian et al. 2024,
/// [arXiv:2402.14740](https://arxiv.org/abs/2402.14740); Shao et al. 2024,
/// [arXiv:2402.03300](https://arxiv.org/abs/2402.03300). The value model is a model of its own; policy and value learn from
/// the same minibatches with an optimiser each. Every detail, with its source and setting, is in `docs/algorithms/ppo.md`.
pub struct PolicyGradient<'s> {
    recipe: Recipe,
    roller: Roller,
    learner: PolicyLearner,
    critic: Option<Valued>,
    reference: CausalLm,
    scorer: &'s dyn Scorer,
    shaper: ScoreShaper,
    kl: KlController,
    allowance: Allowance,
    work: Work,
    episodes: usize,
    steps: u64,
    rollouts: usize,
    /// Whether the budget is spent.
    over: bool,
}

/// Name of the reference in a state, where it follows the policy.
const REFERENCE: &str = "reference";

/// What a state holds besides tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    learner: LearnerProgress,
    critic: Option<OptimizerProgress>,
    kl_weight: f64,
    scale: ScaleState,
    work: Work,
    episodes: usize,
    steps: u64,
    rollouts: usize,
    over: bool,
}

/// What a rollout and the updates on it cost.
struct Round {
    sampling: Work,
    updates: Work,
    /// Whether the budget cut the updates short.
    exhausted: bool,
}

impl Round {
    /// The least that another round like it costs: its sampling, and one of its updates.
    fn least(&self) -> Work {
        let share = 1.0 / self.updates.updates.max(1) as f64;
        let mut least = self.sampling;
        least += Work {
            updates: 1,
            trained_tokens: (self.updates.trained_tokens as f64 * share) as u64,
            flops: self.updates.flops * share,
            ..Work::default()
        };
        least
    }
}

/// A critic with its settings.
struct Valued {
    critic: Critic,
    settings: CriticSettings,
}

/// What step 2 and 3 make of a rollout.
struct Estimated {
    scores: ShapedScores,
    /// The KL penalty at each token, nats.
    kl: Rows,
    /// Its weight.
    beta: f64,
    advantages: Rows,
    targets: Option<ValueTargets>,
}

impl Snapshot for PolicyGradient<'_> {
    fn save_state(&self, directory: &Path) -> Result<(), StateError> {
        let writer = StateWriter(directory);
        let learner = self.learner.save(writer)?;
        let critic = self.critic.as_ref();
        let critic = critic
            .map(|valued| valued.critic.save(writer))
            .transpose()?;
        if let ReferencePolicy::Ema(_) = self.recipe.reference {
            writer.module(REFERENCE, &self.reference)?;
        }
        writer.values(&State {
            learner,
            critic,
            kl_weight: self.kl.weight(),
            scale: self.shaper.scale_state(),
            work: self.work,
            episodes: self.episodes,
            steps: self.steps,
            rollouts: self.rollouts,
            over: self.over,
        })
    }

    fn trained(&self) -> Trained<'_> {
        Trained::Policy(self.learner.policy())
    }
}

impl<'s> PolicyGradient<'s> {
    /// A trainer that has not begun.
    ///
    /// - `policy`: the start, on an autodiff device; a frozen copy of it is the reference.
    /// - `value`: the start of the value model, on an autodiff device, for a recipe with one.
    /// - `stop`: tokens that end a completion.
    /// - `budget`: how long to train. The last rollout is gone through only as far as it allows.
    ///
    /// # Panics
    /// If the recipe has a critic and there is no value model.
    pub fn new(
        recipe: Recipe,
        policy: CausalLm,
        value: Option<ScalarModel>,
        scorer: &'s dyn Scorer,
        stop: Vec<u32>,
        streams: Streams,
        budget: BudgetSettings,
    ) -> Self {
        let objective = PolicyObjective {
            loss: recipe.policy_loss,
            aggregation: recipe.aggregation,
            entropy_coefficient: recipe.entropy_coefficient,
            kl_loss: recipe.kl_loss.filter(|kl| kl.coefficient.get() > 0.0),
            temperature: recipe.sampling.temperature.get(),
        };
        let critic = match recipe.credit {
            Credit::Critic(settings) => {
                let model = value.expect("a value model for a recipe with a critic");
                let CriticSettings {
                    optimizer,
                    clip,
                    coefficient,
                    ..
                } = settings;
                Some(Valued {
                    critic: Critic::new(model, optimizer, clip, coefficient, usize::MAX),
                    settings,
                })
            }
            Credit::LeaveOneOut | Credit::Group(_) => None,
        };
        Self {
            roller: Roller::new(&recipe, stop, streams),
            reference: policy.valid(),
            learner: PolicyLearner::new(policy, recipe.optimizer, objective, usize::MAX),
            critic,
            scorer,
            shaper: ScoreShaper::new(recipe.reward),
            kl: KlController::new(recipe.kl),
            allowance: Allowance::new(budget),
            recipe,
            work: Work::default(),
            episodes: 0,
            steps: 0,
            rollouts: 0,
            over: false,
        }
    }

    fn restore(&mut self, directory: &Path) -> Result<(), StateError> {
        let reader = StateReader(directory);
        let state: State = reader.values()?;
        self.learner.restore(reader, state.learner)?;
        if let (Some(valued), Some(progress)) = (&mut self.critic, state.critic) {
            valued.critic.restore(reader, progress)?;
        }
        if let ReferencePolicy::Ema(_) = self.recipe.reference {
            self.reference = reader.module(REFERENCE, self.reference.clone())?;
        }
        self.kl.set_weight(state.kl_weight);
        self.shaper.set_scale_state(state.scale);
        self.work = state.work;
        self.episodes = state.episodes;
        self.steps = state.steps;
        self.rollouts = state.rollouts;
        self.over = state.over;
        Ok(())
    }

    /// The policy as trained so far.
    pub fn policy(&self) -> &CausalLm {
        self.learner.policy()
    }

    /// The value model as trained so far.
    pub fn value(&self) -> Option<&ScalarModel> {
        self.critic.as_ref().map(|valued| valued.critic.model())
    }

    /// Rollouts over `prompts` (token ids) until the budget is spent. The step of a log line is the number of policy
    /// updates done, minibatches of a critic warm-up included.
    ///
    /// # Errors
    /// If the log cannot be written, `watch` asked to stop, or a loss or score is no longer a number.
    pub fn run(
        mut self,
        prompts: &[Vec<u32>],
        log: &mut dyn Sink,
        watch: &dyn Watch,
    ) -> Result<(CausalLm, Work), TrainError> {
        if let Some(state) = watch.resume_from() {
            self.restore(&state)?;
        }
        while !self.over {
            if watch.stop() {
                return Err(TrainError::Stopped);
            }
            let round = self.round(self.rollouts, prompts, log, watch)?;
            self.rollouts += 1;
            self.over = round.exhausted || !self.allowance.holds(&self.work, &round.least());
            if watch.between(self.steps, &self, log)?.is_break() {
                break;
            }
        }
        log.flush()?;
        Ok((self.learner.into_policy(), self.work))
    }

    /// One rollout and everything that is learnt from it.
    fn round(
        &mut self,
        number: usize,
        prompts: &[Vec<u32>],
        log: &mut dyn Sink,
        watch: &dyn Watch,
    ) -> Result<Round, TrainError> {
        let before = self.work;
        let rollout = self.sample(number, prompts);
        self.finite(&rollout.scored.rewards, Metric::ObjectiveRawScores)?;
        let estimated = self.estimate(number, &rollout);
        if number == 0 {
            self.stretch_schedules(&before, &rollout);
        }
        let sampling = self.work.since(&before);
        let sampled = self.work;
        let statistics = self.improve(number, &rollout, &estimated);
        self.record(&rollout, &estimated, &statistics, log)?;
        self.adapt(&rollout);
        let note = format!(
            "score {:.3} KL {:.2}",
            estimated.scores.mean(),
            mean_sum(&rollout.log_ratios())
        );
        watch.progress(self.work.updates, self.learner.planned() as u64, &note);
        Ok(Round {
            sampling,
            updates: self.work.since(&sampled),
            exhausted: statistics.exhausted,
        })
    }

    /// Step 1.
    fn sample(&mut self, number: usize, prompts: &[Vec<u32>]) -> Rollout {
        let (rollout, cost) = self.roller.roll(
            number,
            self.learner.policy(),
            &self.reference,
            prompts,
            self.scorer,
        );
        self.work += cost;
        self.episodes += rollout.examples.len();
        rollout
    }

    /// Steps 2 and 3.
    fn estimate(&mut self, number: usize, rollout: &Rollout) -> Estimated {
        let lengths = rollout.lengths();
        let scores = self
            .shaper
            .shape(&rollout.scored.rewards, &lengths, &rollout.finished);
        let kl = rollout.kl(self.recipe.kl_estimator);
        let beta = self.kl.weight();
        // Completions of one prompt stand together; a prompt that comes twice makes two groups.
        let groups: Vec<usize> = (0..lengths.len())
            .map(|row| row / self.recipe.group_size)
            .collect();
        let (advantages, targets) = match self.recipe.credit {
            Credit::Critic(settings) => {
                let room = self.recipe.sampling.max_tokens.get();
                let rewards =
                    token_rewards(&kl, beta, &scores.scores, settings.score_position, room);
                let rewards = whiten(&rewards, settings.whiten_rewards);
                let values = self.values(number, rollout, &rewards);
                let (advantages, returns) =
                    gae_rows(&rewards, &values, settings.gamma, settings.lambda);
                // A step after the last token has a value to learn, but no action.
                let advantages = advantages
                    .iter()
                    .zip(&lengths)
                    .map(|(row, &length)| row[..length].to_vec());
                (advantages.collect(), Some(ValueTargets { values, returns }))
            }
            Credit::LeaveOneOut => {
                let penalised: Vec<f64> = (scores.scores.iter().zip(&kl))
                    .map(|(score, kl)| score - beta * kl.iter().sum::<f64>())
                    .collect();
                (
                    on_every_token(&rloo_advantages(&penalised, &groups), &lengths),
                    None,
                )
            }
            Credit::Group(form) => (
                on_every_token(&group_advantages(&scores.scores, &groups, form), &lengths),
                None,
            ),
        };
        Estimated {
            advantages: whiten(&advantages, self.recipe.whiten_advantages),
            targets,
            scores,
            kl,
            beta,
        }
    }

    /// The value of the state before each step.
    fn values(&mut self, number: usize, rollout: &Rollout, rewards: &Rows) -> Rows {
        let first = self.passes(number).first(&rollout.examples);
        let critic = self.critic.as_mut().expect("a recipe with a critic");
        let critic = &mut critic.critic;
        let steps: Vec<usize> = rewards.iter().map(Vec::len).collect();
        self.work += Work::forward(rollout.tokens(), scalar_parameters(critic.model()));
        critic.values_before(&rollout.examples, &steps, &first, self.recipe.micro_batch)
    }

    /// How rollout number `number` is gone through.
    fn passes(&self, number: usize) -> Passes {
        Passes {
            epochs: self.recipe.epochs,
            minibatches: self.recipe.minibatches,
            micro_batch: self.recipe.micro_batch,
            target_kl: self.recipe.target_kl,
            policy_learns: number >= self.recipe.warmup(),
            rollout: number,
            streams: self.roller.streams,
            allowance: self.allowance,
        }
    }

    /// Step 4.
    fn improve(
        &mut self,
        number: usize,
        rollout: &Rollout,
        estimated: &Estimated,
    ) -> ImprovementStatistics {
        let experience = Experience {
            examples: rollout.examples.clone(),
            old_logps: rollout.old_logps.clone(),
            reference_logps: rollout.reference_logps.clone(),
            advantages: estimated.advantages.clone(),
            weights: match self.recipe.old_logps {
                OldLogps::Rollout | OldLogps::Recomputed(RolloutCorrection::Off) => None,
                OldLogps::Recomputed(correction) => {
                    rollout_weights(&rollout.old_logps, &rollout.sampled_logps, correction)
                }
            },
            targets: estimated.targets.clone(),
        };
        let passes = self.passes(number);
        let updates = self.work.updates;
        let critic = self.critic.as_mut();
        let statistics = passes.improve(
            &mut self.learner,
            critic.map(|valued| CriticSide {
                critic: &mut valued.critic,
                clip: valued.settings.clip,
            }),
            &experience,
            &self.reference,
            &mut self.work,
        );
        if let Some(valued) = &mut self.critic {
            valued.critic.forget();
        }
        self.steps += match passes.policy_learns {
            true => self.work.updates - updates,
            false => statistics.value.len() as u64,
        };
        statistics
    }

    /// Step 5.
    fn adapt(&mut self, rollout: &Rollout) {
        self.kl
            .update(mean_sum(&rollout.log_ratios()), rollout.examples.len());
        match self.recipe.reference {
            ReferencePolicy::Frozen => {}
            ReferencePolicy::Ema(decay) => {
                self.reference =
                    averaged(self.reference.clone(), self.learner.policy(), decay.get());
            }
        }
    }

    /// Stretches the schedules over the updates that the budget allows, judged by the first rollout.
    fn stretch_schedules(&mut self, before: &Work, rollout: &Rollout) {
        let tokens = rollout.tokens() * self.recipe.epochs;
        let mut round = self.work.since(before);
        round += Work::training(tokens, policy_parameters(self.learner.policy()));
        if let Some(valued) = &self.critic {
            round.flops += Work::training(tokens, scalar_parameters(valued.critic.model())).flops;
        }
        let planned = self.allowance.updates(&round, self.recipe.updates_each());
        self.learner.stretch(planned);
        if let Some(valued) = &mut self.critic {
            let warmup = self.recipe.warmup() * self.recipe.updates_each();
            valued.critic.stretch(planned.saturating_add(warmup));
        }
    }

    fn record(
        &self,
        rollout: &Rollout,
        estimated: &Estimated,
        statistics: &ImprovementStatistics,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let record = Record {
            step: self.steps,
            episodes: self.episodes,
            work: self.work,
            stop: &self.roller.stop,
            rollout,
            kl: &estimated.kl,
            beta: estimated.beta,
            scores: &estimated.scores,
            advantages: &estimated.advantages,
            statistics,
        };
        record.write(log)?;
        if let Some(targets) = &estimated.targets {
            record.write_critic(targets, log)?;
        }
        let policy: Vec<f64> = statistics
            .policy
            .iter()
            .map(|minibatch| minibatch.total)
            .collect();
        let value: Vec<f64> = statistics
            .value
            .iter()
            .map(|minibatch| minibatch.loss)
            .collect();
        self.finite(&policy, Metric::LossTotal)?;
        self.finite(&value, Metric::LossValue)
    }

    /// Refuses numbers that are not finite.
    fn finite(&self, values: &[f64], metric: Metric) -> Result<(), TrainError> {
        match values.iter().find(|value| !value.is_finite()) {
            Some(&value) => Err(TrainError::Diverged {
                update: self.work.updates as usize,
                quantity: metric.tag(),
                value,
            }),
            None => Ok(()),
        }
    }
}
