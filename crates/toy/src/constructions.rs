//! Ways to build the toy model within the paper's words, and whether the likelihood of unseen responses rises in any.

use preflab_config::{
    Count, Dpo, Fraction, Objective, Positive, RejectedDraw, ToyArm, ToyOptimizer, ToySettings,
};
use preflab_stats::{Interval, mean, t_interval};
use serde::Serialize;

use crate::claims::unseen_rise;
use crate::error::ToyError;
use crate::simulate::simulate;

/// Most seeds of a construction.
const SEEDS: usize = 16;

/// What vanilla DPO does to unseen responses in one construction and scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Construction {
    /// What differs from the settings.
    pub name: String,
    /// The scenario's number.
    pub scenario: usize,
    /// Mean unseen mass at the start.
    pub start: f64,
    /// Mean over seeds of the largest unseen mass.
    pub largest: f64,
    /// Mean unseen mass at the end.
    pub end: f64,
    /// 95 % interval of the rise of the largest above the start.
    pub passing_rise: Interval,
    /// 95 % interval of end minus start.
    pub lasting_rise: Interval,
    /// Mean probability of the chosen response at its peak.
    pub chosen_peak: f64,
    /// Mean probability of the chosen response at the end.
    pub chosen_end: f64,
}

impl Construction {
    /// Whether the unseen mass ends above its start, on the whole interval.
    pub fn rises_for_good(&self) -> bool {
        self.lasting_rise.low > 0.0
    }
}

/// The constructions: draws of the rejected response, optimisers and rates, widths, strengths, initial unseen masses, lengths.
fn variants(base: &ToySettings) -> Vec<(String, ToySettings)> {
    let dpo = |beta: f64| {
        let objective = Objective::Dpo(Dpo {
            beta: Positive::of(beta),
            ..Dpo::default()
        });
        [("dpo".to_owned(), ToyArm::Preference(objective))].into()
    };
    let base = ToySettings {
        seeds: Count::of(base.seeds.get().min(SEEDS)),
        arms: dpo(0.1),
        ..base.clone()
    };
    let mut all = vec![("as set".to_owned(), base.clone())];
    for draw in RejectedDraw::ALL
        .into_iter()
        .filter(|&draw| draw != base.rejected)
    {
        let name = format!("rejected = {}", draw.name());
        all.push((
            name,
            ToySettings {
                rejected: draw,
                ..base.clone()
            },
        ));
    }
    for rate in [0.01, 0.1, 1.0] {
        all.push((
            format!("optimizer = sgd, learning_rate = {rate}"),
            ToySettings {
                optimizer: ToyOptimizer::Sgd,
                learning_rate: Positive::of(rate),
                ..base.clone()
            },
        ));
    }
    for rate in [1e-4, 1e-3] {
        all.push((
            format!("learning_rate = {rate}"),
            ToySettings {
                learning_rate: Positive::of(rate),
                ..base.clone()
            },
        ));
    }
    for width in [2, 8, 128] {
        all.push((
            format!("width = {width}"),
            ToySettings {
                width: Count::of(width),
                ..base.clone()
            },
        ));
    }
    for beta in [1.0, 5.0] {
        all.push((
            format!("beta = {beta}"),
            ToySettings {
                arms: dpo(beta),
                ..base.clone()
            },
        ));
    }
    all.push((
        "beta = 5, rejected = other-chosen".to_owned(),
        ToySettings {
            arms: dpo(5.0),
            rejected: RejectedDraw::OtherChosen,
            ..base.clone()
        },
    ));
    all.push((
        "on_policy = 0.1, off_policy = 0.01".to_owned(),
        ToySettings {
            on_policy: Fraction::of(0.1),
            off_policy: Fraction::of(0.01),
            ..base.clone()
        },
    ));
    all.push((
        "epochs = 2000".to_owned(),
        ToySettings {
            epochs: Count::of(2000),
            observe_every: Count::of(20),
            ..base
        },
    ));
    all
}

/// Runs vanilla DPO in every construction.
///
/// # Errors
/// If settings do not go together.
pub fn constructions(
    settings: &ToySettings,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Construction>, ToyError> {
    let variants = variants(settings);
    let mut found = Vec::new();
    for (done, (name, settings)) in variants.iter().enumerate() {
        progress(done, variants.len());
        let outcome = simulate(settings, &|_, _| {})?;
        for (place, scenario) in outcome.scenarios.iter().enumerate() {
            let each = |value: &dyn Fn(&crate::Run) -> f64| outcome.each(0, place, value);
            let interval = |values: &[f64]| t_interval(values, 0.95).unwrap_or(Interval::UNDEFINED);
            found.push(Construction {
                name: name.clone(),
                scenario: scenario.number(),
                start: mean(&each(&|run| run.first().mass_unseen)),
                largest: mean(&each(&|run| run.first().mass_unseen + unseen_rise(run))),
                end: mean(&each(&|run| run.last().mass_unseen)),
                passing_rise: interval(&each(&unseen_rise)),
                lasting_rise: interval(&each(&|run| {
                    run.last().mass_unseen - run.first().mass_unseen
                })),
                chosen_peak: mean(&each(&|run| run.curve[run.peak()].mass_chosen)),
                chosen_end: mean(&each(&|run| run.last().mass_chosen)),
            });
        }
    }
    progress(variants.len(), variants.len());
    Ok(found)
}
