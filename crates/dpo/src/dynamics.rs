//! What preference training does to likelihoods: the quantities of the paper's 3D-properties (arXiv:2406.07327, sections 3
//! and 4.3), measured on fixed probe rows while a real model trains.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use preflab_data::{Pair, TokenPair};
use preflab_metrics::{Metric, Sink, SinkError};
use preflab_transformer::{CausalLm, Completions};
use rand::RngExt;

use crate::reference::token_rows;
use crate::trainer::Measured;

/// Rows whose log-probabilities are followed. A row is a prompt with a completion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Probes {
    groups: Vec<(Group, Vec<(Vec<u32>, Vec<u32>)>)>,
}

/// What a probe row's completion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Chosen side of a training pair.
    Chosen,
    /// Rejected side of a training pair.
    Rejected,
    /// A sample of the start model that is in no pair.
    Unseen,
    /// Chosen side of another prompt's pair.
    OtherPrompts,
    /// Uniformly random tokens.
    Random,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 5] = [
        Self::Chosen,
        Self::Rejected,
        Self::Unseen,
        Self::OtherPrompts,
        Self::Random,
    ];

    /// Tags of the summed log-probability, the one per token, and its change since step 0.
    pub const fn metrics(self) -> [Metric; 3] {
        match self {
            Self::Chosen => [
                Metric::DynamicsLogpsChosen,
                Metric::DynamicsMeanLogpChosen,
                Metric::DynamicsChangeChosen,
            ],
            Self::Rejected => [
                Metric::DynamicsLogpsRejected,
                Metric::DynamicsMeanLogpRejected,
                Metric::DynamicsChangeRejected,
            ],
            Self::Unseen => [
                Metric::DynamicsLogpsUnseen,
                Metric::DynamicsMeanLogpUnseen,
                Metric::DynamicsChangeUnseen,
            ],
            Self::OtherPrompts => [
                Metric::DynamicsLogpsOtherPrompts,
                Metric::DynamicsMeanLogpOtherPrompts,
                Metric::DynamicsChangeOtherPrompts,
            ],
            Self::Random => [
                Metric::DynamicsLogpsRandom,
                Metric::DynamicsMeanLogpRandom,
                Metric::DynamicsChangeRandom,
            ],
        }
    }
}

impl Probes {
    /// Probe rows of `pairs`.
    ///
    /// - `unseen`: for each pair a completion that no pair holds, where there is one.
    /// - `vocabulary`: random tokens are drawn from `first_token..vocabulary`, as many as the chosen completion has.
    pub fn new(
        pairs: &[TokenPair],
        unseen: &[Option<Vec<u32>>],
        first_token: u32,
        vocabulary: usize,
        random: &mut impl rand::Rng,
    ) -> Self {
        let side = |pick: fn(&TokenPair) -> &Vec<u32>| {
            let row = |pair: &TokenPair| (pair.prompt.clone(), pick(pair).clone());
            pairs.iter().map(row).collect::<Vec<_>>()
        };
        let others = (0..pairs.len()).map(|index| {
            let other = &pairs[(index + 1) % pairs.len()];
            (pairs[index].prompt.clone(), other.chosen.clone())
        });
        let held = pairs.iter().zip(unseen).filter_map(|(pair, unseen)| {
            let completion = unseen.clone()?;
            Some((pair.prompt.clone(), completion))
        });
        let noise = pairs.iter().map(|pair| {
            let token = |_| random.random_range(first_token..vocabulary as u32);
            let completion = (0..pair.chosen.len()).map(token).collect();
            (pair.prompt.clone(), completion)
        });
        let groups = vec![
            (Group::Chosen, side(|pair| &pair.chosen)),
            (Group::Rejected, side(|pair| &pair.rejected)),
            (Group::Unseen, held.collect()),
            (Group::OtherPrompts, others.collect()),
            (Group::Random, noise.collect()),
        ];
        let groups = groups
            .into_iter()
            .filter(|(_, rows)| !rows.is_empty())
            .collect();
        Self { groups }
    }
}

/// Follows the probes over a training run.
#[derive(Debug)]
pub struct Dynamics {
    probes: Probes,
    /// Mean log-probability per token of each group at step 0.
    start: Vec<f64>,
    /// Log-probability of each chosen and rejected token at step 0.
    start_tokens: Pair<Vec<Vec<f32>>>,
}

/// One look at the probes.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Group, mean summed log-probability, mean log-probability per token, change of the latter since step 0.
    pub groups: Vec<(Group, [f64; 3])>,
    /// Mean change of a chosen and of a rejected token's log-probability since step 0.
    pub token_change: Pair<f64>,
    /// Mean next-token probability outside the completions' own tokens, minus its value at step 0.
    pub mass_outside: f64,
    /// Mean entropy of the next-token distribution, nats.
    pub entropy: f64,
}

impl Dynamics {
    /// Starts following `probes` from `policy`.
    pub fn new(probes: Probes, policy: &CausalLm) -> Self {
        let looked: Vec<(Vec<Vec<f32>>, f64)> = probes
            .groups
            .iter()
            .map(|(_, rows)| look_at(policy, rows))
            .collect();
        let start = looked.iter().map(|(rows, _)| per_token(rows)).collect();
        let tokens = |group: Group| {
            let place = probes.groups.iter().position(|(other, _)| *other == group);
            place.map_or_else(Vec::new, |place| looked[place].0.clone())
        };
        let start_tokens = Pair {
            chosen: tokens(Group::Chosen),
            rejected: tokens(Group::Rejected),
        };
        Self {
            probes,
            start,
            start_tokens,
        }
    }

    /// Looks at the probes under `policy`.
    pub fn look(&self, policy: &CausalLm) -> Look {
        let mut look = Look {
            groups: Vec::new(),
            token_change: Pair::default(),
            mass_outside: 0.0,
            entropy: 0.0,
        };
        let (mut inside, mut inside_start, mut tokens, mut entropy) = (0.0, 0.0, 0usize, 0.0);
        for ((group, rows), start) in self.probes.groups.iter().zip(&self.start) {
            let (logps, entropies) = look_at(policy, rows);
            let sums = mean(logps.iter().map(|row| total(row)));
            let each = per_token(&logps);
            look.groups.push((*group, [sums, each, each - start]));
            let before = match group {
                Group::Chosen => &self.start_tokens.chosen,
                Group::Rejected => &self.start_tokens.rejected,
                Group::Unseen | Group::OtherPrompts | Group::Random => continue,
            };
            let changes = logps.iter().flatten().zip(before.iter().flatten());
            let change = mean(changes.map(|(now, then)| f64::from(now - then)));
            match group {
                Group::Chosen => look.token_change.chosen = change,
                Group::Rejected => look.token_change.rejected = change,
                Group::Unseen | Group::OtherPrompts | Group::Random => {}
            }
            inside += logps
                .iter()
                .flatten()
                .map(|&logp| f64::from(logp).exp())
                .sum::<f64>();
            inside_start += before
                .iter()
                .flatten()
                .map(|&logp| f64::from(logp).exp())
                .sum::<f64>();
            tokens += logps.iter().map(Vec::len).sum::<usize>();
            entropy += entropies;
        }
        look.mass_outside = (inside_start - inside) / tokens as f64;
        look.entropy = entropy / tokens as f64;
        look
    }
}

impl Look {
    /// Logs the look.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn record(&self, step: u64, log: &mut dyn Sink) -> Result<(), SinkError> {
        for (group, values) in &self.groups {
            for (metric, value) in group.metrics().into_iter().zip(values) {
                log.scalar(step, metric, *value)?;
            }
        }
        log.scalars(
            step,
            &[
                (Metric::DynamicsTokenChangeChosen, self.token_change.chosen),
                (
                    Metric::DynamicsTokenChangeRejected,
                    self.token_change.rejected,
                ),
                (Metric::DynamicsMassOutside, self.mass_outside),
                (Metric::DynamicsEntropy, self.entropy),
            ],
        )
    }
}

/// The paper's gradients with respect to the likelihoods of the two sides, from the slopes `dl/dlog pi` of each pair:
/// `log |dl/dpi| = log |dl/dlog pi| - log pi`, averaged over pairs as likelihood gradients are (the log of their mean).
///
/// Nothing under- or overflows: a completion of probability `e^-300` has a gradient of about `e^300`. Pairs without
/// gradient are left out; none with one gives -infinity.
pub fn log_likelihood_gradients(measured: &Measured) -> Pair<f64> {
    let side = |slopes: &[f64], logps: &[f64]| {
        let logs = slopes
            .iter()
            .zip(logps)
            .map(|(slope, logp)| slope.abs().ln() - logp);
        log_mean_exp(&logs.filter(|log| log.is_finite()).collect::<Vec<_>>())
    };
    Pair {
        chosen: side(&measured.slopes.chosen, &measured.logps.chosen),
        rejected: side(&measured.slopes.rejected, &measured.logps.rejected),
    }
}

/// Norms and cosine of the two parts of the parameter gradient: the one through the chosen completions'
/// log-probabilities and the one through the rejected completions'.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientParts {
    /// Euclidean norms.
    pub norms: Pair<f64>,
    /// Cosine of the angle between them; NaN where one of them is 0.
    pub cosine: f64,
}

/// [`GradientParts`] on `pairs` with the slopes `dl/dlog pi` that `measured` holds of them.
pub fn gradient_parts(
    policy: &CausalLm,
    pairs: &[TokenPair],
    measured: &Measured,
) -> GradientParts {
    let part = |pick: fn(&TokenPair) -> &Vec<u32>, slopes: &[f64]| {
        let rows: Vec<(&[u32], &[u32])> = pairs
            .iter()
            .map(|pair| (pair.prompt.as_slice(), pick(pair).as_slice()))
            .collect();
        let completions = Completions::right_padded(&rows, &policy.device());
        let slopes: Vec<f32> = slopes.iter().map(|&slope| slope as f32).collect();
        let slopes = Tensor::<1>::from_floats(slopes.as_slice(), &policy.device());
        let sums = policy.completion_logps(&completions, 1.0).sum();
        GradientsParams::from_grads((sums * slopes).mean().backward(), policy)
    };
    let chosen = part(|pair| &pair.chosen, &measured.slopes.chosen);
    let rejected = part(|pair| &pair.rejected, &measured.slopes.rejected);
    let mut products = Products {
        chosen: &chosen,
        rejected: &rejected,
        sums: [0.0; 3],
    };
    policy.visit(&mut products);
    let [chosen, rejected, both] = products.sums;
    GradientParts {
        norms: Pair {
            chosen: chosen.sqrt(),
            rejected: rejected.sqrt(),
        },
        cosine: both / (chosen.sqrt() * rejected.sqrt()),
    }
}

/// Inner products of two gradients: with themselves and with one another.
struct Products<'g> {
    chosen: &'g GradientsParams,
    rejected: &'g GradientsParams,
    sums: [f64; 3],
}

impl ModuleVisitor for Products<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let chosen = self.chosen.get::<D>(parameter.id);
        let rejected = self.rejected.get::<D>(parameter.id);
        let (Some(chosen), Some(rejected)) = (chosen, rejected) else {
            return;
        };
        let products = [
            chosen.clone() * chosen.clone(),
            rejected.clone() * rejected.clone(),
            chosen * rejected,
        ];
        for (sum, product) in self.sums.iter_mut().zip(products) {
            *sum += f64::from(product.sum().into_scalar::<f32>());
        }
    }
}

/// Log-probability of every token of the rows, and the sum of entropies.
fn look_at(policy: &CausalLm, rows: &[(Vec<u32>, Vec<u32>)]) -> (Vec<Vec<f32>>, f64) {
    let rows: Vec<(&[u32], &[u32])> = rows
        .iter()
        .map(|(prompt, completion)| (prompt.as_slice(), completion.as_slice()))
        .collect();
    let completions = Completions::right_padded(&rows, &policy.device());
    let logps = policy.completion_logps(&completions, 1.0);
    let entropy = f64::from(logps.entropy.clone().sum().into_scalar::<f32>());
    (token_rows(&logps), entropy)
}

fn total(row: &[f32]) -> f64 {
    row.iter().map(|&logp| f64::from(logp)).sum()
}

fn per_token(rows: &[Vec<f32>]) -> f64 {
    mean(rows.iter().map(|row| total(row) / row.len().max(1) as f64))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| {
        (sum + value, count + 1)
    });
    sum / count as f64
}

/// `log(mean(exp(logs)))`; -infinity of none.
fn log_mean_exp(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    largest + (sum / logs.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihood_gradients_of_tiny_likelihoods_stay_finite() {
        let measured = Measured {
            slopes: Pair {
                chosen: vec![-0.05, 0.0],
                rejected: vec![0.05, 0.0],
            },
            logps: Pair {
                chosen: vec![-10.0, -10.0],
                rejected: vec![-900.0, -10.0],
            },
            ..Measured::default()
        };
        let logs = log_likelihood_gradients(&measured);
        assert!((logs.chosen - (0.05f64.ln() + 10.0)).abs() < 1e-12);
        // corollary 1 of arXiv:2406.07327: the ratio of the gradients is that of the likelihoods, the other way round
        assert!((logs.rejected - logs.chosen - 890.0).abs() < 1e-12);
    }

    #[test]
    fn the_mean_is_taken_of_gradients_not_of_their_logs() {
        assert!((log_mean_exp(&[0.0, 2.0f64.ln()]) - 1.5f64.ln()).abs() < 1e-12);
        assert_eq!(log_mean_exp(&[]), f64::NEG_INFINITY);
    }
}
