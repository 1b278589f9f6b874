//! Our side: the trainers of the product, in rounds.

use std::cell::Cell;
use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use preflab_config::{
    BudgetSettings, Count, DpoSettings, OldLogps, OptimizerSettings, Positive, PpoSettings,
    RewardSettings, SamplingSettings, SftSettings,
};
use preflab_data::{Pair, TokenExample};
use preflab_dpo::dynamics::{Dynamics, Probes};
use preflab_dpo::{AccuracyPairs, DpoTrainer, Monitoring, ScoredPairs, reference_logps};
use preflab_metrics::RunLog;
use preflab_ppo::{PolicyGradient, Recipe, Scored};
use preflab_reward::{Judged, RewardTrainer};
use preflab_training::{Order, SftTrainer, Streams, TrainError, Watch};
use preflab_transformer::{Architecture, CausalLm, Completions, ScalarModel};

use crate::rounds::Side;
use crate::workload::{Task, Workload};

/// More updates than any run does.
const ENDLESS: usize = 1 << 40;

/// Rows in one pass of reference or reward model.
const ROWS: usize = 16;

/// Begins and ends rounds from where a trainer asks whether to stop: before each update.
struct Rounds {
    side: Side,
    steps: usize,
    done: Cell<usize>,
    begun: Cell<Option<Instant>>,
}

impl Watch for Rounds {
    fn stop(&self) -> bool {
        if self.done.get().is_multiple_of(self.steps) {
            if let Some(begun) = self.begun.get() {
                self.side.round(begun.elapsed(), 0.0);
            }
            if !self.side.wait() {
                return true;
            }
            self.begun.set(Some(Instant::now()));
        }
        self.done.set(self.done.get() + 1);
        false
    }
}

/// Runs `workload` until the runner says it is enough.
pub(crate) fn run(workload: &Workload, logs: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let watch = Rounds {
        side: Side,
        steps: workload.steps,
        done: Cell::new(0),
        begun: Cell::new(None),
    };
    watch.side.ready(
        &format!("preflab {}", env!("CARGO_PKG_VERSION")),
        computed(workload),
    );
    let ended = match workload.task {
        Task::Dpo => dpo(workload, logs, &watch)?,
        Task::Reward => reward(workload, logs, &watch)?,
        Task::Sft => sft(workload, logs, &watch)?,
        Task::Generate => {
            generate(workload, &watch);
            return Ok(());
        }
        Task::Ppo => ppo(workload, OldLogps::Rollout, logs, &watch)?,
        Task::PpoRecomputed => ppo(workload, OldLogps::default(), logs, &watch)?,
    };
    match ended {
        Ok(()) | Err(TrainError::Stopped) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

type Ended = Result<Result<(), TrainError>, Box<dyn std::error::Error>>;

fn policy(workload: &Workload) -> CausalLm {
    CausalLm::init(
        &Architecture::new(&workload.model, workload.vocabulary),
        7,
        &Device::flex().autodiff(),
    )
}

fn scalar(workload: &Workload, seed: u64) -> ScalarModel {
    ScalarModel::init(
        &Architecture::new(&workload.model, workload.vocabulary),
        seed,
        &Device::flex().autodiff(),
    )
}

fn order(workload: &Workload) -> Order {
    Order::Sequential {
        examples: workload.pairs.len(),
        batch_size: workload.batch,
    }
}

fn dpo(workload: &Workload, logs: &Path, watch: &Rounds) -> Ended {
    let policy = policy(workload);
    let (reference, _) = reference_logps(&policy.valid(), &workload.pairs, ROWS);
    let settings: DpoSettings = toml::from_str(&format!(
        "objective.dpo = {{ beta = 0.1 }}\nbatch_size = {}\noptimizer.learning_rate = 1e-4",
        workload.batch
    ))?;
    let data = ScoredPairs {
        pairs: &workload.pairs,
        reference: &reference,
        score_gaps: None,
    };
    let nothing = ScoredPairs {
        pairs: &[],
        reference: &[],
        score_gaps: None,
    };
    let dynamics = Dynamics::new(Probes::default(), &policy.valid());
    let monitoring = Monitoring {
        held_out: nothing,
        probe_pairs: nothing,
        dynamics: &dynamics,
        accuracy: AccuracyPairs {
            held_out: nothing,
            train: nothing,
        },
        every: ENDLESS,
        answers: None,
        first: 0,
    };
    let trainer = DpoTrainer::new(policy, &settings, order(workload), ENDLESS);
    let mut log = RunLog::create(logs)?;
    Ok(trainer
        .run(ENDLESS, data, monitoring, &mut log, watch)
        .map(drop))
}

fn reward(workload: &Workload, logs: &Path, watch: &Rounds) -> Ended {
    let settings = RewardSettings {
        epochs: Count::of(ENDLESS),
        batch_size: Count::of(workload.batch),
        evaluate_every: Count::of(ENDLESS),
        ..RewardSettings::default()
    };
    let data = Judged {
        pairs: &workload.pairs,
        gold_margins: None,
    };
    let nothing = Judged {
        pairs: &[],
        gold_margins: None,
    };
    let trainer = RewardTrainer::new(
        scalar(workload, 7),
        &settings,
        order(workload),
        workload.pairs.len(),
    );
    let mut log = RunLog::create(logs)?;
    Ok(trainer.run(data, nothing, &mut log, watch).map(drop))
}

fn sft(workload: &Workload, logs: &Path, watch: &Rounds) -> Ended {
    let settings = SftSettings {
        epochs: Count::of(ENDLESS),
        batch_size: Count::of(workload.batch),
        optimizer: OptimizerSettings::with_learning_rate(1e-4),
        ..SftSettings::default()
    };
    let examples: Vec<TokenExample> = workload
        .pairs
        .iter()
        .map(|pair| {
            let tokens = [pair.prompt.as_slice(), &pair.chosen].concat();
            TokenExample {
                prompt: tokens[..1].to_vec(),
                completion: tokens[1..].to_vec(),
            }
        })
        .collect();
    let trainer = SftTrainer::new(policy(workload), &settings, order(workload), examples.len());
    let mut log = RunLog::create(logs)?;
    Ok(trainer
        .run(&examples, &[], ENDLESS, &mut log, watch)
        .map(drop))
}

fn sampling(workload: &Workload) -> SamplingSettings {
    SamplingSettings {
        temperature: Positive::of(0.7),
        max_tokens: Count::of(workload.new),
        ..SamplingSettings::default()
    }
}

fn generate(workload: &Workload, watch: &Rounds) {
    let policy = policy(workload).valid();
    let settings = sampling(workload);
    for round in 0.. {
        if watch.stop() {
            return;
        }
        let prompts: Vec<Vec<u32>> = (0..workload.batch)
            .map(|row| workload.pairs[row % workload.pairs.len()].prompt.clone())
            .collect();
        let seeds: Vec<u64> = (0..workload.batch as u64)
            .map(|row| round * 1000 + row)
            .collect();
        let sampled = policy.generate(&prompts, &seeds, &settings, &[]);
        assert!(sampled.iter().all(|row| row.tokens.len() == workload.new));
    }
}

fn ppo(workload: &Workload, old_logps: OldLogps, logs: &Path, watch: &Rounds) -> Ended {
    let settings = PpoSettings {
        batch_size: Count::of(workload.batch),
        micro_batch_size: Some(Count::of(workload.micro_batch)),
        epochs: Count::of(workload.epochs),
        optimizer: OptimizerSettings::with_learning_rate(1e-5),
        old_logps,
        ..PpoSettings::default()
    };
    let reward = scalar(workload, 8).valid();
    let scorer = |_: &[usize], rows: &[TokenExample]| {
        let (rewards, work) = preflab_reward::scores(&reward, rows, ROWS);
        Scored {
            rewards,
            gold: None,
            work,
        }
    };
    let prompts: Vec<Vec<u32>> = workload
        .pairs
        .iter()
        .map(|pair| pair.prompt.clone())
        .collect();
    let trainer = PolicyGradient::new(
        Recipe::ppo(&settings, sampling(workload)),
        policy(workload),
        Some(scalar(workload, 9)),
        &scorer,
        Vec::new(),
        Streams::new(1),
        BudgetSettings::Updates(Count::of(ENDLESS)),
    );
    let mut log = RunLog::create(logs)?;
    Ok(trainer.run(&prompts, &mut log, watch).map(drop))
}

/// Tokens a step computes on, as a share of those a trainer without sharing would.
fn computed(workload: &Workload) -> f64 {
    if !matches!(workload.task, Task::Dpo | Task::Reward) {
        return 1.0;
    }
    let taken = &workload.pairs[..workload.batch.min(workload.pairs.len())];
    let rows: Vec<(&[u32], &[u32])> = taken
        .iter()
        .flat_map(|pair| {
            let Pair { chosen, rejected } = pair.completions();
            [
                (pair.prompt.as_slice(), chosen),
                (pair.prompt.as_slice(), rejected),
            ]
        })
        .collect();
    let all: usize = rows.iter().map(|(p, c)| p.len() + c.len()).sum();
    Completions::new(&rows, &Device::flex()).computed_tokens() as f64 / all as f64
}
