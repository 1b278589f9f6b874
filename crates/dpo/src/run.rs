//! A whole training run of the DPO family, logged.

use std::time::Instant;

use burn::module::Module;
use preflab_data::{Pair, TokenPair};
use preflab_metrics::{Metric, Sink};
use preflab_training::{TrainError, Watch};
use preflab_transformer::CausalLm;

use crate::dynamics::{Dynamics, Probes, gradient_parts, log_likelihood_gradients};
use crate::trainer::{DpoTrainer, Measured, ScoredPairs};

/// What a run is watched on, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Monitoring<'m> {
    /// Pairs that are never trained on.
    pub held_out: ScoredPairs<'m>,
    /// Training pairs whose gradient is taken apart, with their reference log-probabilities.
    pub probe_pairs: ScoredPairs<'m>,
    /// Rows whose log-probabilities are followed.
    pub probes: &'m Probes,
    /// Updates between two looks.
    pub every: usize,
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
        self.look(0, &dynamics, monitoring, log)?;
        for update in 0..updates {
            if watch.stop() {
                return Err(TrainError::Stopped);
            }
            let begun = Instant::now();
            let measured = self.update(update, data);
            let step = update as u64 + 1;
            self.record(step, &measured, log)?;
            let loss = mean(&measured.losses);
            if !loss.is_finite() {
                let quantity = Metric::Loss.tag();
                return Err(TrainError::Diverged {
                    update,
                    quantity,
                    value: loss,
                });
            }
            if (update + 1) % monitoring.every == 0 || update + 1 == updates {
                self.look(step, &dynamics, monitoring, log)?;
                let margin = margins(&measured.rewards);
                let note = format!("loss {loss:.3} margin {:.2}", mean(&margin));
                watch.progress(step, updates as u64, &note);
            }
            log.scalar(step, Metric::TimingStep, begun.elapsed().as_secs_f64())?;
        }
        log.flush()?;
        Ok(self)
    }

    fn record(&self, step: u64, measured: &Measured, log: &mut dyn Sink) -> Result<(), TrainError> {
        let work = self.work();
        let gradients = log_likelihood_gradients(measured);
        log.scalars(
            step,
            &[
                (Metric::Loss, mean(&measured.losses)),
                (Metric::RewardsChosen, mean(&measured.rewards.chosen)),
                (Metric::RewardsRejected, mean(&measured.rewards.rejected)),
                (Metric::RewardsAccuracies, accuracy(&measured.rewards)),
                (Metric::RewardsMargins, mean(&margins(&measured.rewards))),
                (Metric::LogpsChosen, mean(&measured.logps.chosen)),
                (Metric::LogpsRejected, mean(&measured.logps.rejected)),
                (Metric::GradNorm, measured.grad_norm),
                (Metric::LearningRate, measured.learning_rate),
                (
                    Metric::Entropy,
                    measured.entropy / measured.completion_tokens.max(1) as f64,
                ),
                (Metric::NumTokens, work.trained_tokens as f64),
                (Metric::DynamicsLogGradientChosen, gradients.chosen),
                (Metric::DynamicsLogGradientRejected, gradients.rejected),
                (Metric::DynamicsLogGradientRatio, log_ratio(measured)),
                (
                    Metric::DynamicsLogpGradientChosen,
                    mean_size(&measured.slopes.chosen),
                ),
                (
                    Metric::DynamicsLogpGradientRejected,
                    mean_size(&measured.slopes.rejected),
                ),
                (Metric::BudgetUpdates, work.updates as f64),
                (Metric::BudgetTrainedTokens, work.trained_tokens as f64),
                (Metric::BudgetFlops, work.flops),
            ],
        )?;
        Ok(())
    }

    fn look(
        &self,
        step: u64,
        dynamics: &Dynamics,
        monitoring: Monitoring<'_>,
        log: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let policy: CausalLm = self.policy().valid();
        dynamics.look(&policy).record(step, log)?;
        if !monitoring.held_out.pairs.is_empty() {
            let measured = self.measure(monitoring.held_out);
            log.scalars(
                step,
                &[
                    (Metric::EvalLoss, mean(&measured.losses)),
                    (Metric::EvalRewardsChosen, mean(&measured.rewards.chosen)),
                    (
                        Metric::EvalRewardsRejected,
                        mean(&measured.rewards.rejected),
                    ),
                    (Metric::EvalRewardsAccuracies, accuracy(&measured.rewards)),
                    (
                        Metric::EvalRewardsMargins,
                        mean(&margins(&measured.rewards)),
                    ),
                    (Metric::EvalLogpsChosen, mean(&measured.logps.chosen)),
                    (Metric::EvalLogpsRejected, mean(&measured.logps.rejected)),
                ],
            )?;
        }
        let pairs: &[TokenPair] = monitoring.probe_pairs.pairs;
        if !pairs.is_empty() {
            let parts = gradient_parts(self.policy(), pairs, &self.measure(monitoring.probe_pairs));
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
        }
        Ok(())
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn mean_size(values: &[f64]) -> f64 {
    values.iter().map(|value| value.abs()).sum::<f64>() / values.len() as f64
}

fn margins(rewards: &Pair<Vec<f64>>) -> Vec<f64> {
    let sides = rewards.chosen.iter().zip(&rewards.rejected);
    sides.map(|(chosen, rejected)| chosen - rejected).collect()
}

/// Share of pairs whose chosen reward is strictly above the rejected one.
fn accuracy(rewards: &Pair<Vec<f64>>) -> f64 {
    let margins = margins(rewards);
    margins.iter().filter(|margin| **margin > 0.0).count() as f64 / margins.len() as f64
}

/// Mean over pairs of `log |dl/dpi-| - log |dl/dpi+|`; pairs without a gradient on both sides are left out.
fn log_ratio(measured: &Measured) -> f64 {
    let Measured { slopes, logps, .. } = measured;
    let logs: Vec<f64> = (0..measured.losses.len())
        .map(|pair| {
            let rejected = slopes.rejected[pair].abs().ln() - logps.rejected[pair];
            let chosen = slopes.chosen[pair].abs().ln() - logps.chosen[pair];
            rejected - chosen
        })
        .filter(|ratio| ratio.is_finite())
        .collect();
    mean(&logs)
}
