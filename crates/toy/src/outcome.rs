//! What a toy experiment computed: a curve for each arm, scenario and seed.

use preflab_config::ToyScenario;

use crate::observation::{Observation, Policy};
use crate::reward::RewardRun;

/// All runs of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Epochs that were observed; 0 is the start.
    pub epochs: Vec<u64>,
    /// Names of the arms, in order.
    pub arms: Vec<String>,
    /// Scenarios, in order.
    pub scenarios: Vec<ToyScenario>,
    /// Seeds, in order.
    pub seeds: Vec<u64>,
    /// The runs: arms outside, then scenarios, then seeds.
    pub runs: Vec<Run>,
    /// The reward models, one for each seed.
    pub rewards: Vec<RewardRun>,
}

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// One look for each of [`Outcome::epochs`].
    pub curve: Vec<Observation>,
    /// The policy before preference training.
    pub start: Policy,
    /// The policy after it.
    pub end: Policy,
    /// The yardstick: `π* ∝ π_start exp(r / β)` with the learned reward.
    pub optimum: Policy,
}

impl Outcome {
    /// The place of an arm.
    pub fn arm(&self, name: &str) -> Option<usize> {
        self.arms.iter().position(|arm| arm == name)
    }

    /// The place of a scenario.
    pub fn scenario(&self, scenario: ToyScenario) -> Option<usize> {
        self.scenarios.iter().position(|&other| other == scenario)
    }

    /// The runs of an arm in a scenario, one for each seed.
    pub fn cell(&self, arm: usize, scenario: usize) -> &[Run] {
        let n = self.seeds.len();
        let first = (arm * self.scenarios.len() + scenario) * n;
        &self.runs[first..first + n]
    }

    /// One number of each run of a cell.
    pub fn each(&self, arm: usize, scenario: usize, value: impl Fn(&Run) -> f64) -> Vec<f64> {
        self.cell(arm, scenario).iter().map(value).collect()
    }

    /// The seeds of several parts together; parts have everything else in common.
    ///
    /// # Panics
    /// If there are no parts.
    pub(crate) fn joined(parts: Vec<Self>) -> Self {
        let first = parts.first().expect("at least one part");
        let cells = first.arms.len() * first.scenarios.len();
        Self {
            epochs: first.epochs.clone(),
            arms: first.arms.clone(),
            scenarios: first.scenarios.clone(),
            seeds: parts.iter().flat_map(|part| part.seeds.clone()).collect(),
            runs: (0..cells)
                .flat_map(|cell| {
                    parts.iter().flat_map(move |part| {
                        let n = part.seeds.len();
                        part.runs[cell * n..(cell + 1) * n].iter().cloned()
                    })
                })
                .collect(),
            rewards: parts.iter().flat_map(|part| part.rewards.clone()).collect(),
        }
    }
}

impl Run {
    /// The first look.
    pub fn first(&self) -> &Observation {
        &self.curve[0]
    }

    /// The last look.
    ///
    /// # Panics
    /// If the run was never looked at, which no program leaves behind.
    pub fn last(&self) -> &Observation {
        self.curve.last().expect("the end is observed")
    }

    /// One quantity over the looks.
    pub fn series(&self, value: impl Fn(&Observation) -> f64) -> Vec<f64> {
        self.curve.iter().map(value).collect()
    }

    /// The place of the look with the largest mean chosen likelihood, the first of equals.
    pub fn peak(&self) -> usize {
        let mut best = 0;
        for (place, look) in self.curve.iter().enumerate() {
            if look.log_chosen_mean > self.curve[best].log_chosen_mean {
                best = place;
            }
        }
        best
    }

    /// How far the mean chosen likelihood ends below its peak, nats; 0 where it ends at the peak.
    pub fn decline(&self) -> f64 {
        self.curve[self.peak()].log_chosen_mean - self.last().log_chosen_mean
    }
}
