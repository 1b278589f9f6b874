//! The trainer of PPO, RLOO and GRPO.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;
use preflab_config::{OldLogps, ReferencePolicy, ScorePosition};
use preflab_metrics::Sink;
use preflab_training::{
    Accumulated, Minibatches, Optimizer, Stream, Streams, TrainError, Watch, Work,
    policy_parameters, scalar_parameters,
};
use preflab_transformer::{CausalLm, ScalarModel};
use rand::seq::SliceRandom;

use crate::advantages::{group_advantages, on_every_token, rloo_advantages};
use crate::aggregation::{Totals, aggregate};
use crate::gae::gae_rows;
use crate::kl::{KlBounds, SampledKl, kl_terms};
use crate::kl_control::KlController;
use crate::policy_loss::{PolicyBatch, clip_counts, policy_loss};
use crate::recipe::{Credit, CriticSettings, Recipe};
use crate::record::{Improvement, Minibatch, record};
use crate::rollout::{Judges, Rollout, Scorer, batch, judge};
use crate::rollout_correction::rollout_weights;
use crate::rows::{Rows, from_tensor, mean_sum, to_tensor};
use crate::shaping::{ScoreShaper, ShapedScores, token_rewards};
use crate::value_loss::{value_is_clipped, value_loss};
use crate::whitening::whiten;

/// PPO for language models, and its critic-free relatives.
///
/// repeat for each rollout:
///   1  sample     y ~ pi_old(.|x); keep log pi_old, log pi_ref, V, score
///   2  shape      r_t = -beta KL_t, plus the score at the last token
///   3  estimate   A, R = GAE(r, V; gamma, lambda), or A from the scores of a prompt's group
///   4  improve    for each epoch and minibatch, minimise L_policy + c_v L_value - c_e H + c_kl KL
///   5  adapt      beta <- controller(beta, mean KL)
pub struct PolicyGradient<'s> {
    recipe: Recipe,
    policy: CausalLm,
    reference: CausalLm,
    critic: Option<Critic>,
    optimizer: Optimizer,
    controller: KlController,
    shaper: ScoreShaper,
    streams: Streams,
    stop: Vec<u32>,
    scorer: &'s dyn Scorer,
    rollouts: usize,
    work: Work,
}

struct Critic {
    model: ScalarModel,
    optimizer: Optimizer,
    settings: CriticSettings,
}

/// What the improvement aims at. Rows hold one number a completion token.
pub(crate) struct Targets {
    pub advantages: Rows,
    /// Empty rows without a value model.
    pub returns: Rows,
    /// Log-probs at sampling time that ratios are taken to.
    pub old_logps: Rows,
    /// Factors on the policy loss.
    pub weights: Option<Rows>,
    /// Mean over completions of the summed KL part of the reward.
    pub non_score_reward: f64,
    pub shaped: ShapedScores,
}

impl<'s> PolicyGradient<'s> {
    /// A trainer for `rollouts` rollouts.
    ///
    /// - `policy`: the start, on an autodiff device; a frozen copy of it is the reference.
    /// - `value`: the start of the value model, on an autodiff device, for a recipe with one.
    /// - `stop`: tokens that end a completion.
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
        rollouts: usize,
    ) -> Self {
        let updates = rollouts.saturating_sub(recipe.warmup()) * recipe.updates_each();
        let critic = match recipe.credit {
            Credit::Critic(settings) => Some(Critic {
                model: value.expect("a value model for a recipe with a critic"),
                optimizer: Optimizer::new(settings.optimizer, rollouts * recipe.updates_each()),
                settings,
            }),
            Credit::LeaveOneOut | Credit::Group(_) => None,
        };
        Self {
            reference: policy.valid(),
            policy,
            critic,
            optimizer: Optimizer::new(recipe.optimizer, updates),
            controller: KlController::new(recipe.kl),
            shaper: ScoreShaper::new(recipe.reward),
            streams,
            stop,
            scorer,
            rollouts,
            recipe,
            work: Work::default(),
        }
    }

    /// All rollouts over `prompts` (token ids), logged; the step of a log line is the number of policy updates done.
    ///
    /// # Errors
    /// If the log cannot be written, `watch` asked to stop, or a loss is no longer a number.
    pub fn run(
        mut self,
        prompts: &[Vec<u32>],
        log: &mut dyn Sink,
        watch: &dyn Watch,
    ) -> Result<(CausalLm, Work), TrainError> {
        let order = Minibatches::of(
            Stream::PromptOrder,
            self.streams,
            prompts.len(),
            self.recipe.prompts(),
        );
        for number in 0..self.rollouts {
            if watch.stop() {
                return Err(TrainError::Stopped);
            }
            let rollout = self.sample(number, &order.update(number), prompts);
            let targets = self.estimate(&rollout);
            let weight = self.controller.weight();
            let improvement = self.improve(number, &rollout, &targets);
            self.adapt(&rollout);
            record(
                number,
                &rollout,
                &targets,
                &improvement,
                weight,
                self.work,
                log,
            )?;
            if let Some(value) = improvement.broken() {
                return Err(TrainError::Diverged {
                    update: number,
                    quantity: "loss/total",
                    value,
                });
            }
            let reward = rollout.scored.rewards.iter().sum::<f64>() / rollout.rows.len() as f64;
            let note = format!("score {reward:.3} KL {:.2}", mean_sum(&rollout.exact_kl));
            watch.progress(number as u64 + 1, self.rollouts as u64, &note);
        }
        log.flush()?;
        Ok((self.policy, self.work))
    }

    /// Step 1.
    fn sample(&mut self, number: usize, taken: &[usize], prompts: &[Vec<u32>]) -> Rollout {
        let group = self.recipe.group_size;
        let indices: Vec<usize> = taken
            .iter()
            .flat_map(|&prompt| std::iter::repeat_n(prompt, group))
            .collect();
        let texts: Vec<Vec<u32>> = indices
            .iter()
            .map(|&prompt| prompts[prompt].clone())
            .collect();
        let seeds = self
            .streams
            .rows(Stream::Sampling, number as u64, texts.len());
        let policy = self.policy.valid();
        let sampled = policy.generate(&texts, &seeds, &self.recipe.sampling, &self.stop);
        let read = texts.iter().map(Vec::len).sum();
        let new = sampled.iter().map(|row| row.tokens.len()).sum();
        self.work += Work::generation(read, new, policy_parameters(&policy));
        let critic = self.critic.as_ref().map(|critic| critic.model.valid());
        let judges = Judges {
            policy: &policy,
            reference: &self.reference,
            critic: critic.as_ref(),
            scorer: self.scorer,
            temperature: self.recipe.sampling.temperature.get(),
            rows: self.recipe.micro_batch,
        };
        judge(indices, texts, sampled, judges, &mut self.work)
    }

    /// Steps 2 and 3.
    fn estimate(&mut self, rollout: &Rollout) -> Targets {
        let lengths = rollout.lengths();
        let shaped = self
            .shaper
            .shape(&rollout.scored.rewards, &lengths, &rollout.finished);
        let kl = rollout.kl(self.recipe.kl_estimator);
        let beta = self.controller.weight();
        let non_score_reward = -beta * mean_sum(&kl);
        let (advantages, returns) = match &self.recipe.credit {
            Credit::Critic(critic) => {
                let room = self.recipe.sampling.max_tokens.get();
                let rewards = token_rewards(&kl, beta, &shaped.scores, critic.score_position, room);
                let rewards = whiten(&rewards, critic.whiten_rewards);
                let values = values_of(rollout, &rewards, critic.score_position);
                let (advantages, returns) =
                    gae_rows(&rewards, &values, critic.gamma, critic.lambda);
                (cut(advantages, &lengths), cut(returns, &lengths))
            }
            Credit::LeaveOneOut => {
                let penalised: Vec<f64> = shaped
                    .scores
                    .iter()
                    .zip(&kl)
                    .map(|(score, kl)| score - beta * kl.iter().sum::<f64>())
                    .collect();
                let advantages = rloo_advantages(&penalised, &rollout.prompts);
                (
                    on_every_token(&advantages, &lengths),
                    vec![Vec::new(); lengths.len()],
                )
            }
            Credit::Group(advantage) => {
                let advantages = group_advantages(&shaped.scores, &rollout.prompts, *advantage);
                (
                    on_every_token(&advantages, &lengths),
                    vec![Vec::new(); lengths.len()],
                )
            }
        };
        let (old_logps, weights) = match self.recipe.old_logps {
            OldLogps::Rollout => (rollout.sampled_logps.clone(), None),
            OldLogps::Recomputed(correction) => (
                rollout.policy_logps.clone(),
                rollout_weights(&rollout.policy_logps, &rollout.sampled_logps, correction),
            ),
        };
        Targets {
            advantages: whiten(&advantages, self.recipe.whiten_advantages),
            returns,
            old_logps,
            weights,
            non_score_reward,
            shaped,
        }
    }

    /// Step 4.
    fn improve(&mut self, number: usize, rollout: &Rollout, targets: &Targets) -> Improvement {
        let learns = number >= self.recipe.warmup();
        let mut improvement = Improvement {
            learns,
            ..Improvement::default()
        };
        let size = rollout.rows.len().div_ceil(self.recipe.minibatches);
        for epoch in 0..self.recipe.epochs {
            let step = (number * self.recipe.epochs + epoch) as u64;
            let mut order: Vec<usize> = (0..rollout.rows.len()).collect();
            order.shuffle(&mut self.streams.rng(Stream::Minibatches, step));
            for taken in order.chunks(size) {
                let mut minibatch = Minibatch::default();
                if learns {
                    self.update_policy(taken, rollout, targets, &mut minibatch);
                }
                self.update_critic(taken, rollout, targets, &mut minibatch);
                let stop = self
                    .recipe
                    .target_kl
                    .is_some_and(|target| minibatch.kl_k3() > target);
                improvement.minibatches.push(minibatch);
                if stop {
                    improvement.epochs = epoch + 1;
                    return improvement;
                }
            }
        }
        improvement.epochs = self.recipe.epochs;
        improvement
    }

    fn update_policy(
        &mut self,
        taken: &[usize],
        rollout: &Rollout,
        targets: &Targets,
        seen: &mut Minibatch,
    ) {
        let totals = Totals::of(taken.iter().map(|&row| rollout.rows[row].completion.len()));
        let mut gradients = Accumulated::new();
        for micro in taken.chunks(self.recipe.micro_batch) {
            let completions = batch(
                micro.iter().map(|&row| &rollout.rows[row]),
                &self.policy.device(),
            );
            let predicted = self
                .policy
                .completion_logps(&completions, self.recipe.sampling.temperature.get());
            let device = &self.policy.device();
            let old_logps = to_tensor(&targets.old_logps, micro, device);
            let surrogate = PolicyBatch {
                logps: predicted.logps.clone(),
                old_logps,
                advantages: to_tensor(&targets.advantages, micro, device),
                mask: completions.mask.clone(),
            };
            let mut losses = policy_loss(self.recipe.policy_loss, &surrogate);
            if let Some(weights) = &targets.weights {
                losses = losses * to_tensor(weights, micro, device);
            }
            let mut loss = aggregate(
                losses,
                completions.mask.clone(),
                self.recipe.aggregation,
                totals,
            );
            seen.policy_loss += scalar(&loss);
            let entropy = predicted.entropy.clone();
            if self.recipe.entropy_coefficient > 0.0 {
                let bonus = aggregate(
                    entropy.clone(),
                    completions.mask.clone(),
                    self.recipe.aggregation,
                    totals,
                );
                loss = loss - bonus * self.recipe.entropy_coefficient;
            }
            if let Some(kl) = self.recipe.kl_loss
                && kl.coefficient.get() > 0.0
            {
                let terms = match SampledKl::of(kl.estimator) {
                    Some(estimator) => {
                        let reference = to_tensor(&rollout.reference_logps, micro, device);
                        kl_terms(
                            predicted.logps.clone(),
                            reference,
                            estimator,
                            kl.gradient,
                            KlBounds::OFF,
                        )
                    }
                    None => completions.spread(crate::kl::exact_kl(
                        self.policy.completion_logits(&completions),
                        self.reference.completion_logits(&completions),
                        self.recipe.sampling.temperature.get(),
                    )),
                };
                let term = aggregate(
                    terms,
                    completions.mask.clone(),
                    self.recipe.aggregation,
                    totals,
                );
                seen.kl_loss += scalar(&term);
                loss = loss + term * kl.coefficient.get();
            }
            let logps = from_tensor(predicted.logps.inner(), &completions.lengths);
            let entropies = from_tensor(plain(entropy), &completions.lengths);
            for ((&row, logps), entropies) in micro.iter().zip(&logps).zip(&entropies) {
                let counts = clip_counts(
                    self.recipe.policy_loss,
                    logps,
                    &targets.old_logps[row],
                    &targets.advantages[row],
                );
                seen.see(logps, &targets.old_logps[row], entropies, counts);
            }
            gradients.add(&self.policy, loss.backward());
        }
        let (policy, update) = self.optimizer.step(self.policy.clone(), gradients.take());
        self.policy = policy;
        seen.policy_grad_norm = update.grad_norm();
        seen.learning_rate = update.learning_rate;
        let read = taken.iter().map(|&row| rollout.rows[row].tokens()).sum();
        self.work += Work {
            updates: 1,
            ..Work::training(read, policy_parameters(&self.policy))
        };
    }

    fn update_critic(
        &mut self,
        taken: &[usize],
        rollout: &Rollout,
        targets: &Targets,
        seen: &mut Minibatch,
    ) {
        let Some(critic) = &mut self.critic else {
            return;
        };
        let totals = Totals::of(taken.iter().map(|&row| rollout.rows[row].completion.len()));
        let mut gradients = Accumulated::new();
        for micro in taken.chunks(self.recipe.micro_batch) {
            let device = critic.model.device();
            let completions = batch(micro.iter().map(|&row| &rollout.rows[row]), &device);
            let values = critic.model.values(&completions);
            let old_values = to_tensor(&rollout.values, micro, &device);
            let returns = to_tensor(&targets.returns, micro, &device);
            let losses = value_loss(values.clone(), old_values, returns, critic.settings.clip);
            // The value loss is a mean over tokens, whatever the aggregation of the policy.
            let mask = completions.mask.clone();
            let loss = aggregate(losses, mask, preflab_config::Aggregation::TokenMean, totals);
            seen.value_loss += scalar(&loss);
            let now = from_tensor(values.inner(), &completions.lengths);
            for (&row, now) in micro.iter().zip(&now) {
                let old = rollout.values[row].iter().zip(&targets.returns[row]);
                let clipped = now.iter().zip(old).filter(|(now, (old, target))| {
                    value_is_clipped(**now, **old, **target, critic.settings.clip)
                });
                seen.value_clipped += clipped.count() as f64;
                seen.values.push(now.clone());
                seen.returns.push(targets.returns[row].clone());
            }
            gradients.add(
                &critic.model,
                (loss * critic.settings.coefficient).backward(),
            );
        }
        let (model, update) = critic
            .optimizer
            .step(critic.model.clone(), gradients.take());
        critic.model = model;
        seen.value_grad_norm = update.grad_norm();
        let read = taken.iter().map(|&row| rollout.rows[row].tokens()).sum();
        self.work += Work::training(read, scalar_parameters(&critic.model));
    }

    /// Step 5.
    fn adapt(&mut self, rollout: &Rollout) {
        let kl = mean_sum(&rollout.sampled_kl(SampledKl::K1));
        self.controller.update(kl, rollout.rows.len());
        if let ReferencePolicy::Ema(decay) = self.recipe.reference {
            self.reference =
                moved_towards(self.reference.clone(), &self.policy.valid(), decay.get());
        }
    }
}

/// Values beside rewards: one more, of the finished completion, where the score comes after the last token.
fn values_of(rollout: &Rollout, rewards: &[Vec<f64>], position: ScorePosition) -> Rows {
    match position {
        ScorePosition::LastToken => rollout.values.clone(),
        ScorePosition::AfterLastToken => rollout
            .values
            .iter()
            .zip(&rollout.last_values)
            .zip(rewards)
            .map(|((values, &last), rewards)| {
                let mut values = values.clone();
                if rewards.len() > values.len() {
                    values.push(last);
                }
                values
            })
            .collect(),
    }
}

/// Each row up to its length.
fn cut(rows: Rows, lengths: &[usize]) -> Rows {
    let mut rows = rows;
    for (row, &length) in rows.iter_mut().zip(lengths) {
        row.truncate(length);
    }
    rows
}

fn scalar(value: &Tensor<1>) -> f64 {
    f64::from(value.clone().into_scalar::<f32>())
}

fn plain(values: Tensor<2>) -> Tensor<2> {
    if values.is_autodiff() {
        values.inner()
    } else {
        values
    }
}

/// `decay * model + (1 - decay) * target`, parameter by parameter.
fn moved_towards(model: CausalLm, target: &CausalLm, decay: f64) -> CausalLm {
    struct Collect(Vec<Tensor<1>>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            let value = parameter.val();
            let count = value.shape().num_elements();
            self.0.push(value.reshape([count]));
        }
    }
    struct Move {
        targets: std::vec::IntoIter<Tensor<1>>,
        decay: f64,
    }
    impl ModuleMapper for Move {
        fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let target = self.targets.next().expect("as many parameters");
            let decay = self.decay;
            parameter.map(|value| {
                let shape = value.shape();
                value * decay + target.reshape(shape) * (1.0 - decay)
            })
        }
    }
    let mut collect = Collect(Vec::new());
    target.visit(&mut collect);
    model.map(&mut Move {
        targets: collect.0.into_iter(),
        decay,
    })
}
