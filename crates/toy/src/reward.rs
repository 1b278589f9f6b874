//! The reward model of the toy world.

use burn::tensor::{Device, Tensor};
use preflab_config::{ToyOptimizer, ToySettings};
use preflab_data::Pair;
use preflab_dpo::objectives::dpo::dpo;

use crate::batches::Batches;
use crate::network::{self, Training};
use crate::rows::{cells, numbers};
use crate::streams::Stream;
use crate::world::CELLS;

/// A trained reward model of one seed.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardRun {
    /// The seed.
    pub seed: u64,
    /// Scores, prompts by responses.
    pub scores: Vec<f64>,
    /// One look before each update.
    pub curve: Vec<RewardLook>,
}

/// What training of a reward model shows of one mini-batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RewardLook {
    /// Mean over pairs of the Bradley-Terry loss, nats.
    pub loss: f64,
    /// Mean over pairs of the chosen minus the rejected score.
    pub margin: f64,
    /// Mean over pairs of `log |∂ loss / ∂ score|` of the chosen response.
    pub log_gradient_chosen: f64,
    /// The same of the rejected response.
    pub log_gradient_rejected: f64,
    /// Largest over pairs of `|(∂ loss / ∂ r_w) / (∂ loss / ∂ r_l) + 1|`: 0 where the two are in balance.
    pub imbalance: f64,
}

/// Reward models, one for each seed: `−log σ(r(x, y_w) − r(x, y_l))` on the mini-batches that the policies will see.
///
/// A reward model does not see the policy, so that the scenarios share it. Returns them with their scores `[n, 40]`.
pub(crate) fn train(
    settings: &ToySettings,
    seeds: &[u64],
    device: &Device,
) -> (Vec<RewardRun>, Tensor<2>) {
    let (n, b) = (seeds.len(), settings.batch.get());
    let mut batches: Vec<Batches> = seeds
        .iter()
        .map(|&seed| Batches::new(seed, settings.rejected, b))
        .collect();
    let initial = network::initial(seeds, settings.width.get(), Stream::Reward, device);
    let mut training = Training::new(
        initial,
        ToyOptimizer::Adam,
        settings.reward.learning_rate.get(),
    );
    let mut curves = vec![Vec::new(); n];
    for _ in 0..settings.reward.epochs.get() {
        let pairs: Vec<_> = batches.iter_mut().map(Batches::next).collect();
        let leaves = training.leaves();
        let scores = network::forward(&leaves).reshape([n, CELLS]);
        let zeros = Tensor::<2>::zeros([n, 2 * b], &device.clone().autodiff()).require_grad();
        let picked = scores.gather(1, cells(&pairs, 0, 1, device)) + zeros.clone();
        let sides = Pair {
            chosen: 0,
            rejected: b,
        }
        .map(|first| picked.clone().narrow(1, first, b).reshape([n * b]));
        // Bradley-Terry is DPO on scores in the place of log-ratios, with a beta of 1.
        let losses = dpo(&sides, 1.0);
        let gradients = losses.clone().sum().div_scalar(b as f64).backward();
        let slopes = numbers(&zeros.grad(&gradients).expect("the scores are used"));
        let (losses, picked) = (numbers(&losses.inner()), numbers(&picked.inner()));
        for (run, curve) in curves.iter_mut().enumerate() {
            let row = run * 2 * b..(run + 1) * 2 * b;
            curve.push(look(
                &losses[run * b..(run + 1) * b],
                &picked[row.clone()],
                &slopes[row],
            ));
        }
        training = training.update(leaves, &gradients);
    }
    let scores = network::forward(&training.into_parameters()).reshape([n, CELLS]);
    let host = numbers(&scores);
    let runs = seeds
        .iter()
        .zip(host.chunks(CELLS))
        .zip(curves)
        .map(|((&seed, scores), curve)| RewardRun {
            seed,
            scores: scores.iter().map(|&score| f64::from(score)).collect(),
            curve,
        })
        .collect();
    (runs, scores)
}

/// Of one run: losses `[b]`, scores and slopes `[2b]`.
fn look(losses: &[f32], scores: &[f32], slopes: &[f32]) -> RewardLook {
    let b = losses.len();
    let mean = |value: &dyn Fn(usize) -> f64| (0..b).map(value).sum::<f64>() / b as f64;
    let slope = |index: usize| f64::from(slopes[index]);
    RewardLook {
        loss: mean(&|i| f64::from(losses[i])),
        margin: mean(&|i| f64::from(scores[i] - scores[b + i])),
        log_gradient_chosen: mean(&|i| (slope(i).abs() * b as f64).ln()),
        log_gradient_rejected: mean(&|i| (slope(b + i).abs() * b as f64).ln()),
        imbalance: (0..b)
            .map(|i| (slope(i) / slope(b + i) + 1.0).abs())
            .fold(0.0, f64::max),
    }
}
