//! A whole training run of the DPO family, logged.

use std::time::Instant;

use burn::module::Module;
use preflab_data::Pair;
use preflab_metrics::{Metric, Sink, Text};
use preflab_training::{PairMargins, TrainError, Watch};
use preflab_transformer::CausalLm;

use crate::batch::ScoredPairs;
use crate::dynamics::{Dynamics, Probes, gradient_parts};
use crate::measured::Measured;
use crate::trainer::DpoTrainer;

/// Probe pairs whose gradient is taken apart at a look: two backward passes, so few of them.
const GRADIENT_PAIRS: usize = 8;

/// What a run is watched on, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Monitoring<'m> {
    /// Pairs that are never trained on.
    pub held_out: ScoredPairs<'m>,
    /// Training pairs whose gradient is taken apart, with their reference log-probabilities.
    pub probe_pairs: ScoredPairs<'m>,
    /// Rows whose log-probabilities are followed.
    pub probes: &'m Probes,
    /// Pairs on which the accuracy of the implicit rewards is followed.
    pub accuracy: AccuracyPairs<'m>,
    /// Updates between two looks.
    pub every: usize,
}

/// Pairs on which the accuracy of the implicit rewards is followed; without either kind it is not.
#[derive(Debug, Clone, Copy)]
pub struct AccuracyPairs<'m> {
    /// Pairs that are never trained on.
    pub held_out: ScoredPairs<'m>,
    /// Some of those that are.
    pub train: ScoredPairs<'m>,
}

impl DpoTrainer {
    /// `updates` updates on `data`, logged every update, with a look at the probes every [`Monitoring::every`].
    ///
    /// The step of a log line is the number of updates done; probes are looked at before the first update too (step 0).
    ///
    /// # Errors
    /// If the log cannot be written, `watch` asked to stop, or the loss is no longer a number.
    pub fn run(
        mut self,
        updates: usize,
        data: ScoredPairs<'_>,
        monitoring: Monitoring<'_>,
        log: &mut dyn Sink,
        watch: &dyn Watch,
    ) -> Result<Self, TrainError> {
        let dynamics = Dynamics::new(monitoring.probes.clone(), &self.policy().valid());
        match watch.resume_from() {
            Some(state) => self.restore(&state)?,
            None => {
                self.look(0, &dynamics, monitoring, log)?;
                self.look_at_accuracy(0, 0.0, monitoring.accuracy, log)?;
            }
        }
        for update in self.updates_done()..updates {
            if watch.stop() {
                return Err(TrainError::Stopped);
            }
            let begun = Instant::now();
            let looked_at = (update + 1) % monitoring.every == 0 || update + 1 == updates;
            let measured = self.update(update, data, looked_at);
            let step = update as u64 + 1;
            self.record(step, &measured, data.pairs.len(), log)?;
            let loss = measured.loss();
            if !loss.is_finite() {
                return Err(TrainError::Diverged {
                    update,
                    quantity: Metric::Loss.tag(),
                    value: loss,
                });
            }
            if looked_at {
                self.look(step, &dynamics, monitoring, log)?;
                let passes = passes(step, &measured, data.pairs.len());
                self.look_at_accuracy(step, passes, monitoring.accuracy, log)?;
                let Pair { chosen, rejected } = measured.mean_rewards();
                let note = format!("loss {loss:.3} margin {:.2}", chosen - rejected);
                watch.progress(step, updates as u64, &note);
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
        measured: &Measured,
        pairs: usize,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let work = self.work();
        let rewards = measured.mean_rewards();
        let logps = measured.mean_logps();
        let reference = measured.mean_reference_logps();
        let gradients = measured.log_likelihood_gradients();
        let slopes = measured.mean_slopes();
        let passes = passes(step, measured, pairs);
        log.scalars(
            step,
            &[
                (Metric::Loss, measured.loss()),
                (Metric::RewardsChosen, rewards.chosen),
                (Metric::RewardsRejected, rewards.rejected),
                (Metric::RewardsAccuracies, measured.accuracy()),
                (Metric::RewardsMargins, rewards.chosen - rewards.rejected),
                (Metric::LogpsChosen, logps.chosen),
                (Metric::LogpsRejected, logps.rejected),
                (Metric::RefLogpsChosen, reference.chosen),
                (Metric::RefLogpsRejected, reference.rejected),
                (Metric::GradNorm, measured.grad_norm),
                (Metric::LearningRate, measured.learning_rate),
                (Metric::Entropy, measured.mean_entropy()),
                (Metric::NumTokens, work.trained_tokens as f64),
                (Metric::Epoch, passes),
                (Metric::DynamicsLogGradientChosen, gradients.chosen),
                (Metric::DynamicsLogGradientRejected, gradients.rejected),
                (
                    Metric::DynamicsLogGradientRatio,
                    measured.log_gradient_ratio(),
                ),
                (Metric::DynamicsLogpGradientChosen, slopes.chosen),
                (Metric::DynamicsLogpGradientRejected, slopes.rejected),
                (Metric::BudgetUpdates, work.updates as f64),
                (Metric::BudgetTrainedTokens, work.trained_tokens as f64),
                (Metric::BudgetFlops, work.flops),
            ],
        )?;
        if let Some(logits) = &measured.logits {
            let means = logits.mean_logits();
            log.scalars(
                step,
                &[
                    (Metric::LogitsChosen, means.chosen),
                    (Metric::LogitsRejected, means.rejected),
                    (Metric::MeanTokenAccuracy, logits.accuracy()),
                ],
            )?;
        }
        Ok(())
    }

    fn look(
        &self,
        step: u64,
        dynamics: &Dynamics,
        monitoring: Monitoring<'_>,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let begun = Instant::now();
        let policy: CausalLm = self.policy().valid();
        let look = dynamics.look(&policy);
        look.record(step, log)?;
        if let Some(gains) = &look.gains {
            let table = gains.table(|token| format!("token {token}"));
            log.text(step, Text::TokenGains, &table)?;
        }
        self.look_at_gradients(step, monitoring.probe_pairs, log)?;
        let seconds = begun.elapsed().as_secs_f64();
        log.scalar(step, Metric::TimingDynamics, seconds)?;
        let begun = Instant::now();
        self.evaluate(step, monitoring.held_out, log)?;
        log.scalar(step, Metric::TimingEvaluate, begun.elapsed().as_secs_f64())?;
        Ok(())
    }

    fn look_at_accuracy(
        &mut self,
        step: u64,
        passes: f64,
        pairs: AccuracyPairs<'_>,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        if pairs.held_out.pairs.is_empty() || pairs.train.pairs.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let (held_out, train) = (self.margins(pairs.held_out), self.margins(pairs.train));
        let margins = PairMargins {
            held_out: &held_out,
            train: &train,
        };
        self.accuracy.look(step, passes, margins, log)?;
        log.scalar(step, Metric::TimingAccuracy, begun.elapsed().as_secs_f64())?;
        Ok(())
    }

    fn look_at_gradients(
        &self,
        step: u64,
        probes: ScoredPairs<'_>,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        if probes.pairs.is_empty() {
            return Ok(());
        }
        let count = probes.pairs.len().min(GRADIENT_PAIRS);
        let taken: Vec<usize> = (0..count).collect();
        let measured = self.measure(&taken, probes);
        let parts = gradient_parts(self.policy(), &probes.pairs[..count], &measured);
        log.scalars(
            step,
            &[
                (Metric::DynamicsGradientNormChosen, parts.norms.chosen),
                (Metric::DynamicsGradientNormRejected, parts.norms.rejected),
                (
                    Metric::DynamicsGradientNormRatio,
                    parts.norms.rejected / parts.norms.chosen,
                ),
                (Metric::DynamicsGradientCosine, parts.cosine),
            ],
        )?;
        Ok(())
    }

    fn evaluate(
        &self,
        step: u64,
        held_out: ScoredPairs<'_>,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        if held_out.pairs.is_empty() {
            return Ok(());
        }
        let all: Vec<usize> = (0..held_out.pairs.len()).collect();
        let measured = self.measure(&all, held_out);
        let rewards = measured.mean_rewards();
        let logps = measured.mean_logps();
        log.scalars(
            step,
            &[
                (Metric::EvalLoss, measured.loss()),
                (Metric::EvalRewardsChosen, rewards.chosen),
                (Metric::EvalRewardsRejected, rewards.rejected),
                (Metric::EvalRewardsAccuracies, measured.accuracy()),
                (
                    Metric::EvalRewardsMargins,
                    rewards.chosen - rewards.rejected,
                ),
                (Metric::EvalLogpsChosen, logps.chosen),
                (Metric::EvalLogpsRejected, logps.rejected),
                (Metric::EvalEntropy, measured.mean_entropy()),
            ],
        )?;
        if let Some(logits) = &measured.logits {
            let means = logits.mean_logits();
            log.scalars(
                step,
                &[
                    (Metric::EvalLogitsChosen, means.chosen),
                    (Metric::EvalLogitsRejected, means.rejected),
                    (Metric::EvalMeanTokenAccuracy, logits.accuracy()),
                ],
            )?;
        }
        Ok(())
    }
}

/// Passes over the pairs after `step` updates of one size.
fn passes(step: u64, measured: &Measured, pairs: usize) -> f64 {
    step as f64 * measured.losses.len() as f64 / pairs as f64
}
