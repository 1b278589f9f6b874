//! What preference training does to likelihoods: the quantities of the paper's 3D-properties (arXiv:2406.07327, sections 3
//! and 4.3), measured on fixed probe rows while a real model trains.

mod ches;
mod gradient_parts;
mod probes;
mod token_gains;
mod trace;

pub use ches::ches;
pub use gradient_parts::{GradientParts, gradient_parts};
pub use probes::{Group, Probes};
pub use token_gains::{TokenGains, TokenGainsLook};
pub use trace::Trace;

use burn::tensor::Tensor;
use preflab_data::Pair;
use preflab_metrics::{Metric, Sink, SinkError};
use preflab_transformer::{CausalLm, Completions};

use crate::measured::mean;
use crate::reference::token_rows;
use probes::Row;

/// Rows of the probes in one forward pass.
const ROWS: usize = 64;

/// Probe pairs whose next-token distributions are kept, see [`TokenGains`].
const DISTRIBUTIONS: usize = 4;

/// Follows the probes over a training run.
#[derive(Debug)]
pub struct Dynamics {
    probes: Probes,
    start: Observed,
    gains: Option<TokenGains>,
}

/// One look at the probes.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Group, mean summed log-probability, mean log-probability per token, change of the latter since step 0.
    pub groups: Vec<(Group, [f64; 3])>,
    /// Change of each chosen and of each rejected token's log-probability since step 0.
    pub token_change: Pair<Vec<f64>>,
    /// Mean next-token probability outside the completions' own tokens, minus its value at step 0.
    pub mass_outside: f64,
    /// Mean entropy of the next-token distribution, nats.
    pub entropy: f64,
    /// Mean over the probe pairs of the length-normalised CHES.
    pub ches: f64,
    /// Rank correlation over the probe pairs of CHES at step 0 with the change of the chosen completion's log-probability;
    /// NaN before anything changed.
    pub ches_correlation: f64,
    /// Which tokens gained probability.
    pub gains: Option<TokenGainsLook>,
}

/// What a policy says to the probes.
#[derive(Debug, Clone)]
struct Observed {
    /// Log-probabilities of the tokens of each row of each group.
    logps: Vec<Vec<Vec<f32>>>,
    /// Sum of entropies over the tokens of chosen and rejected rows, nats.
    entropy: f64,
    /// Length-normalised CHES of each probe pair.
    ches: Vec<f64>,
}

impl Dynamics {
    /// Starts following `probes` from `policy`, a model without autodiff.
    pub fn new(probes: Probes, policy: &CausalLm) -> Self {
        let of_pairs: Vec<&Row> = [Group::Chosen, Group::Rejected]
            .into_iter()
            .flat_map(|group| rows_of(&probes, group).iter().take(DISTRIBUTIONS))
            .collect();
        Self {
            start: observe(policy, &probes),
            gains: TokenGains::new(&of_pairs, policy),
            probes,
        }
    }

    /// Looks at the probes under `policy`, a model without autodiff.
    pub fn look(&self, policy: &CausalLm) -> Look {
        let now = observe(policy, &self.probes);
        let groups = self.probes.groups.iter().zip(&now.logps);
        let groups = groups
            .zip(&self.start.logps)
            .map(|(((group, _), now), start)| {
                let each = per_token(now);
                let sums: Vec<f64> = now.iter().map(|row| total(row)).collect();
                (*group, [mean(&sums), each, each - per_token(start)])
            })
            .collect();
        let sides = Pair {
            chosen: Group::Chosen,
            rejected: Group::Rejected,
        }
        .map(|group| (self.rows(&now, group), self.rows(&self.start, group)));
        let token_change = sides.map(|(now, start)| {
            let tokens = now.iter().flatten().zip(start.iter().flatten());
            tokens.map(|(now, then)| f64::from(now - then)).collect()
        });
        let inside = |rows: &[Vec<f32>]| -> f64 {
            let tokens = rows.iter().flatten();
            tokens.map(|&logp| f64::from(logp).exp()).sum()
        };
        let tokens: usize = [sides.chosen.0, sides.rejected.0]
            .iter()
            .flat_map(|rows| rows.iter().map(Vec::len))
            .sum();
        let gained = inside(sides.chosen.0) - inside(sides.chosen.1) + inside(sides.rejected.0)
            - inside(sides.rejected.1);
        let displaced: Vec<f64> = sides
            .chosen
            .0
            .iter()
            .zip(sides.chosen.1)
            .map(|(now, then)| total(now) - total(then))
            .collect();
        Look {
            groups,
            token_change,
            mass_outside: -gained / tokens as f64,
            entropy: now.entropy / tokens as f64,
            ches: mean(&now.ches),
            ches_correlation: preflab_stats::spearman(&self.start.ches, &displaced),
            gains: self.gains.as_ref().map(|gains| gains.look(policy)),
        }
    }

    fn rows<'o>(&self, observed: &'o Observed, group: Group) -> &'o [Vec<f32>] {
        let place = self.probes.groups.iter().position(|(g, _)| *g == group);
        place.map_or(&[], |place| observed.logps[place].as_slice())
    }
}

fn rows_of(probes: &Probes, group: Group) -> &[Row] {
    let place = probes.groups.iter().find(|(other, _)| *other == group);
    place.map_or(&[], |(_, rows)| rows.as_slice())
}

/// One pass over all probes, those of one prompt together, so that the prompt is computed once.
fn observe(policy: &CausalLm, probes: &Probes) -> Observed {
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (place, (_, rows)) in probes.groups.iter().enumerate() {
        order.extend((0..rows.len()).map(|row| (place, row)));
    }
    let row = |&(place, row): &(usize, usize)| &probes.groups[place].1[row];
    order.sort_by(|a, b| row(a).0.cmp(&row(b).0));

    let empty = |(_, rows): &(Group, Vec<Row>)| vec![Vec::new(); rows.len()];
    let mut logps: Vec<Vec<Vec<f32>>> = probes.groups.iter().map(empty).collect();
    let pairs = rows_of(probes, Group::Chosen).len();
    let mut hidden: Pair<Vec<Option<Vec<f64>>>> = Pair {
        chosen: vec![None; pairs],
        rejected: vec![None; pairs],
    };
    let mut entropy = 0.0;
    for chunk in order.chunks(ROWS) {
        let rows: Vec<(&[u32], &[u32])> = chunk
            .iter()
            .map(|place| (row(place).0.as_slice(), row(place).1.as_slice()))
            .collect();
        let completions = Completions::new(&rows, &policy.device());
        let states = policy.completion_hidden(&completions);
        let predicted = policy.logps_of_hidden(states.clone(), &completions, 1.0);
        let entropies = entropy_rows(&predicted.entropy);
        let mut first = 0;
        for ((&(place, row), tokens), entropies) in
            chunk.iter().zip(token_rows(&predicted)).zip(entropies)
        {
            let side = match probes.groups[place].0 {
                Group::Chosen => Some(&mut hidden.chosen),
                Group::Rejected => Some(&mut hidden.rejected),
                Group::Unseen | Group::OtherPrompts | Group::Random => None,
            };
            if let Some(side) = side {
                entropy += entropies;
                side[row] = (!tokens.is_empty())
                    .then(|| mean_state(states.clone().narrow(0, first, tokens.len())));
            }
            first += tokens.len();
            logps[place][row] = tokens;
        }
    }
    let both = hidden.chosen.iter().zip(&hidden.rejected);
    let ches = both
        .filter_map(|(chosen, rejected)| Some(ches(chosen.as_ref()?, rejected.as_ref()?)))
        .collect();
    Observed {
        logps,
        entropy,
        ches,
    }
}

/// Mean over the rows of hidden states, `[n, d]`.
fn mean_state(states: Tensor<2>) -> Vec<f64> {
    states.mean_dim(0).into_data().iter::<f64>().collect()
}

/// The sum of each row.
fn entropy_rows(entropy: &Tensor<2>) -> Vec<f64> {
    entropy
        .clone()
        .sum_dim(1)
        .into_data()
        .iter::<f64>()
        .collect()
}

fn total(row: &[f32]) -> f64 {
    row.iter().map(|&logp| f64::from(logp)).sum()
}

/// Mean over rows of the mean over tokens.
fn per_token(rows: &[Vec<f32>]) -> f64 {
    let means: Vec<f64> = rows
        .iter()
        .map(|row| total(row) / row.len().max(1) as f64)
        .collect();
    mean(&means)
}

impl Look {
    /// Mean log-probability per token of a group's rows; NaN where there is none.
    pub fn per_token(&self, group: Group) -> f64 {
        let found = self.groups.iter().find(|(other, _)| *other == group);
        found.map_or(f64::NAN, |(_, [_, each, _])| *each)
    }

    /// Its figures.
    pub fn figures(&self) -> Vec<(Metric, f64)> {
        let groups = self.groups.iter().flat_map(|(group, values)| {
            let metrics = group.metrics().into_iter();
            metrics.zip(values.iter().copied())
        });
        let gains = self.gains.as_ref().map(|gains| {
            [
                (Metric::DynamicsTokenGainMax, gains.max()),
                (Metric::DynamicsTokenGainOutside, gains.outside),
            ]
        });
        let correlation = Some((Metric::DynamicsChesCorrelation, self.ches_correlation))
            .filter(|(_, value)| value.is_finite());
        groups
            .chain([
                (
                    Metric::DynamicsTokenChangeChosen,
                    mean(&self.token_change.chosen),
                ),
                (
                    Metric::DynamicsTokenChangeRejected,
                    mean(&self.token_change.rejected),
                ),
                (Metric::DynamicsMassOutside, self.mass_outside),
                (Metric::DynamicsEntropy, self.entropy),
                (Metric::DynamicsChes, self.ches),
            ])
            .chain(correlation)
            .chain(gains.into_iter().flatten())
            .collect()
    }

    /// Logs the look.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn record(&self, step: u64, log: &mut dyn Sink) -> Result<(), SinkError> {
        log.scalars(step, &self.figures())?;
        let Pair { chosen, rejected } = &self.token_change;
        log.histogram(step, Metric::DynamicsTokenChangeChosen, chosen)?;
        log.histogram(step, Metric::DynamicsTokenChangeRejected, rejected)
    }
}
