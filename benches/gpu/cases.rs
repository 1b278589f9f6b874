//! What is timed, and what comes out.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use clap::ValueEnum;
use preflab_config::{
    BudgetSettings, Count, DpoSettings, LoraSettings, MemorySettings, OptimizerSettings,
    PpoSettings, Precision, RewardSettings, SamplingSettings,
};
use preflab_data::TokenExample;
use preflab_dpo::{DpoTrainer, ScoredPairs, reference_logps};
use preflab_metrics::Memory;
use preflab_ppo::{PolicyGradient, Recipe, Scored};
use preflab_reward::{Judged, RewardTrainer};
use preflab_training::{Order, Streams, Watch, Work, policy_parameters};
use preflab_transformer::{CausalLm, Family, Model, ScalarModel, lora};
use serde::Serialize;

use crate::shape::Shape;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// A DPO update; the reference log-probabilities are known.
    Dpo,
    /// An update of a reward model.
    Reward,
    /// A rollout, its scores, and four passes over it, of policy and value model.
    Ppo,
    /// Sampling of completions.
    Generate,
}

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    case: String,
    /// Seconds of a step, the median.
    seconds: f64,
    least: f64,
    most: f64,
    /// Tokens of a step as a trainer without any sharing reads them; of sampling and PPO those sampled.
    tokens: usize,
    /// Floating-point operations of a step by formula, without those of what is computed once more.
    flops: f64,
    /// Most memory that the process held, MiB; of the device where nvidia-smi tells it.
    memory: Option<f64>,
}

pub(crate) struct Bench {
    pub shape: Shape,
    pub precision: Precision,
    pub recompute: bool,
    pub lora: Option<usize>,
    pub steps: usize,
    pub warmup: usize,
    pub device: Device,
}

type Measured = Result<(Vec<f64>, usize, f64), Box<dyn Error>>;

impl Bench {
    pub(crate) fn run(&self, case: Case) -> Result<Figures, Box<dyn Error>> {
        let (mut seconds, tokens, flops) = match case {
            Case::Dpo => self.dpo(),
            Case::Reward => self.reward(),
            Case::Ppo => self.ppo(),
            Case::Generate => self.generate(),
        }?;
        seconds.sort_by(f64::total_cmp);
        Ok(Figures {
            case: format!("{case:?}").to_lowercase(),
            seconds: seconds[seconds.len() / 2],
            least: seconds[0],
            most: seconds[seconds.len() - 1],
            tokens,
            flops,
            memory: device_memory().or_else(peak_memory),
        })
    }

    fn of<M: Model>(&self, model: M) -> Result<M, Box<dyn Error>> {
        let model = model
            .with_precision(self.precision)
            .with_memory(MemorySettings {
                recompute: self.recompute,
            });
        let Some(rank) = self.lora else {
            return Ok(model);
        };
        let settings: LoraSettings = toml::from_str(&format!("rank = {rank}"))?;
        Ok(lora::attach(model, Family::Qwen2, &settings, 1)?)
    }

    fn policy(&self) -> Result<CausalLm, Box<dyn Error>> {
        let device = self.device.clone().autodiff();
        self.of(CausalLm::init(&self.shape.architecture(), 7, &device))
    }

    fn scalar(&self, seed: u64) -> Result<ScalarModel, Box<dyn Error>> {
        let device = self.device.clone().autodiff();
        self.of(ScalarModel::init(&self.shape.architecture(), seed, &device))
    }

    /// Seconds of `step` after the warm-up. The figures that a step returns were read from the device, so its work is done.
    fn timed(&self, mut step: impl FnMut()) -> Vec<f64> {
        (0..self.warmup).for_each(|_| step());
        (0..self.steps)
            .map(|_| {
                let begun = Instant::now();
                step();
                begun.elapsed().as_secs_f64()
            })
            .collect()
    }

    fn order(&self) -> Order {
        Order::Sequential {
            examples: self.shape.batch().rows,
            batch_size: self.shape.batch().rows,
        }
    }

    fn dpo(&self) -> Measured {
        let (batch, pairs, policy) = (self.shape.batch(), self.shape.pairs(), self.policy()?);
        let (reference, _) = reference_logps(&policy.valid(), &pairs, batch.micro);
        let settings: DpoSettings = toml::from_str(&format!(
            "objective.dpo = {{ beta = 0.1 }}\nbatch_size = {}\nmicro_batch_size = {}\noptimizer.learning_rate = 1e-6",
            batch.rows, batch.micro
        ))?;
        let data = ScoredPairs {
            pairs: &pairs,
            reference: &reference,
            score_gaps: None,
        };
        let mut trainer = DpoTrainer::new(policy, &settings, self.order(), usize::MAX);
        let mut update = 0;
        let seconds = self.timed(|| {
            let loss = trainer.update(update, data, false).loss();
            assert!(loss.is_finite(), "a loss of {loss}");
            update += 1;
        });
        let tokens = 2 * batch.rows * (batch.prompt + batch.completion);
        Ok((seconds, tokens, trainer.work().flops / update as f64))
    }

    fn reward(&self) -> Measured {
        let (batch, pairs) = (self.shape.batch(), self.shape.pairs());
        let settings = RewardSettings {
            batch_size: Count::of(batch.rows),
            micro_batch_size: Some(Count::of(batch.micro)),
            optimizer: OptimizerSettings::with_learning_rate(1e-6),
            ..RewardSettings::default()
        };
        let model = self.scalar(7)?;
        let parameters = preflab_training::scalar_parameters(&model);
        let mut trainer = RewardTrainer::new(model, &settings, self.order(), pairs.len());
        let data = Judged {
            pairs: &pairs,
            gold_margins: None,
        };
        let taken: Vec<usize> = (0..batch.rows).collect();
        let seconds = self.timed(|| {
            let losses = trainer.step(&taken, data).losses;
            assert!(losses.iter().all(|loss| loss.is_finite()));
        });
        let tokens = 2 * batch.rows * (batch.prompt + batch.completion);
        Ok((seconds, tokens, Work::training(tokens, parameters).flops))
    }

    fn sampling(&self) -> SamplingSettings {
        SamplingSettings {
            max_tokens: Count::of(self.shape.batch().completion),
            ..SamplingSettings::default()
        }
    }

    fn generate(&self) -> Measured {
        let (batch, policy) = (self.shape.batch(), self.policy()?);
        let prompts: Vec<Vec<u32>> = self
            .shape
            .pairs()
            .into_iter()
            .map(|pair| pair.prompt)
            .collect();
        let mut round = 0;
        let seconds = self.timed(|| {
            let seeds: Vec<u64> = (0..batch.rows as u64)
                .map(|row| round * 1000 + row)
                .collect();
            let sampled = policy.generate(&prompts, &seeds, &self.sampling(), &[]);
            assert!(
                sampled
                    .iter()
                    .all(|row| row.tokens.len() == batch.completion)
            );
            round += 1;
        });
        let (read, new) = (batch.rows * batch.prompt, batch.rows * batch.completion);
        let work = Work::generation(read, new, policy_parameters(&policy));
        Ok((seconds, new, work.flops))
    }

    /// Steps are rollouts with the updates on them.
    fn ppo(&self) -> Measured {
        let batch = self.shape.batch();
        let settings = PpoSettings {
            batch_size: Count::of(batch.rows),
            micro_batch_size: Some(Count::of(batch.micro)),
            optimizer: OptimizerSettings::with_learning_rate(1e-6),
            ..PpoSettings::default()
        };
        let reward = self.scalar(8)?.valid();
        let scorer = |_: &[usize], rows: &[TokenExample]| {
            let (rewards, work) = preflab_reward::scores(&reward, rows, batch.micro);
            Scored {
                rewards,
                gold: None,
                work,
            }
        };
        let trainer = PolicyGradient::new(
            Recipe::ppo(&settings, self.sampling()),
            self.policy()?,
            Some(self.scalar(9)?),
            &scorer,
            Vec::new(),
            Streams::new(1),
            BudgetSettings::Updates(Count::of(1 << 40)),
        );
        let watch = Rounds {
            left: Cell::new(self.warmup + self.steps),
            begun: Cell::new(None),
            seconds: RefCell::new(Vec::new()),
        };
        let prompts: Vec<Vec<u32>> = self
            .shape
            .pairs()
            .into_iter()
            .map(|pair| pair.prompt)
            .collect();
        // Ends by the watch, which is no error here; the flops are those that the log names.
        let mut log = Memory::new();
        let ended = trainer.run(&prompts, &mut log, &watch);
        if let Err(error) = ended
            && !matches!(error, preflab_training::TrainError::Stopped)
        {
            return Err(error.into());
        }
        let flops = log
            .last(preflab_metrics::Metric::BudgetFlops)
            .unwrap_or(f64::NAN)
            / (self.warmup + self.steps) as f64;
        let seconds = watch.seconds.take().split_off(self.warmup);
        Ok((seconds, batch.rows * batch.completion, flops))
    }
}

/// Times rounds from where the trainer asks whether to stop: before each.
struct Rounds {
    left: Cell<usize>,
    begun: Cell<Option<Instant>>,
    seconds: RefCell<Vec<f64>>,
}

impl Watch for Rounds {
    fn stop(&self) -> bool {
        if let Some(begun) = self.begun.replace(Some(Instant::now())) {
            self.seconds
                .borrow_mut()
                .push(begun.elapsed().as_secs_f64());
        }
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left == 0
    }
}

/// Memory of the device that this process holds, MiB, as `nvidia-smi` says.
fn device_memory() -> Option<f64> {
    let output = std::process::Command::new("nvidia-smi")
        .args([
            "--query-compute-apps=pid,used_memory",
            "--format=csv,noheader,nounits",
        ])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| {
        let (pid, used) = line.split_once(',')?;
        let ours = pid.trim().parse::<u32>().ok()? == std::process::id();
        ours.then(|| used.trim().parse().ok())?
    })
}

/// The most resident memory that this process held, MiB.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
