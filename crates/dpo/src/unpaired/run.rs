//! A whole training run on single completions, logged.

use std::time::Instant;

use preflab_data::Pair;
use preflab_metrics::{Metric, Sink};
use preflab_training::{TrainError, Watch};

use super::{JudgedExamples, UnpairedMeasured, UnpairedTrainer};

impl UnpairedTrainer {
    /// `updates` updates on `data`, logged every update, evaluated on `held_out` every `every` updates, after the last one
    /// and before the first (step 0).
    ///
    /// # Errors
    /// If the log cannot be written, `watch` asked to stop, or the loss is no longer a number.
    pub fn run(
        mut self,
        updates: usize,
        data: JudgedExamples<'_>,
        held_out: JudgedExamples<'_>,
        every: usize,
        log: &mut dyn Sink,
        watch: &dyn Watch,
    ) -> Result<Self, TrainError> {
        match watch.resume_from() {
            Some(state) => self.restore(&state)?,
            None => self.evaluate(0, held_out, log)?,
        }
        for update in self.updates_done()..updates {
            if watch.stop() {
                return Err(TrainError::Stopped);
            }
            let begun = Instant::now();
            let measured = self.update(update, data);
            let step = update as u64 + 1;
            let passes =
                (update + 1) as f64 * measured.losses.len() as f64 / data.examples.len() as f64;
            self.record(step, &measured, passes, log)?;
            let loss = measured.loss();
            if !loss.is_finite() {
                return Err(TrainError::Diverged {
                    update,
                    quantity: Metric::Loss.tag(),
                    value: loss,
                });
            }
            if (update + 1) % every == 0 || update + 1 == updates {
                self.evaluate(step, held_out, log)?;
                watch.progress(step, updates as u64, &format!("loss {loss:.3}"));
            }
            log.scalar(step, Metric::TimingStep, begun.elapsed().as_secs_f64())?;
            if watch.between(step, &self, log)?.is_break() {
                break;
            }
        }
        log.flush()?;
        Ok(self)
    }

    fn record(
        &self,
        step: u64,
        measured: &UnpairedMeasured,
        passes: f64,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let work = self.work();
        log.scalars(
            step,
            &[
                (Metric::Loss, measured.loss()),
                (Metric::GradNorm, measured.grad_norm),
                (Metric::LearningRate, measured.learning_rate),
                (Metric::Entropy, measured.mean_entropy()),
                (Metric::NumTokens, work.trained_tokens as f64),
                (Metric::Epoch, passes),
                (Metric::BudgetUpdates, work.updates as f64),
                (Metric::BudgetTrainedTokens, work.trained_tokens as f64),
                (Metric::BudgetFlops, work.flops),
            ],
        )?;
        let rewards = measured.means(&measured.rewards);
        let logps = measured.means(&measured.logps);
        let reference = measured.means(&measured.reference_logps);
        let known = [
            (Metric::KtoKl, measured.kl),
            (Metric::RewardsChosen, rewards.chosen),
            (Metric::RewardsRejected, rewards.rejected),
            (Metric::RewardsAccuracies, measured.accuracy()),
            (Metric::RewardsMargins, margin(rewards)),
            (Metric::LogpsChosen, logps.chosen),
            (Metric::LogpsRejected, logps.rejected),
            (Metric::RefLogpsChosen, reference.chosen),
            (Metric::RefLogpsRejected, reference.rejected),
        ];
        log.scalars(step, &present(&known))?;
        Ok(())
    }

    fn evaluate(
        &self,
        step: u64,
        held_out: JudgedExamples<'_>,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        if held_out.examples.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let all: Vec<usize> = (0..held_out.examples.len()).collect();
        let measured = self.measure(&all, held_out);
        let rewards = measured.means(&measured.rewards);
        let logps = measured.means(&measured.logps);
        let known = [
            (Metric::EvalLoss, Some(measured.loss())),
            (Metric::EvalRewardsChosen, rewards.chosen),
            (Metric::EvalRewardsRejected, rewards.rejected),
            (Metric::EvalRewardsAccuracies, measured.accuracy()),
            (Metric::EvalRewardsMargins, margin(rewards)),
            (Metric::EvalLogpsChosen, logps.chosen),
            (Metric::EvalLogpsRejected, logps.rejected),
            (Metric::EvalEntropy, Some(measured.mean_entropy())),
        ];
        log.scalars(step, &present(&known))?;
        log.scalar(step, Metric::TimingEvaluate, begun.elapsed().as_secs_f64())?;
        Ok(())
    }
}

/// The figures that there are.
fn present(figures: &[(Metric, Option<f64>)]) -> Vec<(Metric, f64)> {
    figures
        .iter()
        .filter_map(|&(metric, value)| Some((metric, value?)))
        .collect()
}

fn margin(rewards: Pair<Option<f64>>) -> Option<f64> {
    Some(rewards.chosen? - rewards.rejected?)
}
