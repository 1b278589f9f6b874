//! The losses of arms that learn from the learned reward.

use burn::tensor::{Device, Int, Tensor, TensorData};
use preflab_config::ToyPpo;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::batches::Preference;
use crate::observation::Policy;
use crate::world::{CELLS, RESPONSES};

/// `−Σ_x w(x) Σ_y π(y|x) (r(x,y) − β log(π(y|x) / π_start(y|x)))`, `[n]`: the exact objective of RLHF, to be minimised.
///
/// - `logps`, `start`, `rewards`: `[n, 40]`, prompts by responses; `beta`: reward/nats.
/// - `weights`: `w`, the share of each cell's prompt in the mini-batch, `[n, 40]`.
pub(crate) fn exact(
    logps: Tensor<2>,
    start: Tensor<2>,
    rewards: Tensor<2>,
    weights: Tensor<2>,
    beta: f64,
) -> Tensor<1> {
    let gains = rewards - (logps.clone() - start) * beta;
    -(logps.exp() * gains * weights).sum_dim(1).squeeze_dim(1)
}

/// The share of each cell's prompt in the mini-batches, `[times · n, 40]`.
pub(crate) fn weights(batches: &[Vec<Preference>], times: usize, device: &Device) -> Tensor<2> {
    let rows: Vec<f32> = batches
        .iter()
        .flat_map(|batch| {
            let mut row = vec![0.0; CELLS];
            for pair in batch {
                let first = pair.prompt * RESPONSES;
                for weight in &mut row[first..first + RESPONSES] {
                    *weight += 1.0 / batch.len() as f32;
                }
            }
            row
        })
        .collect();
    let shape = [times * batches.len(), CELLS];
    Tensor::from_data(TensorData::new(rows.repeat(times), shape), device)
}

/// Responses sampled from the policies as they were, with what is made of them.
pub(crate) struct Rollout {
    /// Cells of the samples, `[n, k]`.
    cells: Tensor<2, Int>,
    /// `log π_old` of the samples, `[n, k]`.
    old: Tensor<2>,
    /// Regularised reward minus its mean over the samples for the same pair's prompt, `[n, k]`.
    advantages: Tensor<2>,
}

impl Rollout {
    /// Samples for each prompt of each run's mini-batch.
    ///
    /// - `logps`, `start`, `rewards`: of all runs, `n` rows of 40 numbers; `rngs`: a generator for each run.
    pub(crate) fn new(
        settings: &ToyPpo,
        batches: &[&[Preference]],
        [logps, start, rewards]: [&[f32]; 3],
        rngs: &mut [ChaCha8Rng],
        device: &Device,
    ) -> Self {
        let k = settings.samples.get();
        let (mut cells, mut old, mut advantages) = (Vec::new(), Vec::new(), Vec::new());
        for (run, (batch, rng)) in batches.iter().zip(rngs).enumerate() {
            let row = run * CELLS..(run + 1) * CELLS;
            let [logps, start, rewards] = [logps, start, rewards].map(|all| &all[row.clone()]);
            for pair in *batch {
                let first = pair.prompt * RESPONSES;
                let group: Vec<usize> = (0..k)
                    .map(|_| first + sample(&logps[first..first + RESPONSES], rng))
                    .collect();
                let gains: Vec<f64> = group
                    .iter()
                    .map(|&cell| {
                        let ratio = f64::from(logps[cell]) - f64::from(start[cell]);
                        f64::from(rewards[cell]) - settings.beta.get() * ratio
                    })
                    .collect();
                let mean = gains.iter().sum::<f64>() / k as f64;
                for (cell, gain) in group.into_iter().zip(gains) {
                    cells.push(cell as i64);
                    old.push(logps[cell]);
                    advantages.push((gain - mean) as f32);
                }
            }
        }
        let shape = [batches.len(), cells.len() / batches.len()];
        Self {
            cells: Tensor::from_data(TensorData::new(cells, shape), device),
            old: Tensor::from_data(TensorData::new(old, shape), device),
            advantages: Tensor::from_data(TensorData::new(advantages, shape), device),
        }
    }

    /// `−mean_k min(ρ A, clip(ρ, 1−ε, 1+ε) A)` with `ρ = π / π_old`, `[n]`.
    ///
    /// Schulman et al. 2017, [arXiv:1707.06347](https://arxiv.org/abs/1707.06347), eq. 7. `logps`: `[n, 40]`.
    pub(crate) fn loss(&self, logps: Tensor<2>, clip: f64) -> Tensor<1> {
        let ratios = (logps.gather(1, self.cells.clone()) - self.old.clone()).exp();
        let clipped = ratios.clone().clamp(1.0 - clip, 1.0 + clip) * self.advantages.clone();
        let surrogate = (ratios * self.advantages.clone()).min_pair(clipped);
        -surrogate.mean_dim(1).squeeze_dim(1)
    }
}

/// A response drawn from `exp(logps)`, which sums to 1 but for rounding.
fn sample(logps: &[f32], rng: &mut ChaCha8Rng) -> usize {
    let mut left = rng.random::<f64>();
    for (response, &logp) in logps.iter().enumerate() {
        left -= f64::from(logp).exp();
        if left < 0.0 {
            return response;
        }
    }
    // Rounding left a crumb: it belongs to the likeliest response.
    let likelier = |best: usize, response: usize| {
        if logps[response] > logps[best] {
            response
        } else {
            best
        }
    };
    (0..logps.len()).fold(0, likelier)
}

/// `−∂J/∂π(y|x)` along the simplex for one cell: minus the advantage
/// `r − β log(π/π_start) − E_π[r − β log(π/π_start)]`, which does not depend on a constant added to the rewards.
pub(crate) fn likelihood_gradient(
    policy: &Policy,
    start: &Policy,
    rewards: &[f64],
    beta: f64,
    cell: usize,
) -> f64 {
    let gain = |cell: usize| rewards[cell] - beta * (policy[cell] - start[cell]);
    let first = cell / RESPONSES * RESPONSES;
    let expected: f64 = (first..first + RESPONSES)
        .map(|cell| policy[cell].exp() * gain(cell))
        .sum();
    expected - gain(cell)
}

/// `log π*` with `π* ∝ π_start exp(r / β)`: the policy of the largest `E[r] − β KL(π ‖ π_start)`.
pub(crate) fn optimum(start: &Policy, rewards: &[f64], beta: f64) -> Policy {
    let mut policy = *start;
    for prompt in policy.chunks_mut(RESPONSES).zip(rewards.chunks(RESPONSES)) {
        let (row, rewards) = prompt;
        for (log, reward) in row.iter_mut().zip(rewards) {
            *log += reward / beta;
        }
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total = top + row.iter().map(|log| (log - top).exp()).sum::<f64>().ln();
        for log in row {
            *log -= total;
        }
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::numbers;
    use crate::streams::{self, Stream};

    fn world() -> (Policy, Vec<f64>) {
        let start: Policy = [-10f64.ln(); CELLS];
        let rewards = (0..CELLS).map(|cell| (cell % 7) as f64 * 0.3).collect();
        (start, rewards)
    }

    #[test]
    fn at_the_optimum_no_response_has_an_advantage() {
        let (start, rewards) = world();
        let best = optimum(&start, &rewards, 0.5);
        for cell in 0..CELLS {
            let gradient = likelihood_gradient(&best, &start, &rewards, 0.5, cell);
            assert!(gradient.abs() < 1e-12, "{cell}: {gradient}");
        }
        let total: f64 = best[..RESPONSES].iter().map(|log| log.exp()).sum();
        assert!((total - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_exact_objective_is_smallest_at_the_optimum() {
        let (start, rewards) = world();
        let device = Device::flex();
        let tensor = |values: &[f64]| {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            Tensor::<2>::from_data(TensorData::new(values, [1, CELLS]), &device)
        };
        let weights = tensor(&[0.25; CELLS]);
        let loss = |policy: &Policy| {
            let loss = exact(
                tensor(policy),
                tensor(&start),
                tensor(&rewards),
                weights.clone(),
                0.5,
            );
            numbers(&loss)[0]
        };
        let best = loss(&optimum(&start, &rewards, 0.5));
        assert!(best < loss(&start));
        assert!(best < loss(&optimum(&start, &rewards, 0.4)));
        assert!(best < loss(&optimum(&start, &rewards, 0.6)));
    }

    #[test]
    fn samples_follow_the_policy() {
        let logps = [0.7f32, 0.2, 0.1].map(f32::ln);
        let mut rng = streams::rng(0, Stream::Samples, 0);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[sample(&logps, &mut rng)] += 1;
        }
        assert!((counts[0] as i64 - 7000).abs() < 200 && (counts[2] as i64 - 1000).abs() < 150);
    }
}
