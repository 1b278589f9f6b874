//! A whole training run of the DPO family, logged.

use std::time::Instant;

use burn::module::Module;
use preflab_data::Pair;
use preflab_metrics::{Metric, Sink, Text};
use preflab_training::{PairMargins, TrainError, Watch};
use preflab_transformer::CausalLm;

use crate::batch::{ScoredPairs, ScoredRows};
use crate::dynamics::{Dynamics, gradient_parts};
use crate::measured::Measured;
use crate::trainer::DpoTrainer;

/// Probe pairs whose gradient is taken apart at a look: two backward passes, so few of them.
const GRADIENT_PAIRS: usize = 4;

/// What a run is watched on, and how often.
#[derive(Clone, Copy)]
pub struct Monitoring<'m> {
    /// Pairs that are never trained on.
    pub held_out: ScoredPairs<'m>,
    /// Training pairs whose gradient is taken apart, with their reference log-probabilities.
    pub probe_pairs: ScoredPairs<'m>,
    /// Rows whose log-probabilities are followed, since the policy that they were first looked at under.
    pub dynamics: &'m Dynamics,
    /// Pairs on which the accuracy of the implicit rewards is followed.
    pub accuracy: AccuracyPairs<'m>,
    /// Updates between two looks.
    pub every: usize,
    /// Looks at answers that the policy samples, where there is somebody to judge them.
    pub answers: Option<&'m dyn Answers>,
    /// Updates done before this run, by earlier rounds of the same training: its log goes on there.
    pub first: u64,
}

/// Somebody who samples answers from a policy while it trains, and says what they are like.
pub trait Answers {
    /// Figures of answers of `policy`, a model without autodiff; the same policy gives the same figures.
    fn look(&self, policy: &CausalLm) -> Vec<(Metric, f64)>;
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
    /// The step of a log line is the number of updates done, earlier rounds included; probes are looked at before the
    /// first update too (step 0).
    ///
    /// # Errors
    /// If the log cannot be written, a pair cannot be read, `watch` asked to stop, or the loss is no longer a number.
    pub fn run<'p>(
        mut self,
        updates: usize,
        data: impl Into<ScoredRows<'p>>,
        monitoring: Monitoring<'_>,
        log: &mut dyn Sink,
        watch: &dyn Watch,
    ) -> Result<Self, TrainError> {
        let data: ScoredRows<'_> = data.into();
        match watch.resume_from() {
            Some(state) => self.restore(&state)?,
            None if monitoring.first == 0 => {
                self.look(0, monitoring, log)?;
                self.look_at_accuracy(0, 0.0, monitoring.accuracy, log)?;
            }
            None => {}
        }
        for update in self.updates_done()..updates {
            if watch.stop() {
                return Err(TrainError::Stopped);
            }
            let begun = Instant::now();
            let looked_at = (update + 1) % monitoring.every == 0 || update + 1 == updates;
            let (batch, taken) = self.batch(update, data)?;
            let measured = self.step(&taken, batch.scored(), looked_at);
            let step = monitoring.first + update as u64 + 1;
            let passes =
                (update + 1) as f64 * measured.losses.len() as f64 / data.pairs.len() as f64;
            self.record(step, &measured, passes, log)?;
            let loss = measured.loss();
            if !loss.is_finite() {
                return Err(TrainError::Diverged {
                    update,
                    quantity: Metric::Loss.tag(),
                    value: loss,
                });
            }
            if looked_at {
                self.look(step, monitoring, log)?;
                self.look_at_accuracy(step, passes, monitoring.accuracy, log)?;
                let Pair { chosen, rejected } = measured.mean_rewards();
                let note = format!("loss {loss:.3} margin {:.2}", chosen - rejected);
                watch.progress(step, monitoring.first + updates as u64, &note);
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
        passes: f64,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let work = self.work();
        let rewards = measured.mean_rewards();
        let logps = measured.mean_logps();
        let reference = measured.mean_reference_logps();
        let gradients = measured.log_likelihood_gradients();
        let slopes = measured.mean_slopes();
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
        &mut self,
        step: u64,
        monitoring: Monitoring<'_>,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let begun = Instant::now();
        let policy: CausalLm = self.policy().valid();
        let look = monitoring.dynamics.look(&policy);
        look.record(step, log)?;
        self.trace_mut().push(step, &look);
        if let Some(gains) = &look.gains {
            let table = gains.table(|token| format!("token {token}"));
            log.text(step, Text::TokenGains, &table)?;
        }
        if let Some(answers) = monitoring.answers {
            log.scalars(step, &answers.look(&policy))?;
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
