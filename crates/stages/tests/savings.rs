//! Every trainer with adapters, and with activations computed once more: what it learns, what it leaves alone, and that
//! recomputing changes no bit.

use burn::module::Module;
use burn::tensor::Device;
use preflab_config::{
    BudgetSettings, Count, DpoSettings, KlControl, LoraSettings, MemorySettings, ModelSettings,
    NonNegative, OptimizerSettings, PpoSettings, Precision, RewardSettings, SamplingSettings,
    SftSettings,
};
use preflab_data::{TokenExample, TokenPair};
use preflab_dpo::{DpoTrainer, ScoredPairs, reference_logps};
use preflab_metrics::{Memory, Metric};
use preflab_ppo::{PolicyGradient, Recipe, Scored};
use preflab_reward::{Judged, RewardTrainer};
use preflab_training::{Minibatches, Order, SftTrainer, Streams, Work};
use preflab_transformer::checkpoint::weights_hash;
use preflab_transformer::{Architecture, CausalLm, Family, Model, ScalarModel, lora};

const WANTED: u32 = 5;

fn architecture() -> Architecture {
    let shape: ModelSettings = toml::from_str(
        "width = 32\nlayers = 2\nheads = 4\nkv_heads = 2\nfeedforward = 48\ncontext = 64\ninitializer_range = 0.15",
    )
    .unwrap();
    Architecture::new(&shape, 24)
}

fn adapters() -> LoraSettings {
    toml::from_str("rank = 8\nalpha = 16").unwrap()
}

/// What is asked of a model besides its weights.
#[derive(Clone, Copy)]
struct Way {
    lora: bool,
    recompute: bool,
    precision: Precision,
}

const PLAIN: Way = Way {
    lora: false,
    recompute: false,
    precision: Precision::F32,
};

impl Way {
    fn of<M: Model>(self, model: M) -> M {
        let recompute = self.recompute;
        let model = model
            .with_precision(self.precision)
            .with_memory(MemorySettings { recompute });
        match self.lora {
            true => lora::attach(model, Family::Llama, &adapters(), 9).unwrap(),
            false => model,
        }
    }

    fn policy(self) -> CausalLm {
        self.of(CausalLm::init(
            &architecture(),
            3,
            &Device::flex().autodiff(),
        ))
    }

    fn scalar(self) -> ScalarModel {
        self.of(ScalarModel::init(
            &architecture(),
            4,
            &Device::flex().autodiff(),
        ))
    }
}

fn fast() -> OptimizerSettings {
    OptimizerSettings::with_learning_rate(5e-3)
}

fn order() -> Order {
    Order::Shuffled(Minibatches::new(Streams::new(1), 40, 8))
}

/// Pairs whose chosen completion holds the wanted token.
fn pairs() -> Vec<TokenPair> {
    let other = |i: u32, t: u32| 6 + (i * 7 + t * 5) % 17;
    let pair = |i: u32| TokenPair {
        prompt: vec![2, 3 + i % 9],
        chosen: vec![WANTED, other(i, 1), 1],
        rejected: vec![other(i, 2), other(i, 3), 1],
    };
    (0..40).map(pair).collect()
}

/// Loss before and after, and the weights.
type Learnt = (f64, f64, String);

fn sft(way: Way) -> Learnt {
    let examples: Vec<TokenExample> = pairs()
        .into_iter()
        .map(|pair| TokenExample {
            prompt: pair.prompt,
            completion: pair.chosen,
        })
        .collect();
    let settings = SftSettings {
        epochs: Count::of(4),
        batch_size: Count::of(8),
        micro_batch_size: Some(Count::of(4)),
        optimizer: fast(),
        ..SftSettings::default()
    };
    let mut log = Memory::new();
    let trainer = SftTrainer::new(way.policy(), &settings, order(), examples.len());
    let (policy, _) = trainer.run(&examples, &[], 1, &mut log, &()).unwrap();
    learnt(&log, Metric::Loss, &policy)
}

fn dpo(way: Way) -> Learnt {
    let pairs = pairs();
    let policy = way.policy();
    let (reference, _) = reference_logps(&policy.valid(), &pairs, 8);
    let settings = DpoSettings {
        objective: toml::from_str("dpo = { beta = 0.5 }").unwrap(),
        batch_size: Count::of(8),
        micro_batch_size: Some(Count::of(4)),
        optimizer: fast(),
    };
    let data = ScoredPairs {
        pairs: &pairs,
        reference: &reference,
        score_gaps: None,
    };
    let mut trainer = DpoTrainer::new(policy, &settings, order(), 20);
    trainer.check_start(data, 4).unwrap();
    let losses: Vec<f64> = (0..20)
        .map(|update| trainer.update(update, data, update % 5 == 0).loss())
        .collect();
    (
        losses[0],
        losses[19],
        weights_hash(&trainer.into_policy().valid()),
    )
}

fn reward(way: Way) -> Learnt {
    let pairs = pairs();
    let settings = RewardSettings {
        epochs: Count::of(4),
        batch_size: Count::of(8),
        micro_batch_size: Some(Count::of(4)),
        optimizer: fast(),
        ..RewardSettings::default()
    };
    let data = Judged {
        pairs: &pairs,
        gold_margins: None,
    };
    let mut log = Memory::new();
    let trainer = RewardTrainer::new(way.scalar(), &settings, order(), pairs.len());
    let model = trainer.run(data, data, &mut log, &()).unwrap().model;
    learnt(&log, Metric::Loss, &model)
}

fn ppo(way: Way) -> Learnt {
    let share = |_: &[usize], rows: &[TokenExample]| Scored {
        rewards: rows
            .iter()
            .map(|row| {
                let wanted = row.completion.iter().filter(|&&token| token == WANTED);
                wanted.count() as f64 / row.completion.len() as f64
            })
            .collect(),
        gold: None,
        work: Work::default(),
    };
    let settings = PpoSettings {
        batch_size: Count::of(24),
        micro_batch_size: Some(Count::of(12)),
        epochs: Count::of(2),
        optimizer: fast(),
        kl: KlControl::Fixed(NonNegative::of(0.0)),
        ..PpoSettings::default()
    };
    let sampling = SamplingSettings {
        max_tokens: Count::of(6),
        ..SamplingSettings::default()
    };
    let trainer = PolicyGradient::new(
        Recipe::ppo(&settings, sampling),
        way.policy(),
        Some(way.scalar()),
        &share,
        vec![1],
        Streams::new(11),
        BudgetSettings::Updates(Count::of(40)),
    );
    let prompts: Vec<Vec<u32>> = (0..12)
        .map(|i| vec![2, 3 + i % 5, 8 + i % 7, 4 + i % 3])
        .collect();
    let mut log = Memory::new();
    let (policy, _) = trainer.run(&prompts, &mut log, &()).unwrap();
    let (first, last, hash) = learnt(&log, Metric::ObjectiveRawScores, &policy);
    // The score rises where a loss falls.
    (-first, -last, hash)
}

fn learnt<M: Model>(log: &Memory, metric: Metric, model: &M) -> Learnt {
    let series = log.series(metric);
    let mean = |points: &[(u64, f64)]| {
        points.iter().map(|(_, value)| value).sum::<f64>() / points.len() as f64
    };
    let few = series.len().min(3);
    (
        mean(&series[..few]),
        mean(&series[series.len() - few..]),
        weights_hash(&model.valid()),
    )
}

type Trainer = fn(Way) -> Learnt;

const TRAINERS: [(&str, Trainer); 4] =
    [("sft", sft), ("dpo", dpo), ("reward", reward), ("ppo", ppo)];

#[test]
fn recomputing_changes_no_bit_of_what_is_trained() {
    for (name, trainer) in TRAINERS {
        for lora in [false, true] {
            let way = Way { lora, ..PLAIN };
            let again = Way {
                recompute: true,
                ..way
            };
            assert_eq!(trainer(way), trainer(again), "{name}, adapters: {lora}");
        }
    }
}

#[test]
fn every_trainer_learns_with_adapters() {
    for (name, trainer) in TRAINERS {
        let (first, last, _) = trainer(Way {
            lora: true,
            ..PLAIN
        });
        let better = if name == "ppo" { 0.1 } else { 0.2 * first };
        assert!(first - last > better, "{name}: {first} to {last}");
    }
}

#[test]
fn every_trainer_learns_in_bfloat16() {
    for (name, trainer) in TRAINERS {
        let (first, last, hash) = trainer(Way {
            precision: Precision::Bf16,
            ..PLAIN
        });
        let (_, full, other) = trainer(PLAIN);
        let better = if name == "ppo" { 0.1 } else { 0.2 * first };
        assert!(first - last > better, "{name}: {first} to {last}");
        assert_ne!(hash, other, "{name}: computed in 32 bits");
        // Within a quarter of what 32 bits gain.
        let gained = (first - last) / (first - full);
        assert!((0.75..1.25).contains(&gained), "{name}: {gained}");
    }
}

#[test]
fn what_is_frozen_stays_as_it_was() {
    let way = Way {
        lora: true,
        ..PLAIN
    };
    let mut model = way.policy();
    let start = weights_hash(&PLAIN.policy().valid());
    let examples = [TokenExample {
        prompt: vec![2, 3],
        completion: vec![4, 5, 1],
    }];
    let settings = SftSettings {
        batch_size: Count::of(1),
        epochs: Count::of(3),
        optimizer: fast(),
        ..SftSettings::default()
    };
    let order = Order::Sequential {
        examples: 1,
        batch_size: 1,
    };
    let trainer = SftTrainer::new(model, &settings, order, 1);
    model = trainer
        .run(&examples, &[], 1, &mut Memory::new(), &())
        .unwrap()
        .0;
    let trained = weights_hash(&lora::merged(&model));
    assert_ne!(trained, start);
    for block in &mut model.decoder.layers {
        let attention = &mut block.self_attn;
        for layer in [
            &mut attention.q_proj,
            &mut attention.k_proj,
            &mut attention.v_proj,
            &mut attention.o_proj,
            &mut block.mlp.up_proj,
            &mut block.mlp.down_proj,
        ] {
            assert!(layer.adapter.take().is_some());
        }
        if let Some(gate) = &mut block.mlp.gate_proj {
            assert!(gate.adapter.take().is_some());
        }
    }
    assert_eq!(weights_hash(&model.valid()), start);
}
