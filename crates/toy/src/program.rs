//! The tensor program: arms × scenarios × seeds of one block trained at once.
//!
//! # Shapes
//! `r` runs (arms outside, then scenarios, then seeds), `n` runs of one arm, `b` pairs of a mini-batch.

use std::ops::Range;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Gradients, Tensor};
use preflab_config::{ToyArm, ToySettings};
use rand_chacha::ChaCha8Rng;

use crate::batches::{Batches, Preference};
use crate::fit::fit;
use crate::network::{self, Training};
use crate::observation::{Observation, PairGradients, Policy};
use crate::outcome::{Outcome, Run};
use crate::policy_gradient::{self, Rollout};
use crate::preference::{self, Pairs};
use crate::reward::{self, RewardRun};
use crate::rows::{cells, numbers};
use crate::streams::{self, Stream};
use crate::world::{CELLS, RESPONSES};

/// Epochs at the beginning that are all observed.
const EVERY_EPOCH: u64 = 20;

/// The epochs that are observed: the first 20, every `observe_every`-th, and the last.
pub(crate) fn observed(settings: &ToySettings) -> Vec<u64> {
    let last = settings.epochs.get() as u64;
    let every = settings.observe_every.get() as u64;
    (0..=last)
        .filter(|&epoch| epoch <= EVERY_EPOCH || epoch % every == 0 || epoch == last)
        .collect()
}

/// A block of runs that are trained together.
struct Program<'a> {
    settings: &'a ToySettings,
    seeds: &'a [u64],
    device: Device,
    arms: Vec<Arm<'a>>,
    /// Runs of one arm, `n`.
    n: usize,
    /// `log π_start`, `[n, 40]`.
    start: Tensor<2>,
    /// Learned rewards, `[n, 40]`.
    rewards: Tensor<2>,
    reward_runs: Vec<RewardRun>,
    /// Of each of the `n`: the start and the optimum.
    anchors: Vec<[Policy; 2]>,
}

/// An arm with the rows of its runs.
struct Arm<'a> {
    settings: &'a ToyArm,
    rows: Range<usize>,
    /// PPO's present samples, and the generators of the next.
    rollout: Option<Rollout>,
    rngs: Vec<ChaCha8Rng>,
}

/// What a forward pass found.
struct Pass {
    /// `log π`, `[r, 40]`, without autodiff.
    logps: Tensor<2>,
    /// Loss of each run, arm by arm, `[n]` each.
    losses: Vec<Tensor<1>>,
    /// `b` times the derivative of a run's loss by the log-likelihoods of its pairs, `[r, 2b]`; 0 for arms without pairs.
    slopes: Tensor<2>,
}

/// Trains all arms and scenarios for some seeds.
pub(crate) fn train(settings: &ToySettings, seeds: &[u64]) -> Outcome {
    let device = Device::flex();
    let fitted = fit(settings, seeds, &device);
    let policies = settings.arms.len();
    let mut training = Training::new(
        network::repeated(&fitted, policies),
        settings.optimizer,
        settings.learning_rate.get(),
    );
    let mut program = Program::new(settings, seeds, device, &network::forward(&fitted));
    let mut batches: Vec<Batches> = seeds
        .iter()
        .map(|&seed| Batches::new(seed, settings.rejected, settings.batch.get()))
        .collect();
    let last = settings.epochs.get() as u64;
    let looks = observed(settings);
    let mut curves = vec![Vec::with_capacity(looks.len()); policies * program.n];
    let mut ends: Vec<Policy> = Vec::new();
    for epoch in 0..=last {
        let pairs: Vec<_> = batches.iter_mut().map(Batches::next).collect();
        let leaves = training.leaves();
        let (pass, gradients) = program.pass(epoch, &pairs, network::forward(&leaves));
        if looks.binary_search(&epoch).is_ok() {
            ends = program.observe(&pass, &pairs, &mut curves);
        }
        if epoch < last {
            training = training.update(leaves, &gradients);
        }
    }
    program.outcome(looks, curves, ends)
}

impl<'a> Program<'a> {
    fn new(
        settings: &'a ToySettings,
        seeds: &'a [u64],
        device: Device,
        start_logits: &Tensor<3>,
    ) -> Self {
        let scenarios = settings.scenarios.len();
        let n = scenarios * seeds.len();
        let start = log_softmax(start_logits.clone(), 2).reshape([n, CELLS]);
        let (reward_runs, scores) = reward::train(settings, seeds, &device);
        let hosts = numbers(&start);
        let anchors = hosts
            .chunks(CELLS)
            .enumerate()
            .map(|(run, start)| {
                let start = policy(start);
                let scores = &reward_runs[run % seeds.len()].scores;
                let beta = settings.reward.beta.get();
                [start, policy_gradient::optimum(&start, scores, beta)]
            })
            .collect();
        let arms = settings.arms.values().enumerate().map(|(place, arm)| Arm {
            settings: arm,
            rows: place * n..(place + 1) * n,
            rollout: None,
            rngs: (0..n)
                .map(|run| {
                    let scenario = settings.scenarios[run / seeds.len()];
                    let seed = seeds[run % seeds.len()];
                    streams::rng(seed, Stream::Samples, scenario.number() as u64)
                })
                .collect(),
        });
        Self {
            settings,
            seeds,
            arms: arms.collect(),
            n,
            start,
            rewards: scores.repeat_dim(0, scenarios),
            device,
            reward_runs,
            anchors,
        }
    }

    /// Forward and backward of every arm's loss on one mini-batch; `logits` `[r, 4, 10]`.
    fn pass(
        &mut self,
        epoch: u64,
        batches: &[Vec<Preference>],
        logits: Tensor<3>,
    ) -> (Pass, Gradients) {
        let (runs, b) = (self.arms.len() * self.n, self.settings.batch.get());
        let logps = log_softmax(logits, 2).reshape([runs, CELLS]);
        let inner = logps.clone().inner();
        let cells_of = |shift, times| cells(batches, shift, times, &self.device);
        let own = cells_of(0, runs / self.seeds.len());
        let mismatched = cells_of(1, self.settings.scenarios.len());
        let reference = self
            .start
            .clone()
            .gather(1, own.clone().narrow(0, 0, self.n));
        let zeros =
            Tensor::<2>::zeros([runs, 2 * b], &self.device.clone().autodiff()).require_grad();
        let picked = logps.clone().gather(1, own) + zeros.clone();
        let weights =
            policy_gradient::weights(batches, self.settings.scenarios.len(), &self.device);
        let n = self.n;
        let mut losses = Vec::with_capacity(self.arms.len());
        for arm in &mut self.arms {
            let first = arm.rows.start;
            let rows = |all: &Tensor<2>| all.clone().narrow(0, first, n);
            losses.push(match arm.settings {
                ToyArm::Preference(objective) => {
                    let pairs = Pairs {
                        policy: rows(&picked),
                        reference: reference.clone(),
                        all: rows(&inner),
                        all_reference: &self.start,
                        mismatched: &mismatched,
                    };
                    preference::losses(objective, pairs)
                        .mean_dim(1)
                        .squeeze_dim(1)
                }
                ToyArm::PolicyGradient(settings) => policy_gradient::exact(
                    rows(&logps),
                    self.start.clone(),
                    self.rewards.clone(),
                    weights.clone(),
                    settings.beta.get(),
                ),
                ToyArm::Ppo(settings) => {
                    if epoch.is_multiple_of(settings.updates.get() as u64) {
                        let batches: Vec<&[Preference]> = (0..n)
                            .map(|run| batches[run % batches.len()].as_slice())
                            .collect();
                        let [logps, start, rewards] =
                            [rows(&inner), self.start.clone(), self.rewards.clone()]
                                .map(|tensor| numbers(&tensor));
                        arm.rollout = Some(Rollout::new(
                            settings,
                            &batches,
                            [&logps, &start, &rewards],
                            &mut arm.rngs,
                            &self.device,
                        ));
                    }
                    let rollout = arm.rollout.as_ref().expect("epoch 0 samples");
                    rollout.loss(rows(&logps), settings.clip.get())
                }
            });
        }
        let gradients = Tensor::cat(losses.clone(), 0).sum().backward();
        let slopes = match zeros.grad(&gradients) {
            Some(slopes) => slopes * b as f64,
            None => zeros.inner(),
        };
        let losses = losses.into_iter().map(Tensor::inner).collect();
        (
            Pass {
                logps: inner,
                losses,
                slopes,
            },
            gradients,
        )
    }

    /// Looks at every run; returns the policies.
    fn observe(
        &self,
        pass: &Pass,
        batches: &[Vec<Preference>],
        curves: &mut [Vec<Observation>],
    ) -> Vec<Policy> {
        let b = self.settings.batch.get();
        let (logps, slopes) = (numbers(&pass.logps), numbers(&pass.slopes));
        let mut policies = Vec::with_capacity(curves.len());
        for (arm, losses) in self.arms.iter().zip(&pass.losses) {
            for (run, loss) in numbers(losses).into_iter().enumerate() {
                let row = arm.rows.start + run;
                let seed = run % self.seeds.len();
                let logps = &logps[row * CELLS..(row + 1) * CELLS];
                let policy = policy(logps);
                let [start, optimum] = &self.anchors[run];
                let gradients = match arm.settings {
                    ToyArm::Preference(_) => {
                        let of = |response: fn(&Preference) -> usize| -> Vec<f32> {
                            let pairs = batches[seed].iter();
                            pairs
                                .map(|pair| logps[pair.prompt * RESPONSES + response(pair)])
                                .collect()
                        };
                        let (chosen, rejected) = (
                            of(|pair| pair.responses.chosen),
                            of(|pair| pair.responses.rejected),
                        );
                        let slopes = &slopes[row * 2 * b..(row + 1) * 2 * b];
                        PairGradients::of_pairs([&slopes[..b], &slopes[b..]], [&chosen, &rejected])
                    }
                    ToyArm::PolicyGradient(_) | ToyArm::Ppo(_) => {
                        let scores = &self.reward_runs[seed].scores;
                        let beta = arm.kl_weight();
                        let of = |response: fn(&Preference) -> usize| -> Vec<f64> {
                            let gradient = |pair: &Preference| {
                                let cell = pair.prompt * RESPONSES + response(pair);
                                policy_gradient::likelihood_gradient(
                                    &policy, start, scores, beta, cell,
                                )
                            };
                            batches[seed].iter().map(gradient).collect()
                        };
                        PairGradients::of_likelihoods(
                            &of(|pair| pair.responses.chosen),
                            &of(|pair| pair.responses.rejected),
                        )
                    }
                };
                let loss = f64::from(loss);
                curves[row].push(Observation::new(&policy, start, optimum, gradients, loss));
                policies.push(policy);
            }
        }
        policies
    }

    fn outcome(
        self,
        epochs: Vec<u64>,
        curves: Vec<Vec<Observation>>,
        ends: Vec<Policy>,
    ) -> Outcome {
        let runs = curves
            .into_iter()
            .zip(ends)
            .enumerate()
            .map(|(row, (curve, end))| {
                let [start, optimum] = self.anchors[row % self.n];
                Run {
                    curve,
                    start,
                    end,
                    optimum,
                }
            });
        Outcome {
            epochs,
            arms: self.settings.arms.keys().cloned().collect(),
            scenarios: self.settings.scenarios.clone(),
            seeds: self.seeds.to_vec(),
            runs: runs.collect(),
            rewards: self.reward_runs,
        }
    }
}

impl Arm<'_> {
    /// Weight of the KL penalty; 0 for arms without a reward.
    fn kl_weight(&self) -> f64 {
        match self.settings {
            ToyArm::Preference(_) => 0.0,
            ToyArm::PolicyGradient(settings) => settings.beta.get(),
            ToyArm::Ppo(settings) => settings.beta.get(),
        }
    }
}

fn policy(logps: &[f32]) -> Policy {
    std::array::from_fn(|cell| f64::from(logps[cell]))
}
