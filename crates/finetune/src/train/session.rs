//! A run's log and checkpoints, and how it ends.

use std::cell::RefCell;
use std::fs;

use preflab_config::OutputModel;
use preflab_metrics::{RunLog, SCALARS_FILE, Sink, Text, read_scalars};
use preflab_training::Trained;
use preflab_transformer::checkpoint::{self, Config};
use preflab_transformer::{CausalLm, ScalarModel};

use super::{Best, Run, Summary};
use crate::FinetuneError;
use crate::card::Card;
use crate::checkpoints::{Early, Keeper, Look, Progress, Remembering, finish, model_of, newest};
use crate::data::DataReport;
use crate::looks::Answers;
use crate::reward_model::NORMALISATION;
use crate::run_directory::METRICS;
use crate::saved::{Saving, copy_model, move_into};
use crate::start::{Words, checkpoint_of};

/// The log and the keeper of a trainer at work.
pub(super) struct Session<'s> {
    pub log: Remembering<RunLog>,
    pub keeper: Keeper<'s>,
}

/// A trained model.
pub(super) enum Model {
    Policy(CausalLm),
    Scalar(ScalarModel),
}

impl Model {
    fn trained(&self) -> Trained<'_> {
        match self {
            Self::Policy(policy) => Trained::Policy(policy),
            Self::Scalar(model) => Trained::Scalar(model),
        }
    }
}

impl Run<'_> {
    /// Opens the log and takes up the newest checkpoint.
    pub(super) fn session<'s>(
        &'s self,
        config: &'s Config,
        words: &'s Words,
        answers: &'s Answers<'s>,
    ) -> Result<Session<'s>, FinetuneError> {
        let request = self.request();
        let settings = &request.settings;
        let resumed = newest(&self.directory.checkpoints())?;
        let path = self.directory.path();
        let begun = path.join(SCALARS_FILE).is_file();
        let log = match &resumed {
            Some(newest) => {
                self.observer.note(&format!(
                    "going on after {} updates",
                    newest.progress.update
                ));
                RunLog::resume(path, newest.progress.update + 1)?
            }
            None if begun => RunLog::resume(path, 0)?,
            None => RunLog::create(path)?,
        };
        let mut log = Remembering::new(log);
        if resumed.is_none() {
            let text = format!("```toml\n{}```", request.to_toml());
            log.text(0, Text::Settings, &text)?;
        }
        let samples = &settings.samples;
        let judges = settings.checkpoints.output == OutputModel::Best;
        let keeper = Keeper {
            directory: self.directory.checkpoints(),
            settings: &settings.checkpoints,
            saving: Saving {
                config,
                words,
                number: settings.save_as,
                base: checkpoint_of(&settings.model),
            },
            best: request.best_metric(),
            keep_best: settings.checkpoints.keep_best.max(usize::from(judges)),
            early: settings.early_stop.as_ref().and_then(|early| {
                Some(Early {
                    metric: request.stop_metric()?,
                    patience: early.patience.get(),
                    min_delta: early.min_delta.get(),
                })
            }),
            look: Some(answers as &dyn Look),
            look_every: samples.every.unwrap_or(settings.evaluate_every).get() as u64,
            latest: log.latest(),
            interrupt: self.interrupt,
            observer: self.observer,
            progress: RefCell::new(match &resumed {
                Some(newest) => newest.progress.clone(),
                None => Progress::default(),
            }),
            resumed,
        };
        Ok(Session { log, keeper })
    }

    /// Saves the model, its card and its figures.
    pub(super) fn finish(
        &self,
        session: Session<'_>,
        last: &Model,
        data: &DataReport,
        normalise: Option<&dyn Fn(&ScalarModel) -> preflab_reward::Normalisation>,
    ) -> Result<Summary, FinetuneError> {
        let Session { mut log, keeper } = session;
        log.flush()?;
        drop(log);
        let progress = keeper.progress.borrow().clone();
        let request = self.request();
        let out = self.directory.path();
        let partial = out.join(".model.partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(FinetuneError::io("delete", &partial))?;
        }
        let best = progress.best.first().copied();
        let takes_best = request.settings.checkpoints.output == OutputModel::Best;
        let (output_update, scale) = match best.filter(|_| takes_best) {
            Some((_, update)) => {
                let directory = model_of(&self.directory.checkpoints(), update);
                copy_model(&directory, &partial)?;
                let scale = normalise
                    .map(|normalise| {
                        checkpoint::load::<ScalarModel>(&directory, self.device)
                            .map(|(model, _)| normalise(&model))
                            .map_err(FinetuneError::Load)
                    })
                    .transpose()?;
                (update, scale)
            }
            None => {
                keeper.saving.save(last.trained(), &partial)?;
                let scale = match (normalise, last) {
                    (Some(normalise), Model::Scalar(model)) => Some(normalise(model)),
                    (_, _) => None,
                };
                (progress.update, scale)
            }
        };
        if let Some(scale) = scale {
            let text = serde_json::to_vec_pretty(&scale).expect("plain data");
            let path = partial.join(NORMALISATION);
            fs::write(&path, text).map_err(FinetuneError::io("write", &path))?;
        }
        let curves = read_scalars(&out.join(SCALARS_FILE))?;
        let metrics = curves
            .metrics()
            .filter(|metric| metric.reproducible())
            .filter_map(|metric| Some((metric, curves.last(metric)?)))
            .filter(|(_, value)| value.is_finite())
            .map(|(metric, value)| (metric.tag().to_owned(), value))
            .collect();
        let summary = Summary {
            method: request.name().to_owned(),
            updates: progress.update,
            stopped_early: progress.stopped_early,
            output_update,
            best: best.map(|(value, update)| Best {
                metric: keeper.best.tag().to_owned(),
                value,
                update,
            }),
            data: data.clone(),
            metrics,
        };
        let base = checkpoint_of(&request.settings.model).map(|path| path.display().to_string());
        let card = Card {
            method: request.name(),
            base: base.as_deref(),
            is_reward_model: matches!(last, Model::Scalar(_)),
            data,
            metrics: &summary.metrics,
            updates: summary.updates,
            output: match takes_best {
                true => "of the best evaluation",
                false => "after the last update",
            },
            settings: &request.to_toml(),
            inputs: &self.inputs,
            command: &self.job.command,
            version: &self.job.version,
        };
        let path = partial.join("README.md");
        fs::write(&path, card.text()).map_err(FinetuneError::io("write", &path))?;
        move_into(&partial, out)?;
        finish(&self.directory.checkpoints())?;
        self.directory.write_json(METRICS, &summary)?;
        self.observer.note(&format!(
            "{} updates in {:.0} s; the model is in `{}`",
            summary.updates,
            self.begun.elapsed().as_secs_f64(),
            out.display()
        ));
        Ok(summary)
    }
}
