//! The trainer on completions with labels, on a tiny model.

use burn::module::Module;
use burn::tensor::Device;
use preflab_config::{
    Bco, Count, DpoSettings, KlBaseline, Kto, ModelSettings, NonNegative, Objective,
    OptimizerSettings,
};
use preflab_data::{Pair, TokenExample, TokenPair};
use preflab_dpo::{
    DpoTrainer, ExampleLogps, JudgedExamples, ScoredPairs, Unpaired, UnpairedError,
    UnpairedMeasured, UnpairedTrainer, example_logps, reference_logps,
};
use preflab_metrics::{Memory, Metric};
use preflab_training::Order;
use preflab_transformer::checkpoint::weights_hash;
use preflab_transformer::{Architecture, CausalLm};

const VOCABULARY: usize = 24;

fn policy(seed: u64) -> CausalLm {
    let shape: ModelSettings = toml::from_str(
        "width = 16\nlayers = 2\nheads = 2\nkv_heads = 1\nfeedforward = 32\ncontext = 64",
    )
    .unwrap();
    let architecture = Architecture::new(&shape, VOCABULARY);
    CausalLm::init(&architecture, seed, &Device::flex().autodiff())
}

/// Wanted completions count up, unwanted ones down.
fn pairs() -> Vec<TokenPair> {
    let pair = |i: u32| TokenPair {
        prompt: (0..2 + i % 3).map(|t| 3 + (i * 5 + t) % 18).collect(),
        chosen: (0..2 + i % 4)
            .map(|t| 4 + (i + t) % 16)
            .chain([1])
            .collect(),
        rejected: (0..2 + i % 3)
            .map(|t| 4 + (i + 20 - t) % 16)
            .chain([1])
            .collect(),
    };
    (0..6).map(pair).collect()
}

struct Data {
    examples: Vec<TokenExample>,
    wanted: Vec<bool>,
    reference: Vec<ExampleLogps>,
}

impl Data {
    /// Both sides of [`pairs`], one after the other.
    fn new(policy: &CausalLm, block: usize) -> Self {
        let examples: Vec<TokenExample> = pairs()
            .iter()
            .flat_map(|pair| {
                let Pair { chosen, rejected } = pair.examples();
                [chosen, rejected]
            })
            .collect();
        let wanted = (0..examples.len()).map(|index| index % 2 == 0).collect();
        let (reference, _) = example_logps(&policy.valid(), &examples, block, 5);
        Self {
            examples,
            wanted,
            reference,
        }
    }

    fn judged(&self) -> JudgedExamples<'_> {
        JudgedExamples {
            examples: &self.examples,
            wanted: &self.wanted,
            reference: &self.reference,
        }
    }
}

fn settings(objective: Objective, batch: usize, micro: usize) -> DpoSettings {
    DpoSettings {
        objective,
        batch_size: Count::of(batch),
        micro_batch_size: Some(Count::of(micro)),
        optimizer: OptimizerSettings::with_learning_rate(3e-3),
    }
}

fn trainer(objective: Objective, micro: usize) -> UnpairedTrainer {
    let order = Order::Sequential {
        examples: 12,
        batch_size: 12,
    };
    UnpairedTrainer::new(policy(5), &settings(objective, 12, micro), order, 40).unwrap()
}

fn kto(baseline: KlBaseline) -> Kto {
    Kto {
        desirable_weight: NonNegative::of(1.5),
        baseline,
        ..Kto::default()
    }
}

fn objectives() -> [Objective; 3] {
    [
        Objective::Kto(kto(KlBaseline::Unrelated)),
        Objective::Kto(kto(KlBaseline::Zero)),
        Objective::Bco(Bco::default()),
    ]
}

fn assert_same(a: &UnpairedMeasured, b: &UnpairedMeasured) {
    let close = |what: &str, a: f64, b: f64| {
        assert!((a - b).abs() < 2e-4 * b.abs().max(1e-2), "{what}: {a} {b}");
    };
    close("loss", a.loss(), b.loss());
    close("grad_norm", a.grad_norm, b.grad_norm);
    close("entropy", a.mean_entropy(), b.mean_entropy());
    close("kl", a.kl.unwrap_or(0.0), b.kl.unwrap_or(0.0));
    for (x, y) in a.rewards.iter().zip(&b.rewards) {
        close("reward", *x, *y);
    }
}

#[test]
fn micro_batches_of_one_are_one_micro_batch() {
    // the policy has moved away from this reference, so that the baseline counts
    let data = Data::new(&policy(9), 12);
    let all: Vec<usize> = (0..12).collect();
    for objective in objectives() {
        let mut whole = trainer(objective.clone(), 12);
        let mut parts = trainer(objective, 1);
        for _ in 0..2 {
            let a = whole.step(&all, data.judged());
            let b = parts.step(&all, data.judged());
            assert_same(&b, &a);
        }
    }
}

#[test]
fn both_sides_of_pairs_judged_alone_are_the_pairs() {
    let data = Data::new(&policy(9), 12);
    let pairs = pairs();
    let (reference, _) = reference_logps(&policy(9).valid(), &pairs, 6);
    let scored = ScoredPairs {
        pairs: &pairs,
        reference: &reference,
        score_gaps: None,
    };
    let objective = Objective::Kto(kto(KlBaseline::Zero));
    let order = Order::Sequential {
        examples: 6,
        batch_size: 6,
    };
    let mut paired = DpoTrainer::new(policy(5), &settings(objective.clone(), 6, 6), order, 40);
    let mut alone = trainer(objective, 12);
    let all: Vec<usize> = (0..6).collect();
    let of_pairs = paired.step(&all, scored, false);
    let of_examples = alone.step(&(0..12).collect::<Vec<_>>(), data.judged());
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{a} {b}");
    close(of_examples.loss(), of_pairs.loss());
    close(of_examples.grad_norm, of_pairs.grad_norm);
    let rewards = of_examples.means(&of_examples.rewards);
    close(rewards.chosen.unwrap(), of_pairs.mean_rewards().chosen);
    close(rewards.rejected.unwrap(), of_pairs.mean_rewards().rejected);
}

#[test]
fn training_tells_wanted_from_unwanted_and_is_the_same_every_time() {
    for objective in objectives() {
        let start = policy(5);
        let data = Data::new(&start, 12);
        let run = || {
            let mut log = Memory::default();
            let trained = trainer(objective.clone(), 12)
                .run(40, data.judged(), data.judged(), 10, &mut log, &())
                .unwrap();
            (weights_hash(trained.policy()), log)
        };
        let (weights, log) = run();
        let curve = log.series(Metric::EvalRewardsAccuracies);
        assert_eq!(curve.first().unwrap().1, 0.0, "equal rewards are no win");
        assert!(curve.last().unwrap().1 > 0.95, "{curve:?}");
        assert_ne!(weights, weights_hash(&start));
        assert_eq!(weights, run().0);
    }
}

#[test]
fn objectives_that_read_pairs_are_refused() {
    let of = |text: &str| Unpaired::of(&toml::from_str::<Objective>(text).unwrap());
    assert_eq!(of("dpo = {}"), Err(UnpairedError::Pairs));
    assert_eq!(
        of("kto.baseline = \"other-side\""),
        Err(UnpairedError::OtherSide)
    );
    assert!(of("kto = {}").unwrap().reads_unrelated());
    assert!(!of("bco = {}").unwrap().reads_unrelated());
}
