//! The comparison in TensorBoard: the HParams tab over all cells, and the ablation's figure.
//!
//! `hparams/<arm>/seed-<n>` has one run for each finished cell: what the arm sets, and the final figures. They stand apart
//! from the curves of training, because what is compared may change when arms are added.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use preflab_experiment::records::{CellStatus, KeyValue};
use preflab_metrics::{Image, Metric, RunLog, Setting, Sink, SinkError};

use crate::measures::Measure;
use crate::report::Context;
use crate::sections::ablation_figure;

/// The directory of all this in the experiment's.
const DIRECTORY: &str = "hparams";

/// Pixels of the picture to a unit of the drawing.
const SCALE: f64 = 1.5;

/// Changes of log-probs are compared beside the scores.
const BESIDE: [Metric; 3] = [
    Metric::DynamicsChangeChosen,
    Metric::DynamicsChangeRejected,
    Metric::DynamicsChangeUnseen,
];

/// One run as the HParams tab shows it.
#[derive(Debug, Clone)]
struct Session {
    arm: String,
    seed: u64,
    settings: BTreeMap<String, Setting>,
    figures: Vec<(Metric, f64)>,
}

/// What is to be logged.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    metrics: Vec<Metric>,
    sessions: Vec<Session>,
    picture: Option<Vec<u8>>,
}

impl Comparison {
    pub(crate) fn of(context: &Context<'_>) -> Self {
        let known = |measure: Measure| match measure {
            Measure::Known(metric) => Some(metric),
            Measure::Other(_) => None,
        };
        let scores = context.measures.scores().into_iter().filter_map(known);
        let metrics: Vec<Metric> = scores.chain(BESIDE).collect();
        let mut sessions = Vec::new();
        for cell in &context.records.cells {
            let arms = &context.records.experiment.arms;
            let Some(arm) = arms.iter().find(|arm| arm.name == cell.arm) else {
                continue;
            };
            if cell.status != CellStatus::Done {
                continue;
            }
            let last = |metric: Metric| {
                let curve = context.curves.series(&cell.arm, cell.seed, metric);
                curve.and_then(|curve| Some(curve.last()?.1))
            };
            let figure = |&metric: &Metric| {
                let recorded = cell.measures.get(metric.tag()).copied();
                Some((metric, recorded.or_else(|| last(metric))?))
            };
            let mut settings: BTreeMap<String, Setting> =
                arm.settings.iter().map(setting).collect();
            settings.insert("arm".to_owned(), Setting::Words(arm.name.clone()));
            settings.insert("method".to_owned(), Setting::Words(arm.method.clone()));
            settings.insert("seed".to_owned(), Setting::Number(cell.seed as f64));
            sessions.push(Session {
                arm: cell.arm.clone(),
                seed: cell.seed,
                settings,
                figures: metrics.iter().filter_map(figure).collect(),
            });
        }
        let picture = ablation_figure(context).map(|figure| figure.to_png(SCALE));
        Self {
            metrics,
            sessions,
            picture,
        }
    }

    /// Replaces what an earlier report left.
    pub(crate) fn write(&self, experiment: &Path) -> Result<(), SinkError> {
        if self.sessions.is_empty() {
            return Ok(());
        }
        let (path, partial) = (
            experiment.join(DIRECTORY),
            experiment.join(format!("{DIRECTORY}.partial")),
        );
        let failed = |action: &'static str| {
            let path = path.clone();
            move |source| SinkError::Io {
                action,
                path,
                source,
            }
        };
        remove(&partial).map_err(failed("replace"))?;
        for session in &self.sessions {
            let directory = partial
                .join(&session.arm)
                .join(format!("seed-{}", session.seed));
            let mut log = RunLog::create(&directory)?;
            log.hparams(&session.settings, &self.metrics)?;
            log.scalars(0, &session.figures)?;
            log.flush()?;
        }
        if let Some(picture) = &self.picture {
            let mut log = RunLog::create(&partial.join("ablation"))?;
            log.image(0, Image::Curves, picture)?;
            log.flush()?;
        }
        remove(&path).map_err(failed("replace"))?;
        fs::rename(&partial, &path).map_err(failed("write"))
    }
}

/// A setting with its value as the tab can sort it.
fn setting(KeyValue { key, value }: &KeyValue) -> (String, Setting) {
    let setting = match (value.parse::<f64>(), value.parse::<bool>()) {
        (Ok(number), _) => Setting::Number(number),
        (_, Ok(flag)) => Setting::Flag(flag),
        _ => Setting::Words(value.trim_matches('"').to_owned()),
    };
    (key.clone(), setting)
}

/// Removes a directory, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
