//! The phase map: where each property appears over learning rate and strength of regularisation.

use preflab_config::{
    Count, Dpo, FlexDpo, NonNegative, Objective, Positive, SftDpo, ToyArm, ToySettings,
};
use preflab_dpo::detector::Thresholds;
use preflab_stats::mean;
use serde::Serialize;

use crate::detection::detect_run;
use crate::error::ToyError;
use crate::simulate::simulate;

/// Learning rates of the map.
pub const LEARNING_RATES: [f64; 7] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1];

/// Most seeds of a cell of the map.
const SEEDS: usize = 16;

/// A setting that is swept against the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Swept {
    /// DPO's beta.
    Beta,
    /// flex-DPO's beta of the rejected response, with the chosen one's at 0.1.
    BetaRejected,
    /// SFT-DPO's weight of the likelihood, with beta at 0.1.
    Gamma,
}

impl Swept {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Beta, Self::BetaRejected, Self::Gamma];

    /// What it is called in figures.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Beta => "dpo: beta",
            Self::BetaRejected => "flex-dpo: beta of rejected (chosen 0.1)",
            Self::Gamma => "sft-dpo: gamma (beta 0.1)",
        }
    }

    /// The values on the map.
    pub const fn values(self) -> [f64; 7] {
        match self {
            Self::Beta => [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0],
            Self::BetaRejected => [0.001, 0.01, 0.03, 0.06, 0.08, 0.1, 0.2],
            Self::Gamma => [0.0, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.1],
        }
    }

    fn objective(self, value: f64) -> Objective {
        match self {
            Self::Beta => Objective::Dpo(Dpo {
                beta: Positive::of(value),
                ..Dpo::default()
            }),
            Self::BetaRejected => Objective::FlexDpo(FlexDpo {
                beta_rejected: Positive::of(value),
                ..FlexDpo::default()
            }),
            Self::Gamma => Objective::SftDpo(SftDpo {
                gamma: NonNegative::of(value),
                ..SftDpo::default()
            }),
        }
    }
}

/// One cell of the map: shares and means over the seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MapCell {
    /// What is swept.
    pub swept: Swept,
    /// Its value.
    pub value: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// The scenario's number.
    pub scenario: usize,
    /// Share of runs with a drastic drop.
    pub drop: f64,
    /// Share with degradation.
    pub degradation: f64,
    /// Share with dispersion.
    pub dispersion: f64,
    /// Mean probability of the chosen response at the end.
    pub chosen: f64,
    /// Mean of the unseen mass at the end minus that at the start.
    pub unseen: f64,
}

/// Every cell of the map: one tensor program for each learning rate and block of seeds, in which all swept values are arms.
///
/// At most 16 seeds of the settings', all their scenarios. `progress` is told how many learning rates are done, and of how many.
///
/// # Errors
/// If settings do not go together.
pub fn sweep(
    settings: &ToySettings,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<MapCell>, ToyError> {
    let swept: Vec<(Swept, f64)> = Swept::ALL
        .into_iter()
        .flat_map(|swept| swept.values().map(|value| (swept, value)))
        .collect();
    // Named so that the arms' order is that of the list.
    let arm = |(place, &(swept, value)): (usize, &(Swept, f64))| {
        (
            format!("{place:02}"),
            ToyArm::Preference(swept.objective(value)),
        )
    };
    let settings = ToySettings {
        arms: swept.iter().enumerate().map(arm).collect(),
        seeds: Count::of(settings.seeds.get().min(SEEDS)),
        ..settings.clone()
    };
    let mut cells = Vec::new();
    for (done, learning_rate) in LEARNING_RATES.into_iter().enumerate() {
        progress(done, LEARNING_RATES.len());
        let outcome = simulate(
            &ToySettings {
                learning_rate: Positive::of(learning_rate),
                ..settings.clone()
            },
            &|_, _| {},
        )?;
        for (arm, &(swept, value)) in swept.iter().enumerate() {
            for (place, scenario) in outcome.scenarios.iter().enumerate() {
                let runs = outcome.cell(arm, place);
                let found: Vec<_> = runs
                    .iter()
                    .map(|run| detect_run(&outcome.epochs, run, &Thresholds::default()))
                    .collect();
                let share = |holds: &dyn Fn(usize) -> bool| {
                    (0..found.len()).filter(|&run| holds(run)).count() as f64 / found.len() as f64
                };
                let average = |value: &dyn Fn(&crate::Run) -> f64| {
                    mean(&runs.iter().map(value).collect::<Vec<_>>())
                };
                cells.push(MapCell {
                    swept,
                    value,
                    learning_rate,
                    scenario: scenario.number(),
                    drop: share(&|run| found[run].drop.onset.is_some()),
                    degradation: share(&|run| found[run].degradation.onset.is_some()),
                    dispersion: share(&|run| found[run].dispersion.onset.is_some()),
                    chosen: average(&|run| run.last().mass_chosen),
                    unseen: average(&|run| run.last().mass_unseen - run.first().mass_unseen),
                });
            }
        }
    }
    progress(LEARNING_RATES.len(), LEARNING_RATES.len());
    Ok(cells)
}
