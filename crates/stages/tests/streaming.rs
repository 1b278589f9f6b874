//! Training on rows in a file gives bit for bit what training on rows in memory gives.

use burn::module::Module;
use burn::tensor::Device;
use preflab_config::{
    BradleyTerry, Count, DpoSettings, ModelSettings, NonNegative, OptimizerSettings, RewardMargin,
    RewardObjective, RewardSettings, SftSettings,
};
use preflab_data::{RowFile, RowWriter, Rows, TokenExample, TokenPair, Words};
use preflab_dpo::dynamics::{Dynamics, Probes};
use preflab_dpo::{
    AccuracyPairs, DpoTrainer, Monitoring, ScoredPairs, ScoredRows, reference_logps, score_rows,
};
use preflab_metrics::{Memory, Metric};
use preflab_reward::{Judged, JudgedRows, RewardTrainer};
use preflab_training::{Minibatches, Order, SftTrainer, Stream, Streams};
use preflab_transformer::checkpoint::weights_hash;
use preflab_transformer::{Architecture, CausalLm, ScalarModel};

fn architecture() -> Architecture {
    let shape: ModelSettings = toml::from_str(
        "width = 32\nlayers = 2\nheads = 4\nkv_heads = 2\nfeedforward = 48\ncontext = 64\ninitializer_range = 0.15",
    )
    .unwrap();
    Architecture::new(&shape, 24)
}

/// Pairs of many lengths.
fn pairs() -> Vec<TokenPair> {
    let tokens =
        |i: u32, from: u32, count: u32| (0..count).map(|t| from + (i * 7 + t * 5) % 17).collect();
    let pair = |i: u32| TokenPair {
        prompt: tokens(i, 2, 1 + i % 5),
        chosen: tokens(i, 5, 1 + i % 7),
        rejected: tokens(i, 6, 1 + i % 4),
    };
    (0..40).map(pair).collect()
}

fn examples() -> Vec<TokenExample> {
    pairs().iter().map(|pair| pair.examples().chosen).collect()
}

fn filed<T: Words>(rows: &[T]) -> RowFile<T> {
    let mut writer = RowWriter::new(tempfile::tempfile().unwrap());
    for row in rows {
        writer.push(row).unwrap();
    }
    writer.finish().unwrap()
}

fn fast() -> OptimizerSettings {
    OptimizerSettings::with_learning_rate(5e-3)
}

fn order() -> Order {
    Order::Shuffled(Minibatches::new(Streams::new(1), 30, 8))
}

/// Everything that a run says of some metrics, and a hash of the weights it ends with.
type Told = (Vec<Vec<(u64, f64)>>, String);

fn told(log: &Memory, metrics: &[Metric], weights: String) -> Told {
    let series: Vec<_> = metrics.iter().map(|metric| log.series(*metric)).collect();
    assert!(series.iter().all(|series| !series.is_empty()));
    (series, weights)
}

fn sft(train: Rows<'_, TokenExample>, held_out: Rows<'_, TokenExample>) -> Told {
    let settings = SftSettings {
        epochs: Count::of(3),
        batch_size: Count::of(8),
        micro_batch_size: Some(Count::of(3)),
        optimizer: fast(),
        ..SftSettings::default()
    };
    let policy = CausalLm::init(&architecture(), 3, &Device::flex().autodiff());
    let trainer = SftTrainer::new(policy, &settings, order(), train.len()).evaluating_every(4);
    let mut log = Memory::new();
    let (policy, _) = trainer.run(train, held_out, 1, &mut log, &()).unwrap();
    let metrics = [Metric::Loss, Metric::EvalLoss, Metric::NumTokens];
    told(&log, &metrics, weights_hash(&policy))
}

fn reward(train: Rows<'_, TokenPair>, held_out: &[TokenPair]) -> Told {
    let settings = RewardSettings {
        objective: RewardObjective::BradleyTerry(BradleyTerry {
            margin: RewardMargin::PerPair(NonNegative::of(0.5)),
            ..BradleyTerry::default()
        }),
        epochs: Count::of(3),
        batch_size: Count::of(8),
        micro_batch_size: Some(Count::of(3)),
        optimizer: fast(),
        evaluate_every: Count::of(4),
        ..RewardSettings::default()
    };
    let margins: Vec<f64> = (0..train.len()).map(|pair| pair as f64 / 10.0).collect();
    let model = ScalarModel::init(&architecture(), 4, &Device::flex().autodiff());
    let trainer = RewardTrainer::new(model, &settings, order(), train.len()).watching(5);
    let data = JudgedRows {
        pairs: train,
        gold_margins: Some(&margins),
    };
    let held_out = Judged {
        pairs: held_out,
        gold_margins: Some(&margins[..held_out.len()]),
    };
    let mut log = Memory::new();
    let run = trainer.run(data, held_out, &mut log, &()).unwrap();
    let metrics = [Metric::Loss, Metric::EvalLoss, Metric::AccuracyTrain];
    told(&log, &metrics, weights_hash(&run.model))
}

fn dpo(objective: &str, in_files: bool) -> Told {
    let settings = DpoSettings {
        objective: toml::from_str(objective).unwrap(),
        batch_size: Count::of(8),
        micro_batch_size: Some(Count::of(3)),
        optimizer: fast(),
    };
    let all = pairs();
    let (train, held_out) = all.split_at(30);
    let policy = CausalLm::init(&architecture(), 3, &Device::flex().autodiff());
    let (logps, _) = reference_logps(&policy.valid(), train, 8);
    let (held_out_logps, _) = reference_logps(&policy.valid(), held_out, 8);
    let gaps: Vec<f64> = (0..30).map(|pair| 1.0 + f64::from(pair) / 10.0).collect();
    let in_memory = ScoredPairs {
        pairs: train,
        reference: &logps,
        score_gaps: Some(&gaps),
    };
    let (pairs_file, mut scored) = (filed(train), RowWriter::new(tempfile::tempfile().unwrap()));
    score_rows(&policy.valid(), (&pairs_file).into(), 8, |logps| {
        scored.push(&logps)
    })
    .unwrap();
    let logps_file = scored.finish().unwrap();
    let data: ScoredRows<'_> = match in_files {
        true => ScoredRows {
            pairs: (&pairs_file).into(),
            reference: (&logps_file).into(),
            score_gaps: Some(&gaps),
        },
        false => in_memory.into(),
    };
    let held_out = ScoredPairs {
        pairs: held_out,
        reference: &held_out_logps,
        score_gaps: Some(&gaps[..10]),
    };
    let random = &mut Streams::new(1).rng(Stream::Probes, 0);
    let probes = Probes::new(&train[..4], &vec![None; 4], 0, 24, random);
    let dynamics = Dynamics::new(probes, &policy.valid());
    let monitoring = Monitoring {
        held_out,
        probe_pairs: in_memory.first(4),
        dynamics: &dynamics,
        accuracy: AccuracyPairs {
            held_out,
            train: in_memory.first(10),
        },
        every: 4,
        answers: None,
        first: 0,
    };
    let trainer = DpoTrainer::new(policy, &settings, order(), 10);
    trainer.check_start(data, 4).unwrap();
    let mut log = Memory::new();
    let trained = trainer.run(10, data, monitoring, &mut log, &()).unwrap();
    let metrics = [
        Metric::Loss,
        Metric::EvalLoss,
        Metric::RewardsMargins,
        Metric::NumTokens,
    ];
    told(&log, &metrics, weights_hash(trained.policy()))
}

/// Of the objectives, some read the whole update, the pair behind each pair, or the strength of the preference.
#[test]
fn the_dpo_family_takes_pairs_and_log_probs_from_files() {
    let mut seen = Vec::new();
    for objective in [
        "dpo = { beta = 0.5 }",
        "kto = { beta = 0.5 }",
        "bco = { beta = 0.5, shift = \"running-mean\" }",
        "odpo = {}",
    ] {
        let in_memory = dpo(objective, false);
        assert_eq!(dpo(objective, true), in_memory, "{objective}");
        assert!(!seen.contains(&in_memory.1), "{objective}");
        seen.push(in_memory.1);
    }
}

#[test]
fn supervised_fine_tuning_takes_rows_from_a_file() {
    let all = examples();
    let (train, held_out) = all.split_at(30);
    let in_memory = sft(train.into(), held_out.into());
    let (train_file, held_out_file) = (filed(train), filed(held_out));
    assert_eq!(
        sft((&train_file).into(), (&held_out_file).into()),
        in_memory
    );
    let mut other = train.to_vec();
    other[7].completion[0] += 1;
    let other = filed(&other);
    assert_ne!(sft((&other).into(), (&held_out_file).into()), in_memory);
}

#[test]
fn a_reward_model_takes_pairs_from_a_file() {
    let all = pairs();
    let (train, held_out) = all.split_at(30);
    let in_memory = reward(train.into(), held_out);
    let file = filed(train);
    assert_eq!(reward((&file).into(), held_out), in_memory);
    let backwards: Vec<TokenPair> = train.iter().rev().cloned().collect();
    assert_ne!(reward((&filed(&backwards)).into(), held_out), in_memory);
}
